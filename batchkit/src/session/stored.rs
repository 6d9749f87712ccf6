//! What became of each row of a chunk, and the stored rows that belong to them.

use std::sync::Arc;

use crate::model::ReadRow;
use crate::report::Outcome;
use crate::wire::{EncodedRows, ReadFault};

/// Where a stored row is among the rows that the server answered.
#[derive(Debug, Clone)]
pub(crate) struct StoredRow {
    block: Arc<EncodedRows>,
    row: usize,
    /// The bytes in front of its fields.
    head: usize,
}

impl StoredRow {
    pub(crate) fn new(block: &Arc<EncodedRows>, row: usize, head: usize) -> Self {
        StoredRow { block: Arc::clone(block), row, head }
    }

    /// The fields of the stored row.
    pub(crate) fn fields(&self) -> &[u8] {
        self.block.fields(self.row).get(self.head..).unwrap_or_default()
    }

    /// Takes out what it was decoded to as it came, if it was and nobody has taken it.
    pub(crate) fn take_decoded<M: ReadRow>(&self) -> Option<Result<M, ReadFault>> {
        self.block.take_decoded(self.row)
    }
}

/// What became of a row, and the stored row if there is one.
pub(crate) type RowAnswer = (Outcome, Option<StoredRow>);

/// What became of the rows of a chunk.
#[derive(Debug)]
pub(crate) enum RowAnswers {
    /// Each by itself.
    Each(Vec<RowAnswer>),
    /// All had this outcome, and each is stored as the row with the same number.
    InStep(Outcome, Arc<EncodedRows>),
}

impl Default for RowAnswers {
    fn default() -> Self {
        RowAnswers::Each(Vec::new())
    }
}

impl RowAnswers {
    /// How many rows they are.
    pub(crate) fn len(&self) -> usize {
        match self {
            RowAnswers::Each(rows) => rows.len(),
            RowAnswers::InStep(_, block) => block.len(),
        }
    }

    /// Each row by itself.
    pub(crate) fn into_each(self) -> Vec<RowAnswer> {
        match self {
            RowAnswers::Each(rows) => rows,
            RowAnswers::InStep(outcome, block) => {
                (0..block.len()).map(|row| (outcome, Some(StoredRow::new(&block, row, 0)))).collect()
            }
        }
    }

    /// The same, where they stay.
    pub(crate) fn each(&mut self) -> &mut Vec<RowAnswer> {
        if let RowAnswers::InStep(..) = self {
            *self = RowAnswers::Each(std::mem::take(self).into_each());
        }
        match self {
            RowAnswers::Each(rows) => rows,
            RowAnswers::InStep(..) => unreachable!("they are each by itself"),
        }
    }

    /// Appends what became of more rows.
    pub(crate) fn append(&mut self, more: RowAnswers) {
        if self.len() == 0 {
            *self = more;
        } else {
            self.each().extend(more.into_each());
        }
    }
}
