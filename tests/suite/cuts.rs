//! The cut sweep: the connection is cut at every message, both ways, before, inside and behind it. Each row is
//! applied exactly once all the same, on a table that would take it twice, and bad rows are turned away once.

use batchkit::{ExecutionStrategy, Transport};

use crate::common::{Db, database, pool_through, quiet};
use crate::deeds::{Deed, Manner, Operations, TABLES};
use crate::proxy::{Harm, Proxy, Trap, Way};

const WAYS: [Way; 2] = [Way::ToServer, Way::ToClient];
/// A cut behind one message, and one before the next, differ in what has come the other way meanwhile.
const CUTS: [Harm; 4] = [Harm::CutBefore, Harm::CutInside, Harm::CutAfter, Harm::Reset];

/// Chunks one after the other, counted.
const CHUNKED: Manner = Manner { strategy: ExecutionStrategy::Chunked, bad: false, reported: false };

/// Cuts a deed at every message. `warm` starts with a connection, and with all known of the table.
async fn sweep(db: &Db, deed: Deed, manner: Manner, warm: bool, cuts: &[Harm]) {
    let proxy = Proxy::new(db.server_folder());
    let pool = pool_through(db, proxy.folder(), 2);
    let operations = Operations::new(&pool, manner);
    if warm {
        deed.prepare(db, manner.bad).await;
        deed.run(&operations, manner, "warming up").await;
    }
    for way in WAYS {
        for &harm in cuts {
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
}

/// A deed in every manner. Which strategy starts a chunk and how its rows travel have nothing to do with each other:
/// two transports see all strategies, the others the one whose chunks go one by one.
async fn sweep_all(deed: Deed) {
    use ExecutionStrategy::{Chunked, Optimistic, Parallel, Pipelined, SingleQuery};
    let db = database(TABLES).await;
    let reported = |strategy, bad| Manner { strategy, bad, reported: true };
    let is_main = matches!(deed.transport(), Transport::UnnestRows | Transport::Copy);
    sweep(&db, deed, CHUNKED, true, &CUTS[..if is_main { 4 } else { 1 }]).await;
    if is_main {
        sweep(&db, deed, CHUNKED, false, &CUTS[..1]).await;
        for strategy in [SingleQuery, Parallel, Pipelined, Optimistic] {
            sweep(&db, deed, reported(strategy, false), true, &CUTS[..1]).await;
        }
    }
    if deed.can_be_bad() {
        for strategy in [Chunked, Parallel].into_iter().filter(|strategy| is_main || *strategy == Chunked) {
            sweep(&db, deed, reported(strategy, true), true, &CUTS[..1]).await;
        }
    }
}

/// A sweep for each deed, by each transport.
macro_rules! sweeps {
    ($($test:ident: $deed:ident $transport:ident;)*) => {$(
        #[tokio::test]
        async fn $test() {
            sweep_all(Deed::$deed(Transport::$transport)).await;
        }
    )*};
}

sweeps! {
    an_insert_by_copy_is_exact_at_every_cut: Insert Copy;
    an_insert_by_rows_is_exact_at_every_cut: Insert UnnestRows;
    an_insert_by_columns_is_exact_at_every_cut: Insert UnnestColumns;
    an_insert_by_single_statements_is_exact_at_every_cut: Insert Single;
    an_insert_by_a_stage_that_returns_is_exact_at_every_cut: InsertReturning Copy;
    an_insert_by_rows_that_returns_is_exact_at_every_cut: InsertReturning UnnestRows;
    an_update_by_a_stage_is_exact_at_every_cut: Update Copy;
    an_update_by_rows_is_exact_at_every_cut: Update UnnestRows;
    an_update_by_columns_is_exact_at_every_cut: Update UnnestColumns;
    an_update_by_single_statements_is_exact_at_every_cut: Update Single;
    an_upsert_by_a_stage_is_exact_at_every_cut: Upsert Copy;
    an_upsert_by_rows_is_exact_at_every_cut: Upsert UnnestRows;
    an_upsert_by_columns_is_exact_at_every_cut: Upsert UnnestColumns;
    an_upsert_by_single_statements_is_exact_at_every_cut: Upsert Single;
    a_delete_by_a_stage_is_exact_at_every_cut: Delete Copy;
    a_delete_by_rows_is_exact_at_every_cut: Delete UnnestRows;
    a_delete_by_columns_is_exact_at_every_cut: Delete UnnestColumns;
    a_delete_by_single_statements_is_exact_at_every_cut: Delete Single;
    a_get_by_a_stage_is_right_at_every_cut: Get Copy;
    a_get_by_rows_is_right_at_every_cut: Get UnnestRows;
    a_get_by_columns_is_right_at_every_cut: Get UnnestColumns;
    a_get_by_single_statements_is_right_at_every_cut: Get Single;
    a_processed_upsert_is_exact_at_every_cut: Processed UnnestRows;
}

/// The connection is cut, and another one at each message of what is done about the first: while what became of the
/// chunk is looked up, and in its second try.
async fn sweep_pairs(deed: Deed) {
    let db = database(TABLES).await;
    let manner = Manner { strategy: ExecutionStrategy::SingleQuery, ..CHUNKED };
    let proxy = Proxy::new(db.server_folder());
    let pool = pool_through(&db, proxy.folder(), 2);
    let operations = Operations::new(&pool, manner);
    deed.prepare(&db, false).await;
    deed.run(&operations, manner, "warming up").await;
    for (first_way, second_way) in WAYS.into_iter().flat_map(|first| WAYS.map(|second| (first, second))) {
        for first in 0.. {
            let mut first_sprang = true;
            for second in 0.. {
                let context = format!("cut at {first} {first_way:?} and {second} {second_way:?}");
                deed.prepare(&db, false).await;
                proxy.set([
                    Trap { way: first_way, at: first, harm: Harm::CutBefore },
                    Trap { way: second_way, at: second, harm: Harm::CutBefore },
                ]);
                deed.run(&operations, manner, &context).await;
                let left = proxy.set_still();
                proxy.set([]);
                deed.check_all(&db, false, &context).await;
                quiet(&db, &context).await;
                first_sprang = left < 2;
                if left > 0 {
                    break;
                }
            }
            if !first_sprang {
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_insert_is_exact_at_every_two_cuts() {
    sweep_pairs(Deed::Insert(Transport::UnnestRows)).await;
}

#[tokio::test]
async fn an_upsert_is_exact_at_every_two_cuts() {
    sweep_pairs(Deed::Upsert(Transport::UnnestColumns)).await;
}
