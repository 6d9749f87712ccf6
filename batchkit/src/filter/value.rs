//! Values that columns are compared with: the caller's own types, forgotten, and encoded once a type is known.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use postgres_types::{ToSql, Type};

use crate::error::{Error, ErrorKind, Result};
use crate::wire::{ColumnType, ColumnWriter, Fault};

/// A value that a column is compared with. Its `Debug` does not print it.
#[derive(Clone)]
pub struct FilterValue(Arc<dyn EncodeValue>);

/// The values that a column may equal. Its `Debug` does not print them.
#[derive(Clone)]
pub struct FilterValues(Arc<dyn EncodeValues>);

impl FilterValue {
    pub(super) fn new(value: impl EncodeValue) -> Self {
        FilterValue(Arc::new(value))
    }

    /// The value in PostgreSQL's binary form of `ty`; `None` is NULL. A domain's form is that of the type below
    /// it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFilter`] when the value has no form in `ty`.
    pub fn encode(&self, ty: &Type) -> Result<Option<Vec<u8>>> {
        encoded(ty, |out| self.0.write(ty, out))
    }
}

impl FilterValues {
    pub(super) fn new<V: EncodeValue>(values: Vec<V>) -> Self {
        FilterValues(Arc::new(values))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none: then no row fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values one after the other, each as [`FilterValue::encode`] gives it.
    pub fn encode<'a>(&'a self, ty: &'a Type) -> impl Iterator<Item = Result<Option<Vec<u8>>>> + 'a {
        (0..self.len()).map(|index| encoded(ty, |out| self.0.write(index, ty, out)))
    }
}

impl fmt::Debug for FilterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl fmt::Debug for FilterValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "… ({})", self.len())
    }
}

/// What `write` appends as one field, without its length; `None` is NULL.
fn encoded(ty: &Type, write: impl FnOnce(&mut BytesMut) -> Result<(), Refusal>) -> Result<Option<Vec<u8>>> {
    let mut out = BytesMut::new();
    write(&mut out).map_err(|refusal| {
        let what = match refusal {
            Refusal::Fault(fault) => format!("a value of the filter cannot be compared: {fault}"),
            Refusal::Type(rust) => format!("a value of type `{rust}` cannot be compared with one of type {ty}"),
        };
        Error::new(ErrorKind::InvalidFilter, what)
    })?;
    let null = out.starts_with(&(-1i32).to_be_bytes());
    Ok((!null).then(|| out.split_off(4).to_vec()))
}

/// Why a value could not be encoded. Never holds the value.
#[derive(Debug)]
pub enum Refusal {
    /// The value has no form in the type.
    Fault(Fault),
    /// No value of this Rust type has.
    Type(&'static str),
}

/// A value that can be encoded once the type is known.
pub trait EncodeValue: Send + Sync + 'static {
    /// Appends the value as one field of `ty`.
    ///
    /// # Errors
    /// When it has no form in that type.
    fn write(&self, ty: &Type, out: &mut BytesMut) -> Result<(), Refusal>;
}

/// Several of them.
trait EncodeValues: Send + Sync + 'static {
    fn len(&self) -> usize;
    fn write(&self, index: usize, ty: &Type, out: &mut BytesMut) -> Result<(), Refusal>;
}

impl<V: EncodeValue> EncodeValues for Vec<V> {
    fn len(&self) -> usize {
        self.len()
    }

    fn write(&self, index: usize, ty: &Type, out: &mut BytesMut) -> Result<(), Refusal> {
        self[index].write(ty, out)
    }
}

/// Appends a value by its own binary form, or that of the type below a domain.
pub(super) fn write_plain<T: ToSql>(value: &T, ty: &Type, out: &mut BytesMut) -> Result<(), Refusal> {
    let column = ColumnType::new(ty.clone(), false, T::accepts);
    if !T::accepts(column.ty()) {
        return Err(Refusal::Type(std::any::type_name::<T>()));
    }
    ColumnWriter::new(out, &column).put(value).map_err(Refusal::Fault)
}

/// A value in its own binary form.
#[derive(Debug)]
pub struct Plain<T>(pub(super) T);

impl<T: ToSql + Send + Sync + 'static> EncodeValue for Plain<T> {
    fn write(&self, ty: &Type, out: &mut BytesMut) -> Result<(), Refusal> {
        write_plain(&self.0, ty, out)
    }
}

/// A value in the form that its field is stored as; `None` does not fit that.
#[derive(Debug)]
pub struct Converted<S>(pub(super) Option<S>);

impl<S: ToSql + Send + Sync + 'static> EncodeValue for Converted<S> {
    fn write(&self, ty: &Type, out: &mut BytesMut) -> Result<(), Refusal> {
        write_plain(self.0.as_ref().ok_or(Refusal::Fault(Fault::OutOfRange))?, ty, out)
    }
}

/// A JSON document; `None` could not be serialised.
#[derive(Debug)]
pub struct Document(pub(super) Option<serde_json::Value>);

impl EncodeValue for Document {
    fn write(&self, ty: &Type, out: &mut BytesMut) -> Result<(), Refusal> {
        write_plain(self.0.as_ref().ok_or(Refusal::Fault(Fault::Json))?, ty, out)
    }
}
