//! Whether a model matches its table: every difference is found, not only the first.

use postgres_types::Type;

use super::table::{RelationKind, Table, TableColumn, TableKey};
use crate::error::{Error, Result};
use crate::model::{Column, ColumnKind, ColumnRole, Model, UniqueKey};
use crate::wire::base;

/// Refuses a model that does not match its table, listing everything that differs.
pub(crate) fn check(model: &Model, table: &Table) -> Result<()> {
    let mut mismatches = Vec::new();
    for column in model.columns {
        match table.column(column.name) {
            None => mismatches.push(format!("column {:?} (field `{}`) does not exist", column.name, column.field)),
            Some(found) => mismatches.extend(column_mismatches(column, found, table.kind)),
        }
    }
    // Nor which of them are unique.
    if table.kind != RelationKind::View {
        mismatches.extend(model.keys().filter_map(|key| key_mismatch(model, key, table)));
    }
    if mismatches.is_empty() { Ok(()) } else { Err(Error::schema(&model.display_name(), mismatches)) }
}

fn column_mismatches(column: &Column, found: &TableColumn, kind: RelationKind) -> Vec<String> {
    let (name, field, rust) = (column.name, column.field, column.rust_type);
    let mut mismatches = Vec::new();
    // A field may have the domain's own type, or the type below it.
    let fitting = [&found.ty, base(&found.ty)].into_iter().find(|ty| column.accepts(ty));
    match fitting {
        None => mismatches
            .push(format!("column {name:?} is {}, which field `{field}: {rust}` does not fit", found.type_sql)),
        // A view does not tell which of its columns can be NULL.
        Some(ty)
            if !found.not_null
                && kind != RelationKind::View
                && column.nullable.is_some_and(|nullable| !nullable(ty)) =>
        {
            mismatches.push(format!("column {name:?} allows NULL, but field `{field}: {rust}` is no Option"));
        }
        Some(_) => {}
    }
    if found.generated && column.kind != ColumnKind::Computed {
        mismatches.push(format!("column {name:?} is generated: mark field `{field}` with #[batch(computed)]"));
    }
    if found.identity.is_some() && column.kind == ColumnKind::Plain {
        mismatches.push(format!("column {name:?} is an identity: mark field `{field}` with #[batch(auto)]"));
    }
    // What fits neither is told above.
    if fitting.is_some() {
        mismatches.extend(role_mismatch(column, found, kind));
    }
    mismatches
}

/// What a version or a mark of deletion needs beyond a type that fits its field.
fn role_mismatch(column: &Column, found: &TableColumn, kind: RelationKind) -> Option<String> {
    let ty = base(&found.ty);
    let (is_flag, knows_null) = (*ty == Type::BOOL, kind != RelationKind::View);
    let is_time = matches!(*ty, Type::TIMESTAMP | Type::TIMESTAMPTZ);
    // Where the field tells whether it can be NULL, that is compared already.
    let unnoticed = knows_null && !found.not_null && column.nullable.is_none_or(|nullable| nullable(ty));
    let why = match column.role {
        ColumnRole::Version if unnoticed => "allows NULL, and a row always has a version",
        ColumnRole::SoftDelete if is_flag && unnoticed => "allows NULL, and a row is deleted or not",
        ColumnRole::SoftDelete if is_time && found.not_null => "refuses NULL, which says that a row is not deleted",
        ColumnRole::SoftDelete if !is_flag && !is_time => {
            let (name, field, ty) = (column.name, column.field, &found.type_sql);
            let wanted = "a nullable timestamp or a boolean";
            return Some(format!("column {name:?} is {ty}, and field `{field}` marks deleted rows: {wanted}"));
        }
        _ => return None,
    };
    Some(format!("column {:?} {why} (field `{}`)", column.name, column.field))
}

fn key_mismatch(model: &Model, key: &UniqueKey, table: &Table) -> Option<String> {
    let wanted: Vec<&str> = key.columns.iter().map(|&column| model.columns[column].name).collect();
    let same_columns: Vec<&TableKey> = table.keys.iter().filter(|found| covers(found, &wanted)).collect();
    if same_columns.iter().any(|found| found.valid && found.predicate.is_none() && !found.deferrable) {
        return None;
    }
    let columns = wanted.join(", ");
    let why = match same_columns.first() {
        None => "no unique index has exactly these columns".to_owned(),
        Some(found) if !found.valid => format!("index {:?} is not valid", found.name),
        Some(found) if found.predicate.is_some() => format!("index {:?} is partial", found.name),
        Some(found) => format!("constraint {:?} is deferrable, and no conflict target", found.name),
    };
    Some(format!("key {:?} ({columns}): {why}", key.name))
}

/// Whether the index is over exactly these columns, in whatever order.
fn covers(found: &TableKey, wanted: &[&str]) -> bool {
    found.columns.len() == wanted.len()
        && found.columns.iter().all(|name| name.as_deref().is_some_and(|name| wanted.contains(&name)))
}

/// Refuses rows that lack a column which the table requires and nobody else sets.
pub(crate) fn refuse_incomplete(model: &Model, table: &Table, given: &[usize]) -> Result<()> {
    // A trigger may set what is missing.
    if table.triggers_before_insert() {
        return Ok(());
    }
    let is_given = |name: &str| given.iter().any(|&column| model.columns[column].name == name);
    let fills_in = |name: &str| model.columns.iter().any(|c| c.name == name && c.insert_expression().is_some());
    let missing = |column: &&TableColumn| {
        column.not_null && column.default.is_none() && column.identity.is_none() && !column.generated
    };
    let mismatches: Vec<String> = table
        .columns
        .iter()
        .filter(missing)
        .filter(|column| !is_given(&column.name) && !fills_in(&column.name))
        .map(|column| format!("column {:?} is NOT NULL and has no default, but the rows do not give it", column.name))
        .collect();
    if mismatches.is_empty() { Ok(()) } else { Err(Error::schema(&model.display_name(), mismatches)) }
}
