//! What the server sets by itself, drawn before its rows are sent; and whether all that will be stored of a row is
//! known by then.

use postgres_types::{Kind, Type};

use super::list;
use super::quote::{literal, table_name};
use super::table::TableSql;
use crate::catalog::{RelationKind, Table, TableColumn};
use crate::model::Model;
use crate::wire::base;

/// The text that draws values: one array of as many as `$1` says for each expression, and at last whether `holds`.
pub(crate) fn draw(expressions: &[String], holds: Option<&str>) -> String {
    let arrays = list(expressions, "", |expression| format!("array_agg({expression}), "));
    let holds = holds.unwrap_or("true");
    // Without arrays it is not an aggregate: one row all the same.
    let rows = if expressions.is_empty() { "(SELECT $1::int8) AS n" } else { "generate_series(1, $1::int8)" };
    format!("SELECT {arrays}({holds}) FROM {rows}")
}

/// How what is answered of stored rows is known before they are sent.
#[derive(Debug)]
pub(crate) struct Foretold {
    /// The columns that are sent, in order: those that the rows give, and those that are drawn.
    pub(crate) columns: Vec<usize>,
    /// The expressions that draw the latter, in order.
    pub(crate) drawn: Vec<String>,
    /// The condition under which it holds, under the table's lock.
    pub(crate) holds: String,
}

/// How the columns `answered` that will be stored of rows that give other ones are known before these are sent, if
/// they are: where nothing changes a value on its way in, and what the rows do not give can be drawn.
pub(crate) fn foretell(
    model: &Model,
    table: &Table,
    table_sql: &TableSql,
    given: &[usize],
    answered: &[usize],
) -> Option<Foretold> {
    // The fields are sent in the model's order. A partition may have triggers of its own, which its lock does not cover.
    if table.kind != RelationKind::Table || table_sql.triggered || !given.is_sorted() {
        return None;
    }
    let (mut columns, mut drawn, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for (position, column) in model.columns.iter().enumerate() {
        let (found, own) = (table.column(column.name)?, &table_sql.columns[position]);
        let is_given = given.contains(&position);
        if !answered.contains(&position) {
            // The table's own default is the server's business; an expression of the model's is not.
            let fills_in = !is_given && own.on_insert.is_some();
            if fills_in {
                // An element of an array cannot be an array, whatever it is called.
                if found.taken_apart || matches!(base(&found.ty).kind(), Kind::Array(_)) {
                    return None;
                }
                drawn.push(own.draw()?);
                known.push(is_as_known(found, None, ""));
            }
            columns.extend(Some(position).filter(|_| is_given || fills_in));
            continue;
        }
        columns.push(position);
        if found.generated || found.modified || !is_stored_as_sent(&found.ty) {
            return None;
        }
        let mut default = None;
        if !is_given {
            // An element of an array cannot be an array.
            if found.taken_apart || (found.default.is_some() && !found.default_allowed) {
                return None;
            }
            drawn.push(own.draw().unwrap_or_else(|| format!("NULL::{}", own.type_sql)));
            default = own.on_insert.is_none().then_some(found);
        }
        known.push(is_as_known(found, default, " AND a.atttypmod = -1"));
    }
    // A snapshot from before the lock would not show what has changed in between; other encodings may have one
    // character for several of ours.
    let holds = format!(
        "current_setting('transaction_isolation') = 'read committed' \
         AND getdatabaseencoding() IN ('UTF8', 'SQL_ASCII') \
         AND NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = {table} AND NOT g.tgisinternal \
         AND g.tgenabled <> 'D' AND g.tgtype & 7 = 7) AND (SELECT relkind FROM pg_class WHERE oid = {table}) = 'r' \
         AND {columns} = (SELECT count(*) FROM pg_attribute AS a \
         LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = {table} AND NOT a.attisdropped AND a.attgenerated = '' AND ({any}))",
        table = format_args!("{}::regclass", literal(&table_name(model))),
        columns = known.len(),
        any = known.join(" OR "),
    );
    Some(Foretold { columns, drawn, holds })
}

/// Whether a row of `pg_attribute` is this column; `default` is it once more where its default was drawn, and `also` what
/// else has to hold.
fn is_as_known(column: &TableColumn, default: Option<&TableColumn>, also: &str) -> String {
    let same = format!("a.attname = {} AND a.atttypid = {}", literal(&column.name), column.type_oid);
    let default = default.map_or(String::new(), |column| match (&column.identity, &column.default) {
        (Some(_), _) => " AND a.attidentity <> ''".to_owned(),
        (None, None) => " AND d.adbin IS NULL AND a.attidentity = ''".to_owned(),
        (None, Some(default)) => format!(" AND pg_get_expr(d.adbin, d.adrelid) = {}", literal(default)),
    });
    format!("({same}{default}{also})")
}

/// Whether a value of this type is stored just as it is sent. Others have more than one form of a value, or are not
/// known well enough.
fn is_stored_as_sent(ty: &Type) -> bool {
    let plain = matches!(
        *ty,
        Type::BOOL
            | Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::OID
            | Type::FLOAT4
            | Type::FLOAT8
            | Type::NUMERIC
            | Type::TEXT
            | Type::VARCHAR
            | Type::BYTEA
            | Type::UUID
            | Type::DATE
            | Type::TIME
            | Type::TIMESTAMP
            | Type::TIMESTAMPTZ
            | Type::JSON
    );
    match ty.kind() {
        Kind::Enum(_) => true,
        Kind::Array(element) => is_stored_as_sent(element),
        _ => plain,
    }
}
