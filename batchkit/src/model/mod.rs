//! What a struct says about its table: the traits and descriptions that `#[derive(BatchModel)]` fills in.
//!
//! Nothing here does I/O, and [`Model`] is not generic: all that comes after encoding works on
//! `&'static Model` and owned bytes, so it is compiled once and not once per struct.
//!
//! | type | says |
//! |---|---|
//! | [`BatchModel`] | this struct stands for a table: its [`Model`], typed names of its fields and keys |
//! | [`WriteRow`], [`InsertRow`], [`PatchRow`] | this struct can be written into that table, and which columns it gives |
//! | [`ReadRow`] | this struct can be read back |
//! | [`KeyFor`], [`ReadKey`] | this value can be looked up as that key; stored rows can be told by it |
//! | [`Related`], [`Relation`], [`Association`] | what rows are related to: as a field, by its typed name, as it is described |

mod column;
mod convert;
mod field;
mod graph;
mod habit;
mod key;
mod patch;
mod related;
mod relation;
mod row;
mod value;

pub use column::{Column, ColumnKind, ColumnRole, Encoding};
pub use convert::{As, Convert, Json};
pub(crate) use convert::{InOption, Itself};
pub(crate) use field::positions;
pub use field::{Field, FieldNames, Fields};
#[doc(hidden)]
pub use graph::{Child, GraphRows, graph_rows};
pub use habit::{SoftDeleteValue, VersionValue};
#[doc(hidden)]
pub use habit::{check_soft_delete, check_version};
pub use key::{KeyFor, KeyPart, NoKey, ReadKey, ReadPart, Unique, UniqueKey};
#[doc(hidden)]
pub use patch::{PatchValue, ascending, check_patch, position};
pub use related::{Related, RelatedValue, RelationField, ToMany, ToOne};
pub use relation::{Association, Relation, RelationOrder, RelationPaths, Relations, Relationship, Through};
#[doc(hidden)]
pub use relation::{
    FieldTypes, NamesKey, NamesKeys, check_fields, check_names, key_columns, model_of, named_position, naming_position,
};
pub use row::{InsertRow, PatchRow, ReadRow, WriteRow};
pub use value::{ColumnValue, FromColumn, ToColumn};

/// A struct that stands for the rows of one table. Made by `#[derive(BatchModel)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a batch model",
    label = "this type stands for no table",
    note = "add `#[derive(BatchModel)]` and `#[batch(table = \"...\")]` to the struct"
)]
pub trait BatchModel: Sized + Send + Sync {
    /// The description of the table, as far as the struct tells it.
    const MODEL: &'static Model;

    /// The types of the key's fields as a tuple, in the struct's order: `(i64,)`, `(i32, String)`.
    /// [`NoKey`] for a model without a key.
    type Key;

    /// A struct with one [`Field`] for each column, named like the struct's own fields.
    type Fields;

    /// The typed names of the columns: `Product::FIELDS.price`.
    const FIELDS: Self::Fields;

    /// A struct with one [`Unique`] for each `#[batch(unique)]` key.
    type Keys;

    /// The typed names of the unique keys beside the primary one: `Product::KEYS.sku`.
    const KEYS: Self::Keys;

    /// A struct with one [`Relation`] for each relation, named like the struct's own fields.
    type Relations;

    /// The typed names of the relations: `Product::RELATIONS.reviews`.
    const RELATIONS: Self::Relations;
}

/// The description of a table, as far as a struct tells it.
#[derive(Debug)]
pub struct Model {
    /// The struct's name, for messages.
    pub name: &'static str,
    /// The struct's name with its path, by which what is known of its table is kept.
    pub type_name: fn() -> &'static str,
    /// The schema, when the struct names one; otherwise the server's `search_path` decides.
    pub schema: Option<&'static str>,
    /// The table's name, unquoted.
    pub table: &'static str,
    /// The columns, in the order of the struct's fields.
    pub columns: &'static [Column],
    /// The primary key, when the struct declares one.
    pub key: Option<UniqueKey>,
    /// The other declared unique keys.
    pub unique: &'static [UniqueKey],
    /// The relations to other models, in the order of the struct's fields.
    pub associations: &'static [Association],
}

impl Model {
    /// The position of the column whose field or column is called `name`; a field's name goes first.
    #[must_use]
    pub fn column_named(&self, name: &str) -> Option<usize> {
        let by = |pick: fn(&Column) -> &'static str| self.columns.iter().position(|c| pick(c) == name);
        by(|c| c.field).or_else(|| by(|c| c.name))
    }

    /// The position of the column that counts the changes of its row.
    #[must_use]
    pub fn version(&self) -> Option<usize> {
        self.columns.iter().position(|column| column.role == ColumnRole::Version)
    }

    /// The position of the column that marks rows as deleted.
    #[must_use]
    pub fn soft_delete(&self) -> Option<usize> {
        self.columns.iter().position(|column| column.role == ColumnRole::SoftDelete)
    }

    /// Whether the other is of the same struct. (A constant has no address of its own.)
    pub(crate) fn is(&self, other: &Model) -> bool {
        let names = |model: &'static [Column]| model.iter().map(|column| column.name);
        (self.type_name)() == (other.type_name)()
            && (self.schema, self.table) == (other.schema, other.table)
            && names(self.columns).eq(names(other.columns))
    }

    /// All declared unique keys, the primary one first.
    pub fn keys(&self) -> impl Iterator<Item = &UniqueKey> {
        self.key.iter().chain(self.unique)
    }

    /// The table's name as a person writes it: `schema.table` or `table`. For messages, not for SQL.
    #[must_use]
    pub fn display_name(&self) -> String {
        match self.schema {
            Some(schema) => format!("{schema}.{}", self.table),
            None => self.table.to_owned(),
        }
    }
}
