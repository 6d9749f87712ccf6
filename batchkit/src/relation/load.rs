//! Level by level: ask all questions of a level at once, take the answers, go on with what is below.

use std::sync::Arc;

use async_trait::async_trait;

use super::branch::{Answers, Level, Node, Question};
use super::tree::Tree;
use crate::error::Result;
use crate::model::{Model, ReadRow};
use crate::wire::ColumnType;

/// Who answers the questions.
#[async_trait]
pub(crate) trait Relate: Send + Sync {
    /// How the columns of a model that is asked about are encoded and decoded.
    ///
    /// # Errors
    /// When it is none of them.
    fn types(&self, model: &'static Model) -> Result<Arc<[ColumnType]>>;

    /// Answers all questions of a level. `is_last` where nothing is asked behind them.
    ///
    /// # Errors
    /// Those of the server.
    async fn answer(&mut self, questions: Vec<Question>, is_last: bool) -> Result<Vec<Answers>>;
}

/// Loads the relations of these rows.
pub(crate) async fn load<M: ReadRow>(rows: Vec<M>, tree: Tree, relate: &mut dyn Relate) -> Result<Vec<M>> {
    let mut levels_left = tree.depth();
    let mut root = Node::new(rows, tree);
    let mut level: Vec<&mut dyn Level> = vec![&mut root];
    while levels_left > 0 {
        levels_left -= 1;
        let types = |model| relate.types(model);
        let mut questions = Vec::new();
        let mut of_each = Vec::new();
        for rows in &mut level {
            let asked = rows.ask(&types)?;
            of_each.push(asked.len());
            questions.extend(asked);
        }
        let mut answers = relate.answer(questions, levels_left == 0).await?.into_iter();
        let types = |model| relate.types(model);
        for (rows, questions) in level.iter_mut().zip(of_each) {
            rows.take(answers.by_ref().take(questions).collect(), &types)?;
        }
        level = level.into_iter().flat_map(Level::below).collect();
    }
    drop(level);
    root.fill();
    Ok(root.rows)
}
