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

/// What a column means to batchkit itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnRole {
    /// Nothing: it is the caller's data.
    Data,
    /// `#[batch(version)]`: it counts the changes of its row, for optimistic locking.
    Version,
    /// `#[batch(soft_delete)]`: it marks rows as deleted, by a time or by `true`.
    SoftDelete,
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
    /// What it means to batchkit itself.
    pub role: ColumnRole,
    /// The SQL expression that sets it where an inserted row does not give it:
    /// `#[batch(on_insert = "gen_random_uuid()")]`.
    pub on_insert: Option<&'static str>,
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

    /// The SQL expression that sets the column where an inserted row does not give it: the one that the struct
    /// names; a new row has the version 1, and is not deleted.
    #[must_use]
    pub fn insert_expression(&self) -> Option<&'static str> {
        match self.role {
            ColumnRole::Data => self.on_insert,
            ColumnRole::Version => Some("1"),
            ColumnRole::SoftDelete if self.accepts(&Type::BOOL) => Some("false"),
            ColumnRole::SoftDelete => Some("NULL"),
        }
    }

    /// Whether the `new` form of the model has the column: the server fills in the others.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.kind == ColumnKind::Plain && self.on_insert.is_none()
    }
}
