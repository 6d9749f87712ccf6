//! Which input rows have the same key, by the server's own equality.

use super::list;
use super::source::Source;
use super::table::TableSql;

/// The text that answers, for each row whose key another row has too, its ordinal and the first such
/// row's. Rows with a NULL in the key equal none, unless `nulls_equal`.
pub(crate) fn duplicates(table: &TableSql, source: Source, key: &[usize], nulls_equal: bool) -> String {
    let from = source.numbered(table, key, key);
    let same = list(key, ", ", |c| format!("s.c{c}"));
    let given = match nulls_equal {
        true => String::new(),
        false => format!(" WHERE {}", list(key, " AND ", |c| format!("s.c{c} IS NOT NULL"))),
    };
    format!(
        "SELECT q.o, q.first FROM (SELECT s.o, min(s.o) OVER same AS first, count(*) OVER same AS n \
         FROM {from}{given} WINDOW same AS (PARTITION BY {same})) AS q WHERE q.n > 1"
    )
}
