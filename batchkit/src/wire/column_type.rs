//! The type of one column as the encoder needs it: the driver's type, and what to check in its bytes.

use postgres_types::{Kind, Type};

/// The type of one column, as the catalogue tells it.
#[derive(Debug, Clone)]
pub struct ColumnType {
    ty: Type,
    check: Check,
    range: Range,
    not_null: bool,
}

/// Which values of the type some libraries have no value for, decided once per column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    All,
    Date,
    Timestamp,
    Time,
    Numeric,
}

/// What has to be checked in a value's bytes, decided once per column and not once per value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Nothing,
    Text,
    Jsonb,
    TextArray,
    JsonbArray,
}

impl ColumnType {
    /// A column of type `ty`, where `None` may be stored unless `not_null`.
    ///
    /// A field may have the domain's type or the type below it; `accepts` tells which one the field takes.
    #[must_use]
    pub fn new(ty: Type, not_null: bool, accepts: impl Fn(&Type) -> bool) -> Self {
        let (check, range) = (Check::of(&ty), Range::of(&ty));
        let ty = if accepts(&ty) { ty } else { base(&ty).clone() };
        ColumnType { ty, check, range, not_null }
    }

    /// The type that the field's `ToSql` and `FromSql` are given.
    #[must_use]
    #[inline]
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// Whether the column refuses NULL.
    #[must_use]
    #[inline]
    pub fn not_null(&self) -> bool {
        self.not_null
    }

    #[inline]
    pub(super) fn check(&self) -> Check {
        self.check
    }

    #[inline]
    pub(super) fn range(&self) -> Range {
        self.range
    }
}

/// The type below all domains.
pub(crate) fn base(ty: &Type) -> &Type {
    match ty.kind() {
        Kind::Domain(inner) => base(inner),
        _ => ty,
    }
}

impl Range {
    fn of(ty: &Type) -> Self {
        match *base(ty) {
            Type::DATE => Range::Date,
            Type::TIMESTAMP | Type::TIMESTAMPTZ => Range::Timestamp,
            Type::TIME => Range::Time,
            Type::NUMERIC => Range::Numeric,
            _ => Range::All,
        }
    }
}

impl Check {
    fn of(ty: &Type) -> Self {
        let ty = base(ty);
        match ty.kind() {
            Kind::Array(element) => match Check::of(element) {
                Check::Text => Check::TextArray,
                Check::Jsonb => Check::JsonbArray,
                _ => Check::Nothing,
            },
            _ if *ty == Type::JSONB => Check::Jsonb,
            _ if is_text(ty) => Check::Text,
            _ => Check::Nothing,
        }
    }
}

fn is_text(ty: &Type) -> bool {
    matches!(*ty, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::XML | Type::UNKNOWN)
        || matches!(ty.name(), "citext")
        || matches!(ty.kind(), Kind::Enum(_))
}
