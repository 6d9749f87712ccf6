//! The page: how it is measured, and all tables.

use std::fmt::Write;

use super::{tables, thousands};
use crate::measure::STEADY;
use crate::results::Results;

const INTRODUCTION: &str = "\
# Performance

batchkit beside what its users would write or pick instead, on one PostgreSQL, each table in one run. This page is written by \
`bench`, a program of this repository: do not edit it.

## How it is measured

The table has eight columns, a primary key that is an identity, and a second unique key; reviews, for relations, have \
four columns and an index. The rows are made from their numbers, and are in memory as structs when the clock starts; \
turning them into arrays, models or bytes is part of the time. The verbs:

| | |
|---|---|
| insert | n rows with ids that are known |
| update | price and quantity of n rows, by id, each with values of its own |
| upsert | n rows by id, of which every second exists |
| delete | n rows by id |
| get | n rows by id, decoded into structs |
| insert returning | n rows without an id; each row's new id is known afterwards, in the order of the input |
| relations | n/10 products by id, each with its ten reviews attached |

The contestants take turns within each repetition (A B C, A B C), after one that is not counted. Before each turn the \
table is emptied, filled from a copy, vacuumed, analysed and checkpointed. Everyone is called in a task of tokio's \
runtime, as the code of a service is, and has connections of its own that stay open, by the Unix socket, and statements that stay prepared where its library can do that. After each turn, outside of \
the time, the answer and the table are checked: the number of rows, the sums of prices and quantities, each id by its \
row's unique name, each review by its product. A contestant that has not done its work ends the program.

- **The floor** is the server alone, for the same rows: an insert is `COPY FROM` a file on the server, an update one of \
the whole table, an upsert and the insert with ids back `INSERT … SELECT` from a table, a delete one of the whole table, \
a get `COPY TO STDOUT` with the bytes dropped. It is no competitor: it knows less than it is asked.
- **batchkit** has its default settings, and in a second row the strategy `Parallel` with two workers. Ids are asked for \
by `returning_keys()`.
- **tokio-postgres by hand, COPY** writes by `BinaryCopyInWriter`: inserts into the table, with keys drawn from the \
sequence where ids are wanted; for the rest into a temporary table that one statement reads.
- **tokio-postgres by hand, UNNEST** and **sqlx**, as its FAQ recommends, have one statement per verb with an array for \
each column. With ids back they ask for the unique name too: the order of `RETURNING` is nobody's promise.
- **diesel-async** and **sea-orm** insert and upsert many rows per statement, in batches below the 65,535 parameters \
that one can have, and take `= ANY` of an array for keys; **pgorm** has arrays for all of it. They take the ids in the \
order of `RETURNING`, as their users do.
- † They have no form for an update of rows with values of their own. Their users send an upsert of whole rows, all of \
which exist, that sets two columns.
- **Single statements** are a loop of one prepared statement per row in one transaction, up to 10,000 rows.

Times are medians by the clock on the wall. The client's own work is the processor time, in user and system mode, of \
all threads of the process. Ratios carry over to other machines, milliseconds do not. The server has `fsync` off, so that \
no disk is measured.
";

