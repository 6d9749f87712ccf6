//! What the compiler checks of a derived patch against its model, as the derive sees the patch alone.
//! Used by generated code.

use std::borrow::Cow;

use super::convert::{As, Json};
use super::field::Field;
use super::{ColumnKind, ColumnRole, Model};

/// A type that a patch's field may have, where the model's field is a `T`.
///
/// The model's own type, a reference to it, the borrowed forms of text, bytes and lists, and for a nullable
/// column also the bare value.
#[diagnostic::on_unimplemented(
    message = "a patch's `{Self}` does not fit the model's field, which is `{T}`",
    label = "the model's field is `{T}`",
    note = "write the type of the model's field, a reference to it, or `&str` for `String` and `&[T]` for `Vec<T>`",
    note = "`Json<…>` is a field with `#[batch(json)]`, `As<…, U>` one with `#[batch(as = \"U\")]`: the patch's field needs what the model's has"
)]
pub trait PatchValue<T> {}

impl<T> PatchValue<T> for T {}
impl<T> PatchValue<T> for &T {}
impl<T> PatchValue<Option<T>> for T {}
impl<T> PatchValue<Option<T>> for &T {}
impl<T> PatchValue<Option<T>> for Option<&T> {}
impl<T> PatchValue<Vec<T>> for &[T] {}
impl<T> PatchValue<Option<Vec<T>>> for &[T] {}
impl<T> PatchValue<Option<Vec<T>>> for Option<&[T]> {}
impl<T> PatchValue<Json<T>> for Json<&T> {}

macro_rules! borrowed_text {
    ($($owned:ty),*) => {$(
        impl PatchValue<$owned> for &str {}
        impl PatchValue<$owned> for Cow<'_, str> {}
        impl PatchValue<Option<$owned>> for &str {}
        impl PatchValue<Option<$owned>> for Cow<'_, str> {}
        impl PatchValue<Option<$owned>> for Option<&str> {}
        impl PatchValue<Option<$owned>> for Option<Cow<'_, str>> {}
    )*};
}

borrowed_text!(String, Box<str>);

// A model that is only written may borrow its text; a patch of it may own it.
impl PatchValue<&str> for String {}
impl PatchValue<&str> for Cow<'_, str> {}
impl PatchValue<Cow<'_, str>> for String {}
impl PatchValue<Cow<'_, str>> for &str {}

impl<T, U> PatchValue<As<Option<T>, U>> for As<T, U> {}

/// The position of the model's field that a patch's field of type `P` is for.
pub const fn position<P: PatchValue<T>, M, T>(field: Field<M, T>) -> usize {
    field.position()
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

/// Fails to compile where a patch of the columns at `positions` does not fit the model. One that
/// `ignores_version` overwrites what others have written since its row was read.
///
/// # Panics
/// At compile time only.
#[track_caller]
pub const fn check_patch(model: &Model, positions: &[usize], ignores_version: bool) {
    // The stub of a model whose own derive failed: that is the error to mend.
    if model.columns.is_empty() {
        return;
    }
    let Some(key) = model.key else {
        refuse(&["`", model.name, "` has no `#[batch(key)]`, by which a patch would find its row"]);
    };
    let mut part = 0;
    while part < key.columns.len() {
        let column = key.columns[part];
        if !contains(positions, column) {
            refuse(&["the patch lacks the field `", model.columns[column].field, "` of the key of `", model.name, "`"]);
        }
        part += 1;
    }
    let mut at = 0;
    while at < positions.len() {
        let column = &model.columns[positions[at]];
        if matches!(column.kind, ColumnKind::Computed) {
            refuse(&["the server computes the column of `", column.field, "`: a patch cannot set it"]);
        }
        at += 1;
    }
    check_version_of_patch(model, positions, ignores_version);
}

#[track_caller]
const fn check_version_of_patch(model: &Model, positions: &[usize], ignores_version: bool) {
    let mut at = 0;
    while at < model.columns.len() {
        if matches!(model.columns[at].role, ColumnRole::Version) {
            let field = model.columns[at].field;
            match (contains(positions, at), ignores_version) {
                (true, false) | (false, true) => return,
                (true, true) => refuse(&["the patch has the field `", field, "`: remove it, or `ignore_version`"]),
                (false, false) => refuse(&[
                    "the patch lacks the version `",
                    field,
                    "` of `",
                    model.name,
                    "`: add it, or `#[batch(ignore_version)]` to overwrite what others have written",
                ]),
            }
        }
        at += 1;
    }
    if ignores_version {
        refuse(&["`", model.name, "` has no version: remove `ignore_version`"]);
    }
}

const fn contains(positions: &[usize], position: usize) -> bool {
    let mut at = 0;
    while at < positions.len() {
        if positions[at] == position {
            return true;
        }
        at += 1;
    }
    false
}

/// Panics with these texts as the message, or as much of them as there is room for.
#[expect(clippy::panic, reason = "evaluated by the compiler, where a panic is the message")]
#[track_caller]
const fn refuse(parts: &[&str]) -> ! {
    let mut message = [0; 512];
    let mut length = 0;
    let mut part = 0;
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        // Whole parts only, so that no character is cut.
        if length + bytes.len() <= message.len() {
            message.split_at_mut(length).1.split_at_mut(bytes.len()).0.copy_from_slice(bytes);
            length += bytes.len();
        }
        part += 1;
    }
    match std::str::from_utf8(message.split_at(length).0) {
        Ok(message) => panic!("{}", message),
        Err(_) => panic!("the patch does not fit its model"),
    }
}
