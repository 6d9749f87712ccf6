//! The cut sweep: the connection is cut at every message, both ways, before, inside and behind it. Each row is
//! applied exactly once all the same, on a table that would take it twice, and bad rows are turned away once.

use batchkit::{ExecutionStrategy, Transport};

use crate::common::{Db, database, pool_through, quiet};
use crate::deeds::{Deed, Manner, Operations, TABLES};
use crate::proxy::{Harm, Proxy, Trap, Way};

/// A cut at each place of a message. What goes to the client is sent together: a cut behind one message is there
/// what a cut before the next one is. A pooler that has lost the server says so first, each in its own words.
const EVERY: [(Way, Harm); 8] = [
    (Way::ToServer, Harm::CutBefore),
    (Way::ToServer, Harm::CutInside),
    (Way::ToServer, Harm::CutAfter),
    (Way::ToServer, Harm::Reset),
    (Way::ToClient, Harm::CutBefore),
    (Way::ToClient, Harm::CutInside),
    (Way::ToClient, Harm::Part("FATAL", "08P01")),
    (Way::ToClient, Harm::Part("ERROR", "08006")),
];
/// A cut between any two messages.
const BETWEEN: [(Way, Harm); 2] = [(Way::ToServer, Harm::CutBefore), (Way::ToClient, Harm::CutBefore)];

/// Chunks one after the other, counted.
const CHUNKED: Manner = Manner { strategy: ExecutionStrategy::Chunked, bad: false, reported: false };

/// Cuts a deed at every message. `warm` starts with a connection, and with all known of the table.
async fn sweep(db: &Db, deed: Deed, manner: Manner, warm: bool, cuts: &[(Way, Harm)]) {
    let proxy = Proxy::new(db.server_folder());
    let pool = pool_through(db, proxy.folder(), 2);
    let operations = Operations::new(&pool, manner);
    if warm {
        deed.prepare(db, manner.bad).await;
        deed.run(&operations, manner, "warming up").await;
    }
    for &(way, harm) in cuts {
        // Until the trap is set behind the last message, and does not spring.
        for at in 0.. {
            let context = format!("warm: {warm}, {harm:?} at {at} {way:?}");
            deed.prepare(db, manner.bad).await;
            proxy.set([Trap { way, at, harm }]);
            if warm {
                // The connection that the try before ended with, and what it had to prepare, are there.
                deed.run(&operations, manner, &context).await;
            } else {
                let pool = pool_through(db, proxy.folder(), 2);
                deed.run(&Operations::new(&pool, manner), manner, &context).await;
            }
            let untouched = proxy.set_still() > 0;
            proxy.set([]);
            deed.check_all(db, manner.bad, &context).await;
            quiet(db, &context).await;
            if untouched {
                break;
            }
        }
    }
}

/// Cuts a deed, with good rows and with bad ones. Each try costs a new connection, so that what has nothing to do
/// with each other is not multiplied: where in a message the cut is, is for the inserts; bad rows are for
/// rows as they are, by COPY and by UNNEST; [`every_strategy`] is for a few.
async fn sweep_all(deed: Deed) {
    let db = database(TABLES).await;
    sweep(&db, deed, CHUNKED, true, if matches!(deed, Deed::Insert(_)) { &EVERY } else { &BETWEEN }).await;
    if deed.is_tried_with_bad_rows() {
        sweep(&db, deed, Manner { bad: true, reported: true, ..CHUNKED }, true, &BETWEEN).await;
    }
}

/// Cuts a deed under every strategy, and where nothing is known of its table.
async fn every_strategy(deed: Deed) {
    let db = database(TABLES).await;
    sweep(&db, deed, CHUNKED, false, &BETWEEN).await;
    for strategy in [
        ExecutionStrategy::SingleQuery,
        ExecutionStrategy::Parallel,
        ExecutionStrategy::Pipelined,
        ExecutionStrategy::Optimistic,
    ] {
        sweep(&db, deed, Manner { strategy, bad: false, reported: true }, true, &BETWEEN).await;
    }
    let parallel = Manner { strategy: ExecutionStrategy::Parallel, bad: deed.can_be_bad(), reported: true };
    sweep(&db, deed, parallel, true, &BETWEEN).await;
}

/// A sweep for each deed, by each transport.
macro_rules! sweeps {
    ($($test:ident: $sweep:ident $deed:ident $transport:ident;)*) => {$(
        #[tokio::test]
        async fn $test() {
            $sweep(Deed::$deed(Transport::$transport)).await;
        }
    )*};
}