/// The whole page. `charts` are the names of the files beside it, one for each number of rows.
pub fn page(results: &Results, charts: &[Option<String>]) -> String {
    let mut text = String::from(INTRODUCTION);
    _ = writeln!(
        text,
        "\nThe server plans a prepared statement for its parameters five times, then perhaps once for all. With {} \
         repetitions, the median is that of {} calls.",
        results.repetitions,
        if results.repetitions > 10 { "the later" } else { "the first" }
    );
    let machine = &results.machine;
    _ = writeln!(
        text,
        "\n| | |\n|---|---|\n| machine | {}, {} cores shared by client and server, {:.0} GiB of memory |\n| server | {} \
         |\n| date | {} |\n| repetitions | {} |\n| command | `{}` |",
        machine.processor,
        machine.cores,
        machine.memory_gib,
        machine.server,
        machine.date,
        results.repetitions,
        machine.command
    );
    for (position, table) in results.large.iter().enumerate() {
        _ = writeln!(text, "\n## {} rows\n", thousands(table.rows));
        if let Some(Some(chart)) = charts.get(position) {
            _ = writeln!(text, "![Time by that of the server alone]({chart})\n");
        }
        _ = writeln!(text, "Time by the floor's, and in milliseconds:\n\n{}", tables::times(table));
        _ = writeln!(text, "Time by that of the best:\n\n{}", tables::ratios(table));
        _ = writeln!(
            text,
            "The shortest time of all repetitions, by the floor's shortest. Where it tells another story than the \
             median, the difference is noise, or the plan of the first calls.\n\n{}",
            tables::least(table)
        );
        _ = writeln!(text, "The client's work, in µs of processor time per row:\n\n{}", tables::work(table));
        _ = write!(text, "In short:\n\n{}", tables::summary(table));
    }
    if !results.instructions.counts.is_empty() {
        _ = write!(
            text,
            "\n## Instructions\n\nThe client's work in instructions per row, by that of the least of the others, for calls \
             with {} rows on a connection that is warm. callgrind counts them, in a process with one thread: unlike times, \
             they repeat from run to run. The kernel's work is not among them.\n\n{}",
            thousands(results.instructions.rows),
            tables::instructions(&results.instructions.table())
        );
    }
    if !results.small.is_empty() {
        _ = writeln!(
            text,
            "\n## Few rows\n\nEach call is a transaction of its own, by each library's own means, as it always is with \
             batchkit. Of {} calls in a row per turn, the median: by that of the best, and in microseconds.",
            results.calls
        );
    }
    for table in &results.small {
        let rows = if table.rows == 1 { "row" } else { "rows" };
        _ = write!(text, "\n### {} {rows}\n\n{}", thousands(table.rows), tables::small(table));
    }
    for table in &results.apart {
        let rows = if table.rows == 1 { "row" } else { "rows" };
        _ = write!(
            text,
            "\n### {} {rows}, on processors of their own\n\nThe client on one processor and the server on another, as on two \
             machines: above, the kernel mostly has them take turns on one.\n\n{}",
            thousands(table.rows),
            tables::small(table)
        );
    }
    for (round_trip, table) in &results.far {
        let rows = if table.rows == 1 { "row" } else { "rows" };
        _ = write!(
            text,
            "\n### {} {rows}, far away\n\nThrough a proxy that delays all that is sent to the server: a round trip \
             takes {:.1} ms.\n\n{}",
            thousands(table.rows),
            round_trip * 1e3,
            tables::small(table)
        );
    }
    if !results.steady.is_empty() {
        _ = write!(
            text,
            "\n## The twelfth call\n\nThe server plans a prepared statement for its parameters five times, then perhaps \
             once for all: for an array of ten elements. Long-lived connections see the time of later calls. Medians of \
             10,000 rows on connections that are fresh at call 1, which has in \
             it what a library asks and prepares at first use; by hand it is prepared at connecting.\n\n{}",
            tables::steady(&results.steady, STEADY)
        );
    }
    if !results.sweep.is_empty() {
        _ = write!(
            text,
            "\n## The sizes of chunks\n\n`BatchSize::Auto` beside fixed sizes, in transactions one after the other, by the time of \
             the best fixed size: for the table of all comparisons, and for rows of one text of 300 bytes or 10 KB, by the socket and \
             through a proxy that delays all that is sent to the server.\n{}",
            tables::sweep(&results.sweep)
        );
    }
    if !results.crossover.is_empty() {
        text.push_str(
            "\n## The transports\n\nbatchkit's own ways of sending rows, each forced, and the one that it takes by itself \
             (`Auto`), in microseconds per row of one chunk. `Auto` is set by these tables, \
             and by the round trips of each: COPY has one more than a statement, which costs little by a socket.\n",
        );
        let mut verbs: Vec<_> = results.crossover.iter().map(|one| one.verb).collect();
        verbs.dedup();
        for verb in verbs {
            _ = write!(text, "\n### {}\n\n{}", verb.name(), tables::crossover(verb, &results.crossover));
        }
    }
    let guide = results.large.iter().find(|table| table.rows == 10_000).and_then(tables::guide);
    if let Some(guide) = guide {
        _ = write!(
            text,
            "\n## The guide's table\n\nBulk operations against single statements, at 10,000 rows, beside the figures of \
             the guide that batchkit was made by. The single statements have their best case here: all in one transaction, \
             by a socket, without a disk to wait for.\n\n{guide}"
        );
    }
    text
}
