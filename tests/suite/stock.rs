//! A table of stock, every verb that writes to it, and what tells whether that was done once.

use std::collections::HashMap;
use std::time::Duration;

use batchkit::{BatchConfig, BatchModel, BatchOperations, BatchSize, ErrorKind, Outcome, Report, Result, Tracker};
use deadpool_postgres::Pool;
use tokio::task::JoinHandle;

use crate::common::{Answers, Db, record};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "stock")]
pub(crate) struct Stock {
    #[batch(key)]
    pub(crate) id: i32,
    pub(crate) amount: i32,
}

pub(crate) const TABLE: &str = "CREATE TABLE stock (id int4 PRIMARY KEY, amount int4 NOT NULL)";

/// The options of the pool that batchkit works on, by which triggers tell it from others.
pub(crate) const OURS: &str = "-c application_name=batchkit";

/// What batchkit writes leaves a trace for each row, so that what is written twice is seen.
pub(crate) const TRACES: &str = "
    CREATE TABLE traces (id int4 NOT NULL);
    CREATE FUNCTION trace() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        IF current_setting('application_name') = 'batchkit' THEN INSERT INTO traces VALUES (coalesce(NEW.id, OLD.id)); END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER trace AFTER INSERT OR UPDATE OR DELETE ON stock FOR EACH ROW EXECUTE FUNCTION trace()";

/// At row 1, and when the row before it is written, batchkit waits at the gate with the number of the try.
pub(crate) const LATCH: &str = "
    CREATE SEQUENCE tries;
    CREATE FUNCTION latch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF coalesce(NEW.id, OLD.id) = 1 AND current_setting('application_name') = 'batchkit'
           AND current_setting('latch.passed', true) IS DISTINCT FROM 'yes' THEN
            PERFORM set_config('latch.passed', 'yes', true), pg_advisory_xact_lock_shared(nextval('tries'));
        END IF;
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER latch BEFORE INSERT OR UPDATE OR DELETE ON stock FOR EACH ROW EXECUTE FUNCTION latch()";

pub(crate) fn stock(ids: std::ops::Range<i32>, amount: i32) -> Vec<Stock> {
    ids.map(|id| Stock { id, amount }).collect()
}

/// Chunks of ten rows, and short pauses.
pub(crate) fn config() -> BatchConfig {
    BatchConfig { retry_delay: Duration::from_millis(1), batch_size: BatchSize::Rows(10), ..BatchConfig::default() }
}

pub(crate) fn operations(pool: &Pool) -> BatchOperations<Stock> {
    operations_with(pool, config())
}

pub(crate) fn operations_with(pool: &Pool, config: BatchConfig) -> BatchOperations<Stock> {
    BatchOperations::builder(pool.clone()).config(config).build().unwrap()
}

/// Every verb that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Insert,
    InsertIgnoring,
    Upsert,
    Update,
    Delete,
}

impl Verb {
    pub(crate) const ALL: [Verb; 5] = [Verb::Insert, Verb::InsertIgnoring, Verb::Upsert, Verb::Update, Verb::Delete];

    /// Whether the rows are there before.
    pub(crate) fn is_of_stored_rows(self) -> bool {
        !self.only_inserts()
    }

    /// Whether it never touches a stored row.
    pub(crate) fn only_inserts(self) -> bool {
        matches!(self, Verb::Insert | Verb::InsertIgnoring)
    }

    /// The same start for each try: the rows that are to be changed are there, with the amount 0.
    pub(crate) async fn prepare(self, db: &Db, rows: i32) {
        db.run("TRUNCATE stock, traces").await;
        if self.is_of_stored_rows() {
            db.run(&format!("INSERT INTO stock SELECT n, 0 FROM generate_series(0, {}) n", rows - 1)).await;
        }
    }

