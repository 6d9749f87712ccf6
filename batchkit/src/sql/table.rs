//! A table as the statements need it: quoted names, types, what the server sets.

use postgres_types::{Kind, Type};

use super::Form;
use super::habits::SoftDelete;
use super::quote::{quote, table_name};
use crate::catalog::{RelationKind, Table, TableColumn, TableKey, equal_by_bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Column, ColumnKind, Model};
use crate::wire::base;

/// A table as the statements need it.
#[derive(Debug)]
pub(crate) struct TableSql {
    /// The quoted, perhaps schema-qualified name.
    pub(crate) name: String,
    /// The model's columns, in its order.
    pub(crate) columns: Vec<ColumnSql>,
    /// The columns of the table's row type in order: which of the model's it is, if any.
    pub(crate) row_type: Vec<Option<usize>>,
    /// The model's primary key.
    pub(crate) key: &'static [usize],
    /// The model's columns that are in a unique key of the table.
    pub(crate) unique: Vec<usize>,
    /// Whether `xmax` cannot be asked for: partitioned tables and views.
    pub(crate) hides_xmax: bool,
    /// Whether a trigger may change a row before it is inserted.
    pub(crate) triggered: bool,
    /// The column that counts the changes of its row.
    pub(crate) version: Option<usize>,
    /// The column that marks rows as deleted.
    pub(crate) soft_delete: Option<SoftDelete>,
    /// The unique keys in which NULL equals NULL, as the model's columns, each sorted.
    pub(crate) null_keys: Vec<Vec<usize>>,
}

/// The model's columns of a key in which NULL equals NULL, if it is such a key.
fn null_key(key: &TableKey, table: &Table, position: impl Fn(&str) -> Option<usize>) -> Option<Vec<usize>> {
    let is_usable = key.nulls_not_distinct && key.valid && key.predicate.is_none() && !key.deferrable;
    let column = |name: &Option<String>| {
        let name = name.as_deref()?;
        // Statements compare such keys in arrays, where a NULL of these types is another thing.
        let is_plain = table.column(name).is_some_and(|column| !column.taken_apart);
        position(name).filter(|_| is_plain)
    };
    let mut columns = key.columns.iter().map(column).collect::<Option<Vec<usize>>>().filter(|_| is_usable)?;
    columns.sort_unstable();
    Some(columns)
}

/// A column as the statements need it.
#[derive(Debug)]
pub(crate) struct ColumnSql {
    /// The quoted name.
    pub(crate) name: String,
    /// The type to cast a parameter's elements to.
    pub(crate) type_sql: String,
    /// The same without a modifier, for what is only stored: there the column's own modifier holds, as it is by then.
    pub(crate) bare_type_sql: String,
    /// Whether `unnest` would take the column's values apart: arrays and composites.
    pub(crate) taken_apart: bool,
    /// Whether the type has an equality.
    pub(crate) comparable: bool,
    /// Whether two of its values are equal exactly when their bytes are.
    pub(crate) equal_bytes: bool,
    /// Whether it is known to hold no NULL.
    pub(crate) not_null: bool,
    /// Whether it is a unique key by itself, without which no row is, and which the current user may read.
    pub(crate) alone: bool,
    /// Whether it is `json`, whose documents are compared as `jsonb`.
    pub(crate) json: bool,
    /// The column's own collation.
    pub(crate) collation: Option<String>,
    /// The expression that draws the server's own value.
    pub(crate) default: Option<String>,
    /// Whether a value has to override the server's own (an identity).
    pub(crate) identity: bool,
    /// The expression that sets the column where an inserted row does not give it, unless the table's own
    /// default does the same.
    pub(crate) on_insert: Option<&'static str>,
    /// The expression that sets the column on each update.
    pub(crate) on_update: Option<&'static str>,
}

impl ColumnSql {
    /// The type of a parameter with values of this column, which is the one at `position`. What is compared with stored
    /// values is rounded as these were; what is only stored is rounded by the column as it is by then.
    pub(super) fn type_of(&self, position: usize, compared: &[usize]) -> &str {
        if compared.contains(&position) { &self.type_sql } else { &self.bare_type_sql }
    }

    /// The expression that draws a value from the column's sequence, in the column's type; `None` where the server
    /// sets it in another way. (Such values can be drawn before their rows are sent: nothing else depends on them.)
    pub(crate) fn sequence(&self) -> Option<String> {
        let default = self.default.as_deref().filter(|_| self.on_insert.is_none())?;
        default.starts_with("nextval(").then(|| self.draw()).flatten()
    }

