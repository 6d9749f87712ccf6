//! The types that a model's columns have when no server is asked.

use postgres_types::{Kind, Type};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Column, Model};
use crate::sql::preferred_type;
use crate::wire::ColumnType;

/// The types of all columns of the model, in their order: see [`declared_type`].
///
/// # Errors
/// Those of [`declared_type`].
pub fn declared_types(model: &Model) -> Result<Vec<ColumnType>> {
    model.columns.iter().map(|column| declared_type(model, column)).collect()
}

/// The type of a column when no server is asked: the one that the struct names (`#[batch(pg_type = "…")]`), where
/// the field fits it, else the likeliest that the field fits: `text` for a `String`, `timestamptz` for a
/// `DateTime<Utc>`, `jsonb` for `#[batch(json)]`. It refuses NULL where the field cannot hold it.
///
/// # Errors
/// [`ErrorKind::Schema`] for a field that fits no type known without a server: an enum or a composite.
pub fn declared_type(model: &Model, column: &Column) -> Result<ColumnType> {
    let said = column.pg_type.map(named).filter(|ty| column.accepts(ty));
    let ty = said.or_else(|| preferred_type(column).cloned()).ok_or_else(|| {
        let what = format!("field `{}` has no type known without a server", column.field);
        Error::new(ErrorKind::Schema, what).in_table(model.display_name()).in_column(column.name)
    })?;
    let not_null = column.nullable.is_some_and(|nullable| !nullable(&ty));
    Ok(ColumnType::new(ty, not_null, |ty| column.accepts(ty)))
}

/// The type of arrays of `element`.
#[must_use]
pub fn array_of(element: &Type) -> Type {
    let of = |ty: &Type| matches!(ty.kind(), Kind::Array(inner) if inner == element);
    builtin(of).unwrap_or_else(|| {
        let name = format!("_{}", element.name());
        Type::new(name, 0, Kind::Array(element.clone()), element.schema().to_owned())
    })
}

/// The first of PostgreSQL's own types that fulfils a condition.
fn builtin(wanted: impl Fn(&Type) -> bool) -> Option<Type> {
    /// Above all numbers of PostgreSQL's own types that the driver knows.
    const END: u32 = 10_000;
    (1..END).filter_map(Type::from_oid).find(wanted)
}

/// The type of this name, as SQL writes it; a made-up one where it is none of PostgreSQL's own.
fn named(text: &str) -> Type {
    let text = without_modifiers(text);
    if let Some(element) = text.strip_suffix("[]") {
        return array_of(&named(element));
    }
    let (schema, name) = text.rsplit_once('.').unwrap_or(("public", &text));
    let name = match name {
        "bigint" | "bigserial" => "int8",
        "int" | "integer" | "serial" => "int4",
        "smallint" | "smallserial" => "int2",
        "real" => "float4",
        "double precision" | "float" => "float8",
        "boolean" => "bool",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "character" | "char" => "bpchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        other => other.trim_matches('"'),
    };
    let known = builtin(|ty| ty.name() == name);
    known.unwrap_or_else(|| Type::new(name.to_owned(), 0, Kind::Simple, schema.trim_matches('"').to_owned()))
}

/// The text without what stands in parentheses, and with single spaces.
fn without_modifiers(text: &str) -> String {
    let mut depth = 0_u32;
    let mut bare = String::new();
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => bare.push(character),
            _ => {}
        }
    }
    bare.split_whitespace().collect::<Vec<_>>().join(" ").replace(" []", "[]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_the_names_that_sql_has_for_them() {
        assert_eq!(named("bigint"), Type::INT8);
        assert_eq!(named("numeric(10, 2)"), Type::NUMERIC);
        assert_eq!(named("timestamp(3) with time zone"), Type::TIMESTAMPTZ);
        assert_eq!(named("varchar(10)[]"), Type::VARCHAR_ARRAY);
        assert_eq!(named("char(3)"), Type::BPCHAR);
        assert_eq!(named("\"char\""), Type::CHAR);
        let citext = named("public.citext");
        assert_eq!((citext.name(), citext.schema()), ("citext", "public"));
        assert_eq!(array_of(&citext).name(), "_citext");
    }
}
