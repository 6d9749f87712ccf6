//! A table as the server describes it. The field names are those of the catalogue query's JSON.

use postgres_types::{Kind, Oid, Type};
use serde::Deserialize;

use crate::wire::base;

/// A table as the server describes it.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Table {
    /// The database that it is in.
    pub database: String,
    /// The schema it was found in.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What kind of relation it is.
    pub kind: RelationKind,
    /// The OID of its row type.
    pub row_type: Oid,
    /// How many rows the server took it to have when it was asked; `None` or 0 where it had not been analysed yet.
    pub rows: Option<u64>,
    /// Whether row security applies to the current user.
    pub row_security: bool,
    /// Whether it has rules.
    pub rules: bool,
    /// Whether it lies on another server, or one of its partitions does.
    pub is_foreign: bool,
    /// What the current user may do with it.
    pub rights: Rights,
    /// Its columns in order, dropped ones left out.
    pub columns: Vec<TableColumn>,
    /// Its unique indexes, primary key included.
    pub keys: Vec<TableKey>,
    /// Its check constraints.
    pub checks: Vec<CheckConstraint>,
    /// Its foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Its triggers and those of its partitions, the server's internal ones left out.
    pub triggers: Vec<Trigger>,
}

/// The kind of a relation, `pg_class.relkind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum RelationKind {
    /// An ordinary table.
    #[serde(rename = "r")]
    Table,
    /// A partitioned table.
    #[serde(rename = "p")]
    Partitioned,
    /// A foreign table.
    #[serde(rename = "f")]
    Foreign,
    /// A view.
    #[serde(rename = "v")]
    View,
    /// Anything else; nothing can be written there.
    #[serde(other)]
    Other,
}

/// What the current user may do with a table.
#[derive(Debug, Clone, Copy, Deserialize)]
#[non_exhaustive]
pub struct Rights {
    /// SELECT on the table.
    pub select: bool,
    /// INSERT on the table.
    pub insert: bool,
    /// UPDATE on the table.
    pub update: bool,
    /// DELETE on the table.
    pub delete: bool,
    /// TEMP on the database: staging tables can be made.
    pub temp: bool,
}

/// A column of a table.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// The OID of its type (a domain's own).
    pub type_oid: Oid,
    /// Its type as SQL text, schema-qualified where needed, with the modifiers that round (a numeric's
    /// scale, a timestamp's precision) and without those that would cut in a cast (lengths).
    pub type_sql: String,
    /// The same without any modifier.
    pub bare_type_sql: String,
    /// Its type as the driver knows it; set behind the query.
    #[serde(skip, default = "unknown_type")]
    pub ty: Type,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// Whether its type itself refuses NULL: a NOT NULL domain, or one over such a domain.
    pub refuses_null: bool,
    /// Whether `unnest` would take its values apart: arrays and composites.
    pub taken_apart: bool,
    /// Whether a type modifier or the type itself can change a value that is stored (rounding, padding).
    pub modified: bool,
    /// Whether it is an identity column.
    pub identity: Option<Identity>,
    /// Whether it is a generated column.
    pub generated: bool,
    /// The SQL expression of its default; for an identity, the `nextval` of its sequence.
    pub default: Option<String>,
    /// Whether the current user may evaluate that default (USAGE or UPDATE on its sequence).
    pub default_allowed: bool,
    /// Its collation as SQL text, if it is not its type's own.
    pub collation: Option<String>,
    /// Whether equal texts have equal bytes, under its collation and in UTF-8: other encodings may have one character for
    /// several of it.
    pub deterministic: bool,
}

impl TableColumn {
    /// Whether the server finds two of its values equal exactly when their bytes are. What is equal otherwise (citext,
    /// numeric, char(n), floats, ICU collations, values that the column rounds), only the server can say.
    pub(crate) fn equal_bytes(&self) -> bool {
        let text = matches!(*base(&self.ty), Type::TEXT | Type::VARCHAR);
        !self.modified && equal_by_bytes(&self.ty) && (self.deterministic || !text)
    }
}

/// The same of values of this type; of texts, where their collation is deterministic.
pub(crate) fn equal_by_bytes(ty: &Type) -> bool {
    let ty = base(ty);
    let plain = matches!(
        *ty,
        Type::BOOL
            | Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::OID
            | Type::CHAR
            | Type::UUID
            | Type::DATE
            | Type::TIME
            | Type::TIMESTAMP
            | Type::TIMESTAMPTZ
            | Type::BYTEA
            | Type::TEXT
            | Type::VARCHAR
    );
    plain || matches!(ty.kind(), Kind::Enum(_))
}

fn unknown_type() -> Type {
    Type::UNKNOWN
}

/// When an identity column takes the server's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Identity {
    /// GENERATED ALWAYS: unless OVERRIDING SYSTEM VALUE is said.
    #[serde(rename = "a")]
    Always,
    /// GENERATED BY DEFAULT: unless a value is given.
    #[serde(rename = "d")]
    ByDefault,
}

/// A unique index.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct TableKey {
    /// The index's name, which is its constraint's too.
    pub name: String,
    /// The names of its columns; an expression is `None`.
    pub columns: Vec<Option<String>>,
    /// Whether it is the primary key.
    pub primary: bool,
    /// The predicate of a partial index.
    pub predicate: Option<String>,
    /// Whether it can be checked at the end of a transaction only.
    pub deferrable: bool,
    /// Whether it is ready for use.
    pub valid: bool,
    /// Whether two NULLs are equal to it (PostgreSQL 15).
    pub nulls_not_distinct: bool,
}

impl TableKey {
    /// Whether it is of this column only, and at any time no two rows have the same value.
    pub(crate) fn is_alone(&self, column: &str) -> bool {
        let is_of_it = matches!(&self.columns[..], [Some(one)] if one == column);
        is_of_it && self.valid && self.predicate.is_none() && !self.deferrable
    }
}

/// A check constraint.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct CheckConstraint {
    /// Its name.
    pub name: String,
    /// Its SQL expression.
    pub expression: String,
}

/// A foreign key.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// The referenced table as SQL text.
    pub references: String,
    /// The names of the referenced columns.
    pub referenced_columns: Vec<String>,
    /// Whether it can be checked at the end of a transaction only.
    pub deferrable: bool,
    /// Whether it references its own table.
    pub to_itself: bool,
    /// Whether the current user sees all rows of the referenced table.
    pub visible: bool,
}

/// A trigger.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// Whether it runs for each row.
    pub row: bool,
    /// Whether it runs before the row is written.
    pub before: bool,
    /// Whether it runs on INSERT.
    pub insert: bool,
    /// Whether it runs on UPDATE.
    pub update: bool,
    /// Whether it runs on DELETE.
    pub delete: bool,
}

impl Table {
    /// The column called `name`.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether COPY FROM may write here: not through row security, rules or views.
    #[must_use]
    pub fn takes_copy(&self) -> bool {
        let kind = matches!(self.kind, RelationKind::Table | RelationKind::Partitioned | RelationKind::Foreign);
        kind && !self.row_security && !self.rules
    }

    /// Whether a trigger may change or drop a row before it is inserted.
    #[must_use]
    pub fn triggers_before_insert(&self) -> bool {
        self.triggers.iter().any(|trigger| trigger.before && trigger.row && trigger.insert)
    }
}
