//! Rows that are turned away while the others go in.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use postgres_types::{FromSqlOwned, Type};

use crate::error::{Error, ErrorKind};
use crate::wire::RawFields;

/// A row that was turned away, and why. Its `Debug` prints no value of the row.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reject {
    /// The row's position in the input, from 0.
    pub position: usize,
    /// The row's key: the primary key where the rows give it, else the first unique key that they give.
    pub key: Option<RejectKey>,
    /// What was wrong with it.
    pub kind: ErrorKind,
    /// The SQLSTATE; `None` for a row that was not sent because it has no form in the table's types.
    pub sqlstate: Option<String>,
    /// The constraint that it breaks.
    pub constraint: Option<String>,
    /// The column to blame, where one is.
    pub column: Option<String>,
    /// In a graph, the way from the row to the one below it that is to blame: `lines[3]`, or `lines`.
    pub path: Option<String>,
    /// What the caller's own [`pre_process`](crate::BatchOperations::pre_process) said of it; `Debug` prints only
    /// that there is something.
    pub reason: Option<String>,
}

impl fmt::Debug for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reject { position, key, kind, sqlstate, constraint, column, path, reason } = self;
        f.debug_struct("Reject")
            .field("position", position)
            .field("key", key)
            .field("kind", kind)
            .field("sqlstate", sqlstate)
            .field("constraint", constraint)
            .field("column", column)
            .field("path", path)
            .field("reason", &reason.as_ref().map(|_| format_args!("…")))
            .finish()
    }
}

impl Reject {
    /// The row at this position, turned away for this error.
    pub(crate) fn new(position: usize, error: &Error) -> Self {
        Reject {
            position,
            key: None,
            kind: error.kind(),
            sqlstate: error.sqlstate().map(|state| state.code().to_owned()),
            constraint: error.constraint().map(str::to_owned),
            column: error.column().map(str::to_owned),
            path: error.path().map(str::to_owned),
            reason: error.reason().map(str::to_owned),
        }
    }

    /// The same, with its key.
    pub(crate) fn with_key(self, key: Option<RejectKey>) -> Self {
        Reject { key, ..self }
    }
}

/// The key of a row that was turned away. Its `Debug` prints no value: ask for them with [`get`](Self::get).
#[derive(Clone, PartialEq, Eq)]
pub struct RejectKey {
    shape: Arc<KeyShape>,
    /// The key's fields, each a length and bytes.
    fields: Bytes,
}

impl RejectKey {
    /// The names of the key's columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.shape.columns.iter().map(|column| column.name)
    }

    /// The value of the key's column called `column`; `None` where there is no such column, it is NULL, or `T` is
    /// not of its type.
    #[must_use]
    pub fn get<T: FromSqlOwned>(&self, column: &str) -> Option<T> {
        let at = self.shape.columns.iter().position(|known| known.name == column)?;
        let ty = &self.shape.columns[at].ty;
        let raw = RawFields::new(&self.fields).nth(at).flatten()?;
        if T::accepts(ty) { T::from_sql(ty, raw).ok() } else { None }
    }
}

impl fmt::Debug for RejectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RejectKey").field(&self.columns().collect::<Vec<_>>()).finish()
    }
}

/// Which fields of the encoded rows are their key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyShape {
    columns: Vec<KeyColumn>,
}

/// One column of the key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    /// Its name.
    pub(crate) name: &'static str,
    /// The type that its values are encoded as.
    pub(crate) ty: Type,
    /// Where it is among the encoded fields.
    pub(crate) field: usize,
}

impl KeyShape {
    pub(crate) fn new(columns: Vec<KeyColumn>) -> Arc<Self> {
        Arc::new(KeyShape { columns })
    }

    /// The same of names, types and fields.
    pub(crate) fn of_columns(columns: impl Iterator<Item = (&'static str, Type, usize)>) -> Arc<Self> {
        KeyShape::new(columns.map(|(name, ty, field)| KeyColumn { name, ty, field }).collect())
    }

    /// The fields that are the key, in its order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|column| column.field)
    }

    /// The key of an encoded row.
    pub(crate) fn of(self: &Arc<Self>, row: &RawFields<'_>) -> Option<RejectKey> {
        let fields = self.fields().filter_map(|field| row.clone().nth(field));
        self.from_fields(fields)
    }

    /// A key of these fields, which are all of its columns.
    pub(crate) fn from_fields<'f>(
        self: &Arc<Self>,
        fields: impl Iterator<Item = Option<&'f [u8]>>,
    ) -> Option<RejectKey> {
        if self.columns.is_empty() {
            return None;
        }
        let mut bytes = bytes::BytesMut::new();
        fields.for_each(|field| crate::wire::put_field(&mut bytes, field));
        Some(RejectKey { shape: Arc::clone(self), fields: bytes.freeze() })
    }
}

/// Called with each reject.
type Callback = dyn Fn(&Reject) + Send + Sync;

/// Who is handed each reject, once its chunk is in.
#[derive(Clone, Default)]
pub(crate) struct RejectSink(Option<Arc<Callback>>);

impl RejectSink {
    pub(crate) fn new(sink: impl Fn(&Reject) + Send + Sync + 'static) -> Self {
        RejectSink(Some(Arc::new(sink)))
    }

    pub(crate) fn take(&self, rejects: &[Reject]) {
        if let Some(sink) = &self.0 {
            rejects.iter().for_each(|reject| sink(reject));
        }
    }
}

impl fmt::Debug for RejectSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "RejectSink(set)" } else { "RejectSink" })
    }
}
