//! The relations of rows that were just inserted, out of what was inserted below them: nothing is asked.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;

use super::answers::{Answers, Block};
use super::branch::Question;
use super::load::Relate;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::session::StoredRow;
use crate::wire::{ColumnType, RawFields, RowsBuilder, put_field};

/// Stored rows by the relation that leads to them and by the key that it goes by.
#[derive(Default)]
pub(crate) struct Stored {
    types: Vec<(&'static Model, Arc<[ColumnType]>)>,
    rows: HashMap<&'static str, HashMap<Vec<u8>, Vec<StoredRow>>>,
}

impl Stored {
    /// Nothing yet, but how the columns of these models are encoded.
    pub(crate) fn new(types: Vec<(&'static Model, Arc<[ColumnType]>)>) -> Self {
        Stored { types, rows: HashMap::new() }
    }

    /// Adds the rows of the relation `label`, which goes by these of their columns.
    pub(crate) fn add(&mut self, label: &'static str, columns: &[usize], rows: Vec<StoredRow>) {
        let known = self.rows.entry(label).or_default();
        for row in rows {
            let mut key = BytesMut::new();
            let fields: Vec<Option<&[u8]>> = RawFields::new(row.fields()).collect();
            for &column in columns {
                put_field(&mut key, fields.get(column).copied().flatten());
            }
            known.entry(key.to_vec()).or_default().push(row);
        }
    }
}

#[async_trait]
impl Relate for Stored {
    fn types(&self, model: &'static Model) -> Result<Arc<[ColumnType]>> {
        let known = self.types.iter().find(|(known, _)| known.is(model)).map(|(_, types)| Arc::clone(types));
        known.ok_or_else(|| Error::new(ErrorKind::UnknownRelation, format!("`{}` was not inserted", model.name)))
    }

    async fn answer(&mut self, questions: Vec<Question>) -> Result<Vec<Answers>> {
        let answer = |question: Question| {
            let (mut builder, mut owners) = (RowsBuilder::default(), Vec::new());
            let rows = self.rows.get(question.association.label);
            for key in 0..question.keys.len() {
                for row in rows.and_then(|rows| rows.get(question.keys.fields(key))).into_iter().flatten() {
                    let fields: Vec<Option<&[u8]>> = RawFields::new(row.fields()).collect();
                    builder.push_raw(fields.into_iter());
                    owners.push(key);
                }
            }
            vec![Block::new(builder.finish(), owners)]
        };
        Ok(questions.into_iter().map(answer).collect())
    }
}
