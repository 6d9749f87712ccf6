//! What others see while a call is under way.

use batchkit::{BatchModel, BatchOperations, ExecutionStrategy};

use crate::common::{TRANSPORTS, database};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "seats")]
struct Seat {
    #[batch(key)]
    id: i32,
    holder: i32,
}

/// The write stops at the row in the middle until the latch is let go.
const TABLE: &str = "
    CREATE TABLE seats (id int4 PRIMARY KEY, holder int4 NOT NULL);
    CREATE FUNCTION latch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF coalesce(NEW.id, OLD.id) = 1500 THEN
            PERFORM pg_advisory_xact_lock_shared(1);
        END IF;
        RETURN coalesce(NEW, OLD);
    END $$;
    CREATE TRIGGER latch AFTER INSERT OR UPDATE OR DELETE ON seats FOR EACH ROW EXECUTE FUNCTION latch()";

const SEATS: i32 = 3_000;

fn seats(holder: i32) -> Vec<Seat> {
    (0..SEATS).map(|id| Seat { id, holder }).collect()
}

/// Whoever holds how many seats.
const SEEN: &str = "SELECT coalesce(string_agg(holder || ' has ' || n, ', ' ORDER BY holder), 'none')
    FROM (SELECT holder, count(*) AS n FROM seats GROUP BY holder) AS s";

/// A verb that is looked at, what is seen before it is done, and behind.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Insert,
    Upsert,
    Update,
    Delete,
}

#[tokio::test]
async fn of_a_single_query_a_reader_sees_all_or_nothing() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Seat>::new(db.pool.clone());
    let holder = db.database.connect().await.unwrap();
    let reader = db.database.connect().await.unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database =
        (SELECT oid FROM pg_database WHERE datname = current_database())";
    for transport in TRANSPORTS {
        for (deed, before, behind) in [
            (Deed::Insert, "none", "1 has 3000"),
            (Deed::Upsert, "1 has 3000", "2 has 3000"),
            (Deed::Update, "2 has 3000", "3 has 3000"),
            (Deed::Delete, "3 has 3000", "none"),
        ] {
            let context = format!("{deed:?} {transport:?}");
            holder.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
            let operations = operations.clone();
            let call = tokio::spawn(async move {
                macro_rules! run {
                    ($call:expr) => {
                        $call.transport(transport).strategy(ExecutionStrategy::SingleQuery).batch_size(100).await
                    };
                }
                match deed {
                    Deed::Insert => run!(operations.batch_insert(seats(1))),
                    Deed::Upsert => run!(operations.batch_upsert(seats(2))).map(|done| done.updated),
                    Deed::Update => run!(operations.batch_update(seats(3))),
                    Deed::Delete => run!(operations.batch_delete(0..SEATS)),
                }
            });
            // In the middle nothing is seen of it.
            while holder.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                assert!(!call.is_finished(), "{context}: it ended without the latch");
                tokio::task::yield_now().await;
            }
            let seen: String = reader.query_one(SEEN, &[]).await.unwrap().get(0);
            assert_eq!(seen, before, "{context}, in the middle");
            holder.batch_execute("SELECT pg_advisory_unlock(1)").await.unwrap();
            // From then on a reader sees the one or the other.
            loop {
                let is_over = call.is_finished();
                let seen: String = reader.query_one(SEEN, &[]).await.unwrap().get(0);
                assert!(seen == before || seen == behind, "{context}: {seen}");
                if is_over {
                    assert_eq!(seen, behind, "{context}");
                    break;
                }
            }
            assert_eq!(call.await.unwrap().unwrap(), 3_000, "{context}");
        }
    }
}
