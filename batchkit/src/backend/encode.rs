//! The caller's values as raw fields, and back.

use bytes::{Bytes, BytesMut};
use postgres_types::{FromSql, ToSql};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{As, BatchModel, Convert, Json, Model, ReadRow};
use crate::operation::decode as decode_fields;
use crate::plan::ByRows;
use crate::reject::KeyShape;
use crate::source::{ChildFault, Encoded, Feed, Keys, Layout, Rows};
use crate::wire::{ColumnType, ColumnWriter, EncodedRows, Fault, RowsBuilder, put_field};

/// The raw fields of one row, in PostgreSQL's binary form; `None` is NULL.
pub type RawRow = Vec<Option<Bytes>>;

/// Encodes rows: for each the fields of the columns that it gives ([`Rows::columns`]), in that order. `types` are
/// those of all of the model's columns.
///
/// # Errors
/// [`ErrorKind::InvalidRow`] with the position of the first row that has no form in these types;
/// [`ErrorKind::PreProcess`] where the caller's own code failed to make it.
pub fn encode_rows<M: BatchModel>(rows: Rows<'_, M>, types: &[ColumnType]) -> Result<Vec<RawRow>> {
    encode_all(rows.feed, M::MODEL, rows.columns, types)
}

/// Encodes keys: for each the fields of the key's columns, in its order. `types` are those of all of the model's
/// columns.
///
/// # Errors
/// [`ErrorKind::InvalidRow`] with the position of the first key that has no form in these types.
pub fn encode_keys<M: BatchModel>(keys: Keys<'_, M>, types: &[ColumnType]) -> Result<Vec<RawRow>> {
    encode_all(keys.feed, M::MODEL, keys.key.columns, types)
}

fn encode_all(
    mut feed: Box<dyn Feed + '_>,
    model: &'static Model,
    columns: &[usize],
    types: &[ColumnType],
) -> Result<Vec<RawRow>> {
    refuse_below(&*feed, model)?;
    let layout = layout(model, columns, &[], types)?;
    let mut encoded = RowsBuilder::default();
    let mut position = 0;
    while let Some(fate) = feed.encode_next(&layout, &mut encoded) {
        match fate {
            Encoded::Row | Encoded::Dropped => {}
            Encoded::Broken(reason) => return Err(Error::of_input(position, reason)),
            Encoded::Failed(reason) => return Err(Error::of_pre_process(position, reason)),
            Encoded::Invalid { column, fault, .. } => {
                let column = model.columns[columns[column]].name;
                return Err(Error::invalid_row(position, column, fault).in_table(model.display_name()));
            }
            Encoded::InvalidBelow(ChildFault { path, model, column, fault }) => {
                let error = Error::invalid_row(position, model.columns[column].name, fault);
                return Err(error.in_table(model.display_name()).below(path));
            }
        }
        position += 1;
    }
    Ok(raw_rows(&encoded.finish()))
}

/// Refuses rows that come with others below them, where there is no place for these.
pub(super) fn refuse_below(feed: &dyn Feed, model: &Model) -> Result<()> {
    if feed.children().is_empty() {
        return Ok(());
    }
    let what = "rows with others below them are for a new graph: Batch::of_graph";
    Err(Error::new(ErrorKind::Config, what).in_table(model.display_name()))
}

/// What these columns are encoded to; those of `key` tell the row.
pub(super) fn layout(model: &Model, columns: &[usize], key: &[usize], types: &[ColumnType]) -> Result<Layout> {
    let chosen = columns.iter().map(|&column| types.get(column).cloned()).collect::<Option<Vec<_>>>();
    let types = chosen.filter(|_| types.len() == model.columns.len()).ok_or_else(|| {
        let what = "one type is needed for each of the model's columns";
        Error::new(ErrorKind::Config, what).in_table(model.display_name())
    })?;
    let parts = key.iter().filter_map(|part| {
        let field = columns.iter().position(|column| column == part)?;
        Some((model.columns[*part].name, types[field].ty().clone(), field))
    });
    let key = KeyShape::of_columns(parts);
    Ok(Layout { columns: columns.to_vec(), types, forms: ByRows::default(), key, below: Vec::new() })
}

/// The fields of encoded rows; they share the rows' bytes.
pub(super) fn raw_rows(rows: &EncodedRows) -> Vec<RawRow> {
    let field = |field: Option<&[u8]>| field.map(|bytes| rows.bytes().slice_ref(bytes));
    (0..rows.len()).map(|row| rows.row(row).map(field).collect()).collect()
}

/// Reads one row: the raw fields of all of the model's columns in order, of these types.
///
/// # Errors
/// [`ErrorKind::Decode`] when the struct cannot hold a value.
pub fn decode<M: ReadRow>(row: &[Option<Bytes>], types: &[ColumnType]) -> Result<M> {
    let mut fields = BytesMut::new();
    row.iter().for_each(|field| put_field(&mut fields, field.as_deref()));
    decode_fields(&fields, types)
}

/// How the values of a typed [`Field<M, Self>`](crate::model::Field) are stored: by themselves, or as
/// `#[batch(json)]` and `#[batch(as = "…")]` say.
pub trait FieldValue {
    /// The field's own type.
    type Value;

    /// Appends a value as one field.
    ///
    /// # Errors
    /// When the value has no form in the column's type.
    fn put(value: &Self::Value, out: &mut ColumnWriter<'_>) -> Result<(), Fault>;
}

impl<T: ToSql> FieldValue for T {
    type Value = T;

    fn put(value: &T, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put(value)
    }
}

impl<T: Serialize> FieldValue for Json<T> {
    type Value = T;

    fn put(value: &T, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        out.put_json(value)
    }
}

impl<T, U> FieldValue for As<T, U>
where
    T: Clone + TryInto<U> + TryFrom<U>,
    U: ToSql + for<'a> FromSql<'a> + 'static,
{
    type Value = T;

    fn put(value: &T, out: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        let stored = Convert::<U, _>::to_stored(value).ok_or(Fault::OutOfRange)?;
        out.put(&stored)
    }
}

/// Encodes one value of a typed field.
///
/// # Errors
/// When the value has no form in the type.
pub fn encode_value<F: FieldValue>(value: &F::Value, ty: &ColumnType) -> Result<Option<Bytes>, Fault> {
    let mut row = RowsBuilder::default();
    row.push(std::slice::from_ref(ty), |_, out| F::put(value, out)).map_err(|(_, fault)| fault)?;
    Ok(raw_rows(&row.finish()).into_iter().flatten().next().flatten())
}
