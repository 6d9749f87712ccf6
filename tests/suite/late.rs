//! Row 4 of the fault table: a connection is frozen with a part of a chunk on its way, its COMMIT perhaps too, and
//! the part comes late: after the call is over, or while it finds out what became of the chunk.

use batchkit::{ExecutionStrategy, Transport};

use crate::common::{Db, database, pool_through, quiet};
use crate::deeds::{Deed, Manner, Operations, TABLES};
use crate::proxy::{Harm, Proxy, Trap, Way};

/// Statements that are sent late.
const DEEDS: [Deed; 5] = [
    Deed::Insert(Transport::UnnestRows),
    Deed::Insert(Transport::Copy),
    Deed::Update(Transport::UnnestRows),
    Deed::Upsert(Transport::Copy),
    Deed::Delete(Transport::UnnestRows),
];

/// Freezes the deed at its message `at` to the server, and lets go by the traps of `then` or else at its end.
/// Answers how many traps did not spring.
async fn freeze(
    db: &Db,
    proxy: &Proxy,
    (deed, operations, manner): (Deed, &Operations, Manner),
    at: usize,
    then: Option<Trap>,
) -> usize {
    let context = format!("{deed:?} held at {at}, then {then:?}");
    deed.prepare(db, false).await;
    proxy.set([Trap { way: Way::ToServer, at, harm: Harm::Hold }].into_iter().chain(then));
    deed.run(operations, manner, &context).await;
    let left = proxy.set_still();
    proxy.set([]);
    deed.check_all(db, false, &context).await;
    proxy.let_go();
    proxy.nothing_held().await;
    deed.check_all(db, false, &format!("{context}, let go")).await;
    quiet(db, &context).await;
    left
}

#[tokio::test]
async fn a_late_copy_is_fenced() {
    let db = database(TABLES).await;
    let proxy = Proxy::new(db.server_folder());
    let pool = pool_through(&db, proxy.folder(), 2);
    let manner = Manner { strategy: ExecutionStrategy::SingleQuery, bad: false, reported: false };
    for deed in DEEDS {
        let operations = Operations::new(&pool, manner);
        deed.prepare(&db, false).await;
        deed.run(&operations, manner, "warming up").await;
        for at in 0.. {
            if freeze(&db, &proxy, (deed, &operations, manner), at, None).await > 0 {
                break;
            }
        }
    }
}

/// The race: what is held comes at each message of the fate's being looked up and of the second try.
#[tokio::test]
async fn a_copy_that_comes_while_its_fate_is_looked_up_is_fenced() {
    let db = database(TABLES).await;
    let proxy = Proxy::new(db.server_folder());
    let pool = pool_through(&db, proxy.folder(), 2);
    let manner = Manner { strategy: ExecutionStrategy::SingleQuery, bad: false, reported: false };
    for deed in DEEDS {
        let operations = Operations::new(&pool, manner);
        deed.prepare(&db, false).await;
        deed.run(&operations, manner, "warming up").await;
        'messages: for at in 0.. {
            // A message and the next one mostly travel together.
            for later in (0..).step_by(2) {
                let then = Trap { way: Way::ToServer, at: later, harm: Harm::LetGo };
                match freeze(&db, &proxy, (deed, &operations, manner), at, Some(then)).await {
                    0 => {}
                    1 => break,
                    _ => break 'messages,
                }
            }
        }
    }
}
