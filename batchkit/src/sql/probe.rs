//! What is asked of a table in front of a COPY.

use super::list;
use super::quote::literal;
use super::table::TableSql;

/// Answers one row: whether the table is one that COPY writes into as INSERT does; whether the current user may do that
/// in this transaction; and then NULL for each of the columns, of its type. None of the table's rows is read, nor any
/// partition.
///
/// Who `sees` the table has it kept as it is by the statement itself. For others the statement names only the type of its
/// rows: the lock has to be taken in front of it. (What names the table makes the server look at the type again.)
pub(crate) fn probe(table: &TableSql, columns: &[usize], sees: bool) -> String {
    let (name, oid) = (&table.name, format!("{}::regclass", literal(&table.name)));
    let row = if sees { "t".to_owned() } else { format!("(NULL::{name})") };
    let from =
        if sees { format!("(SELECT 1) AS o LEFT JOIN ONLY {name} AS t ON false") } else { "(SELECT 1) AS o".into() };
    let columns = list(columns, "", |&c| format!(", {row}.{}", table.columns[c].name));
    format!(
        "SELECT (SELECT relkind IN ('r', 'p', 'f') AND NOT relhasrules FROM pg_class WHERE oid = {oid}) \
         AND NOT row_security_active({oid}), \
         current_setting('transaction_read_only') = 'off' AND has_table_privilege({oid}, 'INSERT'){columns} FROM {from}"
    )
}
