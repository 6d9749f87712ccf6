//! How the bytes of encoded rows lie: as the transport that is going to send them wants them.

use std::sync::Arc;

use postgres_types::Oid;

/// How the bytes of rows lie. Whichever it is, rows can be read, cut and sent by every transport; only to one of them
/// the bytes go as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum RowForm {
    /// One row behind the other, as in binary COPY: the number of fields, then a length and bytes for each.
    #[default]
    Copy,
    /// One row behind the other, as elements of an array of the table's row type: the row's length and the number of
    /// its fields, then its type, a length and bytes for each.
    Elements(Arc<[Oid]>),
    /// All fields of a column behind each other, as elements of an array: a length and bytes for each.
    Columns,
}

impl RowForm {
    /// The bytes of a row in front of its first field.
    pub(super) fn head(&self) -> usize {
        match self {
            RowForm::Copy => 2,
            RowForm::Elements(_) => 8,
            RowForm::Columns => 0,
        }
    }

    /// The bytes in front of each field.
    pub(super) fn gap(&self) -> usize {
        match self {
            RowForm::Elements(_) => 4,
            RowForm::Copy | RowForm::Columns => 0,
        }
    }
}
