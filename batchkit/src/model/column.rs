//! One column of a model, and who writes it.

use postgres_types::Type;

/// Who gives a column its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// The caller, always.
    Plain,
    /// `#[batch(auto)]`: the caller if the row has it, else the server (an identity, a default). Read
    /// back; an update of all fields leaves it alone.
    Auto,
    /// `#[batch(computed)]`: the server alone (a generated column). Read back, never written.
    Computed,
}

/// How a field's value becomes a column's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// By the field type's own `ToSql`.
    Plain,
    /// `#[batch(json)]`: as a JSON document.
    Json,
    /// `#[batch(as = "…")]`: as another type.
    Converted,
}

/// One column of a model, as the derive describes it.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name of the struct's field.
    pub field: &'static str,
    /// The name of the column, unquoted.
    pub name: &'static str,
    /// Who gives it its value.
    pub kind: ColumnKind,
    /// The SQL expression that sets it on every update: `#[batch(on_update = "now()")]`.
    pub on_update: Option<&'static str>,
    /// The PostgreSQL type, when the struct names it: `#[batch(pg_type = "citext")]`.
    pub pg_type: Option<&'static str>,
    /// The field's type as it is written in the struct, for messages.
    pub rust_type: &'static str,
    /// How its value is encoded.
    pub encoding: Encoding,
    /// Whether a value of the field's type can be sent as that type; `None` for computed columns.
    pub writes: Option<fn(&Type) -> bool>,
    /// Whether a value of that type can be read into the field; `None` for write-only models.
    pub reads: Option<fn(&Type) -> bool>,
    /// Whether the field can hold SQL NULL; `None` where only the values tell (write-only models).
    pub nullable: Option<fn(&Type) -> bool>,
}

impl Column {
    /// Whether the struct's type for this column fits a column of type `ty`, in both directions.
    #[must_use]
    pub fn accepts(&self, ty: &Type) -> bool {
        self.writes.is_none_or(|fits| fits(ty)) && self.reads.is_none_or(|fits| fits(ty))
    }
}
