//! What the compiler checks of a patch against its model. Used by generated code.

use super::column::Encoding;
use super::field::Field;
use super::{ColumnKind, Model};

/// A type of a patch's field that stands for the model's field type `T`.
#[diagnostic::on_unimplemented(
    message = "the model's field has type `{T}`, this one `{Self}`",
    label = "not the model's type",
    note = "a patch's field has the type of the model's field (or `&str` for `String`, `&[u8]` for `Vec<u8>`)"
)]
pub trait PatchValue<T> {}

impl<T> PatchValue<T> for T {}
impl<T> PatchValue<T> for &T {}
impl PatchValue<String> for &str {}
impl PatchValue<Option<String>> for Option<&str> {}
impl PatchValue<Box<str>> for &str {}
impl PatchValue<Vec<u8>> for &[u8] {}
impl PatchValue<Option<Vec<u8>>> for Option<&[u8]> {}

/// Compiles where a `P` can patch the model's field.
pub fn patches<M, T, P: PatchValue<T>>(_: Field<M, T>) {}

/// Fails to compile where a patch does not fit its model.
///
/// # Panics
/// At compile time only.
#[expect(clippy::panic, reason = "evaluated by the compiler, where a panic is the message")]
pub const fn check_patch(model: &Model, positions: &[usize], encodings: &[Encoding]) {
    let Some(key) = model.key else { panic!("the model has no key, by which a patch would find its row") };
    let mut part = 0;
    while part < key.columns.len() {
        let mut found = false;
        let mut at = 0;
        while at < positions.len() {
            found = found || positions[at] == key.columns[part];
            at += 1;
        }
        assert!(found, "the patch lacks a field of the model's key");
        part += 1;
    }
    let mut at = 0;
    while at < positions.len() {
        let column = &model.columns[positions[at]];
        assert!(!matches!(column.kind, ColumnKind::Computed), "a patch cannot set a computed column");
        let same = matches!(
            (column.encoding, encodings[at]),
            (Encoding::Plain, Encoding::Plain)
                | (Encoding::Json, Encoding::Json)
                | (Encoding::Converted, Encoding::Converted)
        );
        assert!(same, "repeat the model's #[batch(json)] or #[batch(as = \"…\")] on the patch's field");
        at += 1;
    }
}

/// The positions in ascending order.
#[must_use]
pub const fn ascending<const N: usize>(mut positions: [usize; N]) -> [usize; N] {
    let mut end = N;
    while end > 1 {
        let mut at = 1;
        while at < end {
            if positions[at - 1] > positions[at] {
                (positions[at - 1], positions[at]) = (positions[at], positions[at - 1]);
            }
            at += 1;
        }
        end -= 1;
    }
    positions
}