    pub(crate) async fn run(
        self,
        operations: &BatchOperations<Stock>,
        rows: Vec<Stock>,
        answers: &Answers,
    ) -> Result<Report> {
        let tracker = Tracker::new();
        let inserted = match self {
            Verb::Insert => operations.batch_insert(&rows),
            Verb::InsertIgnoring => operations.batch_insert(&rows).ignore_conflicts(),
            Verb::Upsert => return operations.batch_upsert(rows).report().error_callback(record(answers)).await,
            Verb::Update => return operations.batch_update(rows).report().error_callback(record(answers)).await,
            Verb::Delete => {
                let keys = rows.into_iter().map(|row| row.id);
                return operations.batch_delete(keys).report().error_callback(record(answers)).await;
            }
        };
        match inserted.report().error_callback(record(answers)).await {
            // Behind a BEFORE trigger most transports can only count.
            Err(error) if error.kind() == ErrorKind::Config => {}
            result => return result,
        }
        let counted = match self {
            Verb::InsertIgnoring => operations.batch_insert(&rows).ignore_conflicts(),
            _ => operations.batch_insert(&rows),
        };
        match counted.track(&tracker).error_callback(record(answers)).await {
            Err(error) if error.kind() != ErrorKind::Rejected => Err(error),
            _ => Ok(tracker.report().unwrap()),
        }
    }

    /// Runs it beside what the test does.
    pub(crate) fn start(
        self,
        pool: &Pool,
        config: BatchConfig,
        rows: Vec<Stock>,
        answers: &Answers,
    ) -> JoinHandle<Result<Report>> {
        let (operations, answers) = (operations_with(pool, config), answers.clone());
        tokio::spawn(async move { self.run(&operations, rows, &answers).await })
    }

    /// What the report says is what is stored, and was done once. A row of which it says that it is not known may
    /// be either.
    pub(crate) async fn check(self, db: &Db, rows: &[Stock], report: &Report, context: &str) {
        let client = db.database.connect().await.unwrap();
        let stored = client.query("SELECT id, amount FROM stock", &[]).await.unwrap();
        let stored: HashMap<i32, i32> = stored.iter().map(|row| (row.get(0), row.get(1))).collect();
        let traces = client.query("SELECT id, count(*) FROM traces GROUP BY id", &[]).await.unwrap();
        let traces: HashMap<i32, i64> = traces.iter().map(|row| (row.get(0), row.get(1))).collect();
        let outcomes = outcomes(rows, report);
        assert_eq!((report.total(), outcomes.len()), (u64::try_from(rows.len()).unwrap(), rows.len()), "{context}");
        for (row, outcome) in rows.iter().zip(outcomes) {
            let is_done = match self {
                Verb::Delete => !stored.contains_key(&row.id),
                _ => stored.get(&row.id) == Some(&row.amount),
            };
            let told = matches!(outcome, Outcome::Inserted | Outcome::Updated | Outcome::Deleted);
            let times = traces.get(&row.id).copied().unwrap_or(0);
            match outcome {
                Outcome::Unknown => assert!(times <= 1, "{self:?} {context}: row {} {times} times", row.id),
                _ => assert_eq!(
                    (is_done, times),
                    (told, i64::from(told)),
                    "{self:?} {context}: row {} is told {outcome:?}",
                    row.id
                ),
            }
        }
    }
}

/// The outcome of each row. A report that only counts has them where chunks are wholly in or out.
fn outcomes(rows: &[Stock], report: &Report) -> Vec<Outcome> {
    if let Some(outcomes) = report.outcomes() {
        return outcomes.to_vec();
    }
    let committed: usize = report.committed().iter().map(ExactSizeIterator::len).sum();
    assert_eq!(report.inserted(), u64::try_from(committed).unwrap());
    let is_in = |position: usize| report.committed().iter().any(|range| range.contains(&position));
    (0..rows.len()).map(|position| if is_in(position) { Outcome::Inserted } else { Outcome::Failed }).collect()
}