    /// The expression that draws a value for a row that does not give it, in the column's type.
    pub(crate) fn draw(&self) -> Option<String> {
        // A stored value is compared with the one that was drawn, so that has to be rounded by then.
        let expression = self.on_insert.or(self.default.as_deref())?;
        Some(format!("({expression})::{}", self.type_sql))
    }
}

impl TableSql {
    /// Whether NULL equals NULL in the unique key of these columns.
    pub(crate) fn takes_null(&self, key: &[usize]) -> bool {
        let mut sorted = key.to_vec();
        sorted.sort_unstable();
        self.null_keys.contains(&sorted)
    }

    /// The same where answered rows find their input by the bytes of a column: that is one of them.
    pub(crate) fn answered_with(&self, form: Form, column: usize) -> Vec<usize> {
        let mut answered = self.answered(form);
        if !answered.contains(&column) {
            answered.push(column);
        }
        answered
    }

    /// The columns of stored rows that are answered, in order.
    pub(crate) fn answered(&self, form: Form) -> Vec<usize> {
        match form {
            Form::Count | Form::Outcomes => Vec::new(),
            Form::Keys => self.key.to_vec(),
            Form::Rows => (0..self.columns.len()).collect(),
        }
    }

    /// The table as the server describes it.
    pub(crate) fn known(model: &Model, table: &Table) -> Self {
        let columns = model.columns.iter().filter_map(|column| {
            let found = table.column(column.name)?;
            Some(ColumnSql {
                name: quote(column.name),
                type_sql: found.type_sql.clone(),
                bare_type_sql: found.bare_type_sql.clone(),
                taken_apart: found.taken_apart,
                comparable: is_comparable(&found.ty),
                equal_bytes: found.equal_bytes(),
                not_null: found.not_null,
                alone: found.not_null && table.rights.select && table.keys.iter().any(|key| key.is_alone(&found.name)),
                json: *base(&found.ty) == Type::JSON,
                collation: found.collation.clone(),
                default: found.default.clone().filter(|_| found.default_allowed),
                identity: found.identity.is_some(),
                on_insert: column.insert_expression().filter(|&expression| !is_default(expression, found)),
                on_update: column.on_update,
            })
        });
        let in_a_key =
            |name: &str| table.keys.iter().any(|key| key.columns.iter().flatten().any(|column| column == name));
        let position = |name: &str| model.columns.iter().position(|column| column.name == name);
        TableSql {
            name: table_name(model),
            columns: columns.collect(),
            key: model.key.map_or(&[], |key| key.columns),
            unique: (0..model.columns.len()).filter(|&column| in_a_key(model.columns[column].name)).collect(),
            row_type: table.columns.iter().map(|column| position(&column.name)).collect(),
            hides_xmax: matches!(table.kind, RelationKind::Partitioned | RelationKind::View),
            triggered: table.triggers_before_insert(),
            version: model.version(),
            soft_delete: model.soft_delete().map(|column| {
                let found = table.column(model.columns[column].name);
                SoftDelete { column, is_flag: found.is_some_and(|found| *base(&found.ty) == Type::BOOL) }
            }),
            null_keys: table.keys.iter().filter_map(|key| null_key(key, table, position)).collect(),
        }
    }

    /// The columns that an expression fills in where an inserted row gives only these, with the expressions.
    pub(crate) fn filled_in(&self, given: &[usize]) -> impl Iterator<Item = (usize, &'static str)> {
        let columns = self.columns.iter().enumerate().filter(|(c, _)| !given.contains(c));
        columns.filter_map(|(c, column)| Some((c, column.on_insert?)))
    }

