//! A write of what is stored already: it is told as unchanged, and the stored row is not touched.

use batchkit::{BatchModel, BatchOperations};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;

use crate::common::{STRATEGIES, TRANSPORTS, database};

/// Values that the server stores in another form than they have here.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "prices")]
struct Price {
    #[batch(key)]
    id: i32,
    /// With nanoseconds; the server keeps microseconds.
    at: DateTime<Utc>,
    /// The server keeps two digits.
    amount: Decimal,
    /// The server pads it.
    code: Option<String>,
    ratio: f64,
    #[batch(json)]
    extra: serde_json::Value,
    tags: Vec<String>,
}

const TABLE: &str = "CREATE TABLE prices (id int4 PRIMARY KEY, at timestamptz NOT NULL, amount numeric(10, 2) NOT NULL,
    code char(8), ratio float8 NOT NULL, extra jsonb NOT NULL, tags text[] NOT NULL)";

fn prices() -> Vec<Price> {
    let price = |id: i32| Price {
        id,
        at: DateTime::UNIX_EPOCH + TimeDelta::nanoseconds(1_234_567_891 * i64::from(id)),
        amount: Decimal::new(i64::from(id) * 1_001, 3),
        code: (id % 3 > 0).then(|| format!("c{id}")),
        ratio: if id % 5 == 0 { f64::NAN } else { f64::from(id) / 3.0 },
        extra: serde_json::json!({ "b": id, "a": [1, null] }),
        tags: vec!["x".to_owned(); usize::try_from(id % 3).unwrap()],
    };
    (0..40).map(price).collect()
}

#[tokio::test]
async fn the_second_run_of_an_upsert_or_update_changes_nothing() {
    let db = database(TABLE).await;
    let versions = "SELECT string_agg(ctid || ' ' || xmin, ',' ORDER BY id) FROM prices";
    for transport in TRANSPORTS {
        for (strategy, size) in STRATEGIES {
            let context = format!("{transport:?} {strategy:?} {size}");
            let operations = BatchOperations::<Price>::new(db.pool.clone());
            db.run("TRUNCATE prices").await;
            let upsert = || {
                operations.batch_upsert(prices()).if_changed().transport(transport).strategy(strategy).batch_size(size)
            };
            assert_eq!(upsert().await.unwrap().inserted, 40, "{context}");
            let before = db.text(versions).await;
            let again = upsert().await.unwrap();
            assert_eq!((again.inserted, again.updated, again.unchanged), (0, 0, 40), "{context}");
            let update = operations.batch_update(prices()).if_changed().transport(transport).strategy(strategy);
            let report = update.batch_size(size).report().await.unwrap();
            assert_eq!((report.updated(), report.unchanged()), (0, 40), "{context}");
            assert_eq!(db.text(versions).await, before, "{context}: no stored row was touched");
        }
    }
}