sweeps! {
    an_insert_by_copy_is_exact_at_every_cut: sweep_all Insert Copy;
    an_insert_by_rows_is_exact_at_every_cut: sweep_all Insert UnnestRows;
    an_insert_by_columns_is_exact_at_every_cut: sweep_all Insert UnnestColumns;
    an_insert_by_single_statements_is_exact_at_every_cut: sweep_all Insert Single;
    an_insert_by_copy_that_returns_is_exact_at_every_cut: sweep_all InsertReturning Copy;
    an_insert_by_rows_that_returns_is_exact_at_every_cut: sweep_all InsertReturning UnnestRows;
    an_insert_by_copy_that_returns_keys_is_exact_at_every_cut: sweep_all InsertKeys Copy;
    an_insert_by_columns_that_returns_keys_is_exact_at_every_cut: sweep_all InsertKeys UnnestColumns;
    an_update_by_a_stage_is_exact_at_every_cut: sweep_all Update Copy;
    an_update_by_rows_is_exact_at_every_cut: sweep_all Update UnnestRows;
    an_update_by_columns_is_exact_at_every_cut: sweep_all Update UnnestColumns;
    an_update_by_single_statements_is_exact_at_every_cut: sweep_all Update Single;
    an_upsert_by_a_stage_is_exact_at_every_cut: sweep_all Upsert Copy;
    an_upsert_by_rows_is_exact_at_every_cut: sweep_all Upsert UnnestRows;
    an_upsert_by_columns_is_exact_at_every_cut: sweep_all Upsert UnnestColumns;
    an_upsert_by_single_statements_is_exact_at_every_cut: sweep_all Upsert Single;
    a_delete_by_a_stage_is_exact_at_every_cut: sweep_all Delete Copy;
    a_delete_by_rows_is_exact_at_every_cut: sweep_all Delete UnnestRows;
    a_delete_by_columns_is_exact_at_every_cut: sweep_all Delete UnnestColumns;
    a_delete_by_single_statements_is_exact_at_every_cut: sweep_all Delete Single;
    a_get_by_a_stage_is_right_at_every_cut: sweep_all Get Copy;
    a_get_by_rows_is_right_at_every_cut: sweep_all Get UnnestRows;
    a_get_by_columns_is_right_at_every_cut: sweep_all Get UnnestColumns;
    a_get_by_single_statements_is_right_at_every_cut: sweep_all Get Single;
    a_processed_upsert_is_exact_at_every_cut: sweep_all Processed UnnestRows;
    an_insert_by_copy_is_exact_at_every_cut_under_every_strategy: every_strategy Insert Copy;
    an_upsert_by_rows_is_exact_at_every_cut_under_every_strategy: every_strategy Upsert UnnestRows;
    a_get_by_rows_is_right_at_every_cut_under_every_strategy: every_strategy Get UnnestRows;
    a_processed_upsert_is_exact_at_every_cut_under_every_strategy: every_strategy Processed UnnestRows;
}

/// The connection is cut, and another one at each message of what is done about the first: while what became of the
/// chunk is looked up, and in its second try.
#[tokio::test]
async fn an_insert_is_exact_at_every_two_cuts() {
    let db = database(TABLES).await;
    let deed = Deed::Insert(Transport::UnnestRows);
    let manner = Manner { strategy: ExecutionStrategy::SingleQuery, ..CHUNKED };
    let proxy = Proxy::new(db.server_folder());
    let pool = pool_through(&db, proxy.folder(), 2);
    let operations = Operations::new(&pool, manner);
    deed.prepare(&db, false).await;
    deed.run(&operations, manner, "warming up").await;
    // What was sent is lost, or it arrives and its answer is lost.
    for harm in [Harm::CutBefore, Harm::CutAfter] {
        'messages: for at in 0.. {
            for second in 0.. {
                let first = Trap { way: Way::ToServer, at, harm };
                let second = Trap { way: Way::ToServer, at: second, harm: Harm::CutBefore };
                let context = format!("{first:?} and {second:?}");
                deed.prepare(&db, false).await;
                proxy.set([first, second]);
                deed.run(&operations, manner, &context).await;
                let left = proxy.set_still();
                proxy.set([]);
                deed.check_all(&db, false, &context).await;
                quiet(&db, &context).await;
                match left {
                    0 => {}
                    1 => break,
                    _ => break 'messages,
                }
            }
        }
    }
}
