//! Level by level: ask all questions of a level at once, take the answers, go on with what is below.

use std::sync::Arc;

use async_trait::async_trait;

use super::answers::Answers;
use super::branch::{Level, Node, Question};
use super::tree::Tree;
use crate::error::Result;
use crate::model::{Model, ReadRow};
use crate::wire::ColumnType;

/// Who answers the questions.
#[async_trait]
pub(crate) trait Relate: Send {
    /// How the columns of a model that is asked about are encoded and decoded.
    ///
    /// # Errors
    /// When it is none of them.
    fn types(&self, model: &'static Model) -> Result<Arc<[ColumnType]>>;

    /// Answers all questions of a level, in their order.
    ///
    /// # Errors
    /// Those of the server.
    async fn answer(&mut self, questions: Vec<Question>) -> Result<Vec<Answers>>;
}

/// Loads the relations of these rows.
pub(crate) async fn load<M: ReadRow>(rows: Vec<M>, tree: Tree, relate: &mut dyn Relate) -> Result<Vec<M>> {
    let depth = tree.depth();
    let mut root = Node::new(rows, tree);
    let mut level: Vec<&mut dyn Level> = vec![&mut root];
    for _ in 0..depth {
        let (questions, of_each) = ask(&mut level, relate)?;
        let answers = relate.answer(questions).await?;
        take(&mut level, answers, of_each, relate)?;
        level = level.into_iter().flat_map(Level::below).collect();
    }
    drop(level);
    root.fill();
    Ok(root.rows)
}

/// The questions of all rows of a level, and how many each kind of rows has.
fn ask(level: &mut [&mut dyn Level], relate: &dyn Relate) -> Result<(Vec<Question>, Vec<usize>)> {
    let types = |model| relate.types(model);
    let (mut questions, mut of_each) = (Vec::new(), Vec::new());
    for rows in level {
        let asked = rows.ask(&types)?;
        of_each.push(asked.len());
        questions.extend(asked);
    }
    Ok((questions, of_each))
}

/// Hands the answers to the rows that asked.
fn take(level: &mut [&mut dyn Level], answers: Vec<Answers>, of_each: Vec<usize>, relate: &dyn Relate) -> Result<()> {
    let types = |model| relate.types(model);
    let mut answers = answers.into_iter();
    for (rows, questions) in level.iter_mut().zip(of_each) {
        rows.take(answers.by_ref().take(questions).collect(), &types)?;
    }
    Ok(())
}
