//! Which Rust types a version and a mark of deletion can have. Used by generated code.

/// A type that counts the changes of a row: `#[batch(version)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a version",
    label = "not a type that counts versions",
    note = "a version is an `i16`, `i32` or `i64`"
)]
pub trait VersionValue {}

impl VersionValue for i16 {}
impl VersionValue for i32 {}
impl VersionValue for i64 {}

/// A type that tells whether a row is deleted: `#[batch(soft_delete)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot tell whether a row is deleted",
    label = "neither an `Option` nor a `bool`",
    note = "a mark of deletion is the time of it, `None` as long as the row is not deleted, or a `bool`"
)]
pub trait SoftDeleteValue {}

impl SoftDeleteValue for bool {}
impl<T> SoftDeleteValue for Option<T> {}

/// Fails to compile where the field's type is no version.
pub const fn check_version<T: VersionValue>() {}

/// Fails to compile where the field's type is no mark of deletion.
pub const fn check_soft_delete<T: SoftDeleteValue>() {}
