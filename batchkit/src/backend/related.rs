//! Relations of rows that another store holds: it answers one question per relation and level.

use std::sync::Arc;

use async_trait::async_trait;

use super::encode::{RawRow, raw_rows};
use super::graph::RawGraph;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Association, Model, ReadRow, RelationPaths};
use crate::operation::relate_slots;
use crate::relation::{Answers, Block, Question, Relate, Tree};
use crate::wire::{ColumnType, RowsBuilder};

/// The question of one relation for the rows of one level: which rows are related to these keys.
#[derive(Debug)]
pub struct RelatedKeys {
    /// The model whose rows ask.
    pub model: &'static Model,
    /// The relation.
    pub association: &'static Association,
    /// The keys, each once and none with a NULL: the fields of the association's `columns`.
    pub keys: Vec<RawRow>,
}

/// A store that knows which rows are related.
#[async_trait]
pub trait RelatedRows: Send {
    /// The types of all columns of a model.
    ///
    /// # Errors
    /// Whatever keeps the store from telling.
    fn types(&self, model: &'static Model) -> Result<Arc<[ColumnType]>>;

    /// The related rows in the relation's order (of several rows of one key without an order declared: that of their
    /// own key), each behind the position of its key in the question, from 0: the fields of all of the model's columns.
    ///
    /// # Errors
    /// Whatever keeps the store from answering.
    async fn related(&mut self, asked: RelatedKeys) -> Result<Vec<(usize, RawRow)>>;
}

/// Loads the relations on these paths, for the rows that there are.
///
/// # Errors
/// [`ErrorKind::UnknownRelation`](crate::ErrorKind::UnknownRelation), before anything is asked; those of the store;
/// [`ErrorKind::Decode`](crate::ErrorKind::Decode) when a struct cannot hold a value.
pub async fn load_relations<M: ReadRow>(
    rows: Vec<Option<M>>,
    paths: &RelationPaths<M>,
    store: &mut dyn RelatedRows,
) -> Result<Vec<Option<M>>> {
    relate_slots(rows, Tree::of(M::MODEL, paths)?, &mut Store(store)).await
}

/// Fills in the relations of rows that were inserted with others below them, so many levels of these. The store
/// answers with what was inserted.
///
/// # Errors
/// Those of the store; [`ErrorKind::Decode`](crate::ErrorKind::Decode) when a struct cannot hold a value.
pub async fn load_graph<M: ReadRow>(
    rows: Vec<Option<M>>,
    graph: &RawGraph,
    levels: usize,
    store: &mut dyn RelatedRows,
) -> Result<Vec<Option<M>>> {
    // Also where nothing is below a row, that is known.
    relate_slots(rows, graph.tree(M::MODEL, levels + 1), &mut Store(store)).await
}

struct Store<'s>(&'s mut dyn RelatedRows);

#[async_trait]
impl Relate for Store<'_> {
    fn types(&self, model: &'static Model) -> Result<Arc<[ColumnType]>> {
        self.0.types(model)
    }

    async fn answer(&mut self, questions: Vec<Question>) -> Result<Vec<Answers>> {
        let mut answers = Vec::with_capacity(questions.len());
        for Question { model, association, keys, decode: _ } in questions {
            let keys = raw_rows(&keys);
            let count = keys.len();
            let (mut builder, mut owners) = (RowsBuilder::default(), Vec::new());
            if !keys.is_empty() {
                for (key, row) in self.0.related(RelatedKeys { model, association, keys }).await? {
                    // A store that answers for a key that is none is caught here, not where the rows are attached.
                    let unknown = || Error::new(ErrorKind::Accounting, "a related row belongs to no key");
                    owners.push((key < count).then_some(key).ok_or_else(unknown)?);
                    builder.push_raw(row.iter().map(Option::as_deref));
                }
            }
            answers.push(vec![Block::new(builder.finish(), owners)]);
        }
        Ok(answers)
    }
}