    /// The table as the model alone tells it, for reading statements without a connection: as if the table
    /// had the model's columns only, and identities where the model says `auto`.
    pub(crate) fn declared(model: &Model) -> Result<Self> {
        let columns = model.columns.iter().enumerate().map(|(position, column)| {
            let fitting = preferred_type(column);
            let is_not_null = column.nullable.zip(fitting).is_some_and(|(nullable, ty)| !nullable(ty));
            let type_sql = column.pg_type.map(str::to_owned).or_else(|| fitting.map(type_text)).ok_or_else(|| {
                let what = format!(
                    "field `{}` has no type known without a server: say #[batch(pg_type = \"…\")]",
                    column.field
                );
                Error::new(ErrorKind::Schema, what).in_table(model.display_name()).in_column(column.name)
            })?;
            let on_insert = column.insert_expression().filter(|&expression| expression != "NULL");
            let default = (column.kind == ColumnKind::Auto && column.insert_expression().is_none()).then(|| {
                format!(
                    "nextval(pg_get_serial_sequence('{}', '{}'))",
                    table_name(model),
                    column.name.replace('\'', "''")
                )
            });
            Ok(ColumnSql {
                name: quote(column.name),
                taken_apart: type_sql.ends_with("[]"),
                comparable: fitting.is_none_or(is_comparable),
                equal_bytes: column.pg_type.is_none() && fitting.is_some_and(equal_by_bytes),
                not_null: is_not_null,
                alone: is_not_null && model.keys().any(|key| key.columns == [position]),
                json: type_sql == "json",
                bare_type_sql: type_sql.clone(),
                type_sql,
                collation: None,
                identity: default.is_some(),
                default,
                on_insert,
                on_update: column.on_update,
            })
        });
        Ok(TableSql {
            name: table_name(model),
            columns: columns.collect::<Result<_>>()?,
            key: model.key.map_or(&[], |key| key.columns),
            unique: (0..model.columns.len()).filter(|c| model.keys().any(|key| key.columns.contains(c))).collect(),
            row_type: (0..model.columns.len()).map(Some).collect(),
            hides_xmax: false,
            triggered: false,
            version: model.version(),
            soft_delete: model
                .soft_delete()
                .map(|column| SoftDelete { column, is_flag: model.columns[column].accepts(&Type::BOOL) }),
            null_keys: Vec::new(),
        })
    }
}

/// Whether the table's own default does the same as this expression.
fn is_default(expression: &str, column: &TableColumn) -> bool {
    let generates = column.identity.is_some() || column.generated;
    !generates && column.default.as_deref().unwrap_or("NULL") == expression.trim()
}

/// The likeliest type that the field fits.
pub(crate) fn preferred_type(column: &Column) -> Option<&'static Type> {
    PREFERRED.iter().copied().find(|ty| column.accepts(ty))
}

/// Types that a field may fit, the likeliest first: the one that is meant when no server is asked.
const PREFERRED: &[&Type] = &[
    &Type::BOOL,
    &Type::INT2,
    &Type::INT4,
    &Type::INT8,
    &Type::FLOAT4,
    &Type::FLOAT8,
    &Type::TEXT,
    &Type::BYTEA,
    &Type::TIMESTAMPTZ,
    &Type::TIMESTAMP,
    &Type::DATE,
    &Type::TIME,
    &Type::UUID,
    &Type::NUMERIC,
    &Type::JSONB,
    &Type::INTERVAL,
    &Type::INET,
    &Type::OID,
    &Type::CHAR,
    &Type::BOOL_ARRAY,
    &Type::INT2_ARRAY,
    &Type::INT4_ARRAY,
    &Type::INT8_ARRAY,
    &Type::FLOAT4_ARRAY,
    &Type::FLOAT8_ARRAY,
    &Type::TEXT_ARRAY,
    &Type::BYTEA_ARRAY,
    &Type::TIMESTAMPTZ_ARRAY,
    &Type::TIMESTAMP_ARRAY,
    &Type::DATE_ARRAY,
    &Type::TIME_ARRAY,
    &Type::UUID_ARRAY,
    &Type::NUMERIC_ARRAY,
    &Type::JSONB_ARRAY,
    &Type::OID_ARRAY,
    &Type::CHAR_ARRAY,
];

fn type_text(ty: &Type) -> String {
    match ty.kind() {
        Kind::Array(element) => format!("{}[]", type_text(element)),
        // Unquoted, `char` is another type.
        _ if *ty == Type::CHAR => "\"char\"".to_owned(),
        _ => ty.name().to_owned(),
    }
}

fn is_comparable(ty: &Type) -> bool {
    let ty = base(ty);
    match ty.kind() {
        Kind::Array(element) => is_comparable(element),
        _ => !matches!(*ty, Type::JSON | Type::XML | Type::POINT | Type::POLYGON | Type::BOX | Type::PATH | Type::LINE),
    }
}
