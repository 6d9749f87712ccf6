//! Where a statement's rows come from: one parameter of rows, one per column, or a staging table.

use super::list;
use super::quote::quote;
use super::table::TableSql;

/// Where a statement reads its rows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// `unnest($1::the_table[])`
    Rows,
    /// `unnest($1::int8[], $2::text[])`, or `unnest($1::int8[]), unnest($2::text[])` where rows are not numbered.
    Columns,
    /// A temporary table that COPY has filled.
    Stage,
}

/// The staging table. It lives for one transaction (or one call in the caller's), so one name is enough.
const STAGE: &str = "pg_temp.batchkit_stage";

/// Which parameters stand for which columns when rows go as one array per column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ColumnsLayout {
    /// The columns with a parameter of their own, in the order of the parameters.
    pub(crate) single: Vec<usize>,
    /// The columns of array and composite types. `unnest` would take their values apart, so one more
    /// parameter, an array of the table's row type, carries them.
    pub(crate) whole: Vec<usize>,
}

/// Divides the given columns over the parameters of [`Source::Columns`].
pub(crate) fn columns_layout(table: &TableSql, given: &[usize]) -> ColumnsLayout {
    let (whole, single) = given.iter().partition(|&&c| table.columns[c].taken_apart);
    ColumnsLayout { single, whole }
}

impl Source {
    /// How many parameters it has.
    pub(super) fn parameters(self, table: &TableSql, given: &[usize]) -> usize {
        match self {
            Source::Rows => 1,
            Source::Columns => {
                let layout = columns_layout(table, given);
                layout.single.len() + usize::from(!layout.whole.is_empty())
            }
            Source::Stage => 0,
        }
    }

    /// The FROM item, with its alias `s`, and the rows' ordinals. The values of some columns are `compared` with others;
    /// those of the rest are only stored.
    pub(super) fn numbered(self, table: &TableSql, given: &[usize], compared: &[usize]) -> String {
        let alias = |aliases: &str| format!("WITH ORDINALITY AS s({aliases}, o)");
        match self {
            Source::Rows => format!("unnest($1::{}[]) {}", table.name, alias(&row_aliases(table, given))),
            Source::Columns => {
                let layout = columns_layout(table, given);
                let mut parameters: Vec<String> =
                    layout.single.iter().map(|&c| table.columns[c].type_of(c, compared).to_owned()).collect();
                let mut aliases: Vec<String> = layout.single.iter().map(|c| format!("c{c}")).collect();
                if !layout.whole.is_empty() {
                    parameters.push(table.name.clone());
                    aliases.push(row_aliases(table, &layout.whole));
                }
                let parameters = list(parameters.iter().enumerate(), ", ", |(n, ty)| format!("${}::{ty}[]", n + 1));
                collated(table, given, format!("unnest({parameters}) {}", alias(&aliases.join(", "))))
            }
            Source::Stage => format!("{STAGE} AS s"),
        }
    }

    /// The same without ordinals, which cost the server a little for each row.
    pub(super) fn unnumbered(self, table: &TableSql, given: &[usize], compared: &[usize]) -> String {
        match self {
            Source::Rows => format!("unnest($1::{}[]) AS s({})", table.name, row_aliases(table, given)),
            Source::Columns => side_by_side(table, &columns_layout(table, given), compared),
            Source::Stage => format!("{STAGE} AS s"),
        }
    }

    /// That the key of `t` is one of those sent, where one array has them and that is all there is to know of them:
    /// the server looks a key up in an array quicker than it joins a function's rows.
    pub(super) fn equals_any(self, table: &TableSql, key: &[usize]) -> Option<String> {
        let &[column] = key else { return None };
        let column = &table.columns[column];
        let is_plain = matches!(self, Source::Columns) && !column.taken_apart && column.collation.is_none();
        is_plain.then(|| format!("t.{} = ANY($1::{}[])", column.name, column.type_sql))
    }
}

/// The elements of an array lose their column's collation: it is put back, or the server's judgement of
/// equal keys would be another than the table's.
fn collate(table: &TableSql, column: usize, value: &str) -> String {
    match &table.columns[column].collation {
        Some(collation) => format!("{value} COLLATE {collation} AS c{column}"),
        None => format!("{value} AS c{column}"),
    }
}

/// Numbered rows with their columns' collations.
fn collated(table: &TableSql, given: &[usize], unnest: String) -> String {
    if given.iter().all(|&c| table.columns[c].collation.is_none()) {
        return unnest;
    }
    let columns = list(given, ", ", |&c| collate(table, c, &format!("s.c{c}")));
    format!("(SELECT {columns}, s.o FROM {unnest}) AS s")
}

/// Rows of one array per column. In a list of what is selected the server takes the arrays' elements one row after the
/// other; as an item of FROM it would first write all rows of each array down, and read them again.
fn side_by_side(table: &TableSql, layout: &ColumnsLayout, compared: &[usize]) -> String {
    let of = |(n, &c): (usize, &usize)| {
        collate(table, c, &format!("unnest(${}::{}[])", n + 1, table.columns[c].type_of(c, compared)))
    };
    let single = list(layout.single.iter().enumerate(), ", ", of);
    if layout.whole.is_empty() {
        return format!("(SELECT {single}) AS s");
    }
    let whole = format!("unnest(${}::{}[]) AS r", layout.single.len() + 1, table.name);
    let names = layout.single.iter().map(|c| format!("s.c{c}"));
    let fields = layout.whole.iter().map(|&c| collate(table, c, &format!("(s.r).{}", table.columns[c].name)));
    let columns = list(names.chain(fields), ", ", |column| column);
    let all = list((!single.is_empty()).then_some(single).into_iter().chain([whole]), ", ", |column| column);
    format!("(SELECT {columns} FROM (SELECT {all}) AS s) AS s")
}

/// Names for the columns of the table's row type: `c0` for a given column, `x1` for one that is NULL.
fn row_aliases(table: &TableSql, given: &[usize]) -> String {
    list(table.row_type.iter().enumerate(), ", ", |(n, column)| match column {
        Some(c) if given.contains(c) => format!("c{c}"),
        _ => format!("x{n}"),
    })
}

/// Makes the staging table: the given columns with the target's own types and collations, and if they are asked for,
/// the rows' ordinals.
pub(crate) fn stage_create(table: &TableSql, given: &[usize], ordinals: bool) -> String {
    let ordinal = ordinals.then(|| "NULL::int8 AS o".to_owned());
    let given = given.iter().map(|&c| format!("t.{} AS c{c}", table.columns[c].name));
    let columns = list(given.chain(ordinal), ", ", |column| column);
    let stage = quote("batchkit_stage");
    // A chunk whose bad rows are searched stages several times.
    format!(
        "DROP TABLE IF EXISTS {STAGE}; CREATE TEMP TABLE {stage} ON COMMIT DROP AS SELECT {columns} FROM {} AS t WITH NO DATA",
        table.name
    )
}

/// Fills the staging table.
pub(crate) fn stage_copy() -> String {
    format!("COPY {STAGE} FROM STDIN (FORMAT binary)")
}

/// Takes the lock that a statement on the table takes anyway. (Partitions are left to that statement.)
pub(crate) fn lock(table: &str, writes: bool) -> String {
    let mode = if writes { "ROW EXCLUSIVE" } else { "ACCESS SHARE" };
    format!("LOCK TABLE ONLY {table} IN {mode} MODE")
}

/// Drops the staging table before the transaction ends.
pub(crate) fn stage_drop() -> String {
    format!("DROP TABLE {STAGE}")
}
