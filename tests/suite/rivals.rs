//! Rivals: other sessions that lock, change and alter what a call is writing, while it writes it.

use std::collections::HashMap;

use batchkit::{
    BatchConfig, BatchModel, BatchOperations, BatchSize, DatabaseSettings, DuplicatePolicy, ErrorAnswer, ErrorKind,
    ExecutionStrategy, IsolationLevel, OnRowError, Outcome, Transport,
};
use deadpool_postgres::Pool;
use postgres_types::{FromSql, ToSql};
use tokio::task::JoinHandle;

use crate::common::{Answers, Db, Gate, TRANSPORTS, database, nothing_is_open, record, until};
use crate::stock::{LATCH, OURS, Stock, TABLE, TRACES, Verb, config, operations_with, stock};

/// Row 6: a rival locks the same rows in reverse order, and the server ends our chunk to let it go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_with_a_rival_is_repeated() {
    let db = database(TABLE).await;
    db.run(TRACES).await;
    db.run(LATCH).await;
    // Whoever waits shorter before it looks for a deadlock is the one that is ended.
    let pool = db.pool_with(&format!("{OURS} -c deadlock_timeout=1ms"));
    for verb in Verb::ALL {
        for transport in transports() {
            let context = format!("{transport:?}");
            verb.prepare(&db, 10).await;
            db.run("ALTER SEQUENCE tries RESTART").await;
            let gate = Gate::close(&db, 1..=1).await;
            let rival = db.database.connect().await.unwrap();
            rival.batch_execute("SET deadlock_timeout = '1h'; BEGIN").await.unwrap();
            let touch = |id: i32| match verb.only_inserts() {
                true => format!("INSERT INTO stock VALUES ({id}, 1000)"),
                false => format!("UPDATE stock SET amount = amount + 1000 WHERE id = {id}"),
            };
            rival.batch_execute(&touch(9)).await.unwrap();
            // Tried again before the rival has woken up, an insert would get in its way once more.
            let (answers, go_on) = Answers::that_wait();
            let rows = stock(0..10, 7);
            let config = BatchConfig { transport, ..config() };
            let call = verb.start(&pool, config, rows.clone(), &answers);
            // Our chunk has row 0, and then waits for row 9; the rival has row 9 and waits for row 0.
            let ours = gate.reached(1).await;
            let touched = touch(0);
            let (waits, ()) = tokio::join!(rival.batch_execute(&touched), async {
                let blocked =
                    format!("SELECT count(*) FROM pg_stat_activity WHERE {ours} = ANY (pg_blocking_pids(pid))");
                until("the rival to wait", async || (db.number(&blocked).await > 0).then_some(())).await;
                gate.open(1).await;
            });
            waits.unwrap();
            go_on.send(()).unwrap();
            // What the rival inserts would be in the way.
            rival.batch_execute(if verb.only_inserts() { "ROLLBACK" } else { "COMMIT" }).await.unwrap();
            let report = call.await.unwrap().unwrap();
            assert_eq!(answers.told(), [(Some("40P01".to_owned()), ErrorAnswer::Again)], "{verb:?} {context}");
            assert_eq!((report.retries(), report.total()), (1, 10), "{verb:?} {context}");
            verb.check(&db, &rows, &report, &context).await;
            nothing_is_open(&db).await;
        }
    }
}

/// Every transport by its own name.
fn transports() -> Vec<Transport> {
    // Auto is one of the others.
    TRANSPORTS.into_iter().filter(|transport| *transport != Transport::Auto).collect()
}

/// The amounts that are stored, by key.
async fn stored(db: &Db) -> HashMap<i32, i32> {
    let rows = db.pool.get().await.unwrap().query("SELECT id, amount FROM stock", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A hundred keys, each `times` times, in an order that has none, and that is another one for each `step`; the amount
/// is the place in the input.
fn shuffled(times: i32, step: i32) -> Vec<Stock> {
    (0..100 * times).map(|n| Stock { id: n * step % 100, amount: n }).collect()
}

/// Row 6: the workers of one call do not get into each other's way, whatever the order of the rows.
#[tokio::test]
async fn the_workers_of_a_call_never_deadlock() {
    let db = database(TABLE).await;
    db.run(TRACES).await;
    let pool = db.pool_with(&format!("{OURS} -c deadlock_timeout=1ms"));
    for verb in Verb::ALL {
        for transport in transports() {
            verb.prepare(&db, 100).await;
            let config = BatchConfig {
                transport,
                execution_strategy: ExecutionStrategy::Parallel,
                duplicates: DuplicatePolicy::LastWins,
                on_row_error: OnRowError::Reject,
                ..config()
            };
            let answers = Answers::default();
            let rows = shuffled(4, 37);
            let report = verb.start(&pool, config, rows.clone(), &answers).await.unwrap().unwrap();
            assert_eq!(answers.count("40P01"), 0, "{verb:?} {transport:?}");
            let place = |id: i32, last: bool| {
                let mut places = rows.iter().filter(|row| row.id == id).map(|row| row.amount);
                if last { places.next_back() } else { places.next() }
            };
            let expected: HashMap<i32, i32> = match verb {
                Verb::Delete => HashMap::new(),
                _ => (0..100).map(|id| (id, place(id, !verb.only_inserts()).unwrap())).collect(),
            };
            assert_eq!(stored(&db).await, expected, "{verb:?} {transport:?}");
            let others = match verb {
                Verb::Insert => report.rejected(),
                Verb::InsertIgnoring => report.unchanged(),
                _ => report.duplicates(),
            };
            let done = report.inserted() + report.updated() + report.deleted();
            assert_eq!((done, others, report.total()), (100, 300, 400), "{verb:?} {transport:?}");
            assert_eq!(db.number("SELECT count(*) FROM traces").await, 100, "{verb:?} {transport:?}");
        }
    }
}

/// Row 6: several calls at once write the same rows. Each of them gets through, and what they tell adds up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_write_the_same_rows_get_through() {
    let db = database(TABLE).await;
    db.run(TRACES).await;
    // Slow enough for the calls to meet.
    db.run(
        "CREATE FUNCTION dawdle(id int4) RETURNS bool VOLATILE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN true; END';
         ALTER TABLE stock ADD CHECK (dawdle(id))",
    )
    .await;
    for verb in Verb::ALL {
        for transport in transports() {
            let context = format!("{verb:?} {transport:?}");
            verb.prepare(&db, 100).await;
            let config = BatchConfig {
                transport,
                execution_strategy: ExecutionStrategy::Parallel,
                on_row_error: OnRowError::Reject,
                retry_count: 100,
                max_workers: 2,
                batch_size: BatchSize::Rows(50),
                ..config()
            };
            let answers = Answers::default();
            // Of these steps, each second one is the reverse of the one before.
            let calls: Vec<_> = [37, 63, 11, 89]
                .map(|by| {
                    let pool = db.pool_with(&format!("{OURS} -c deadlock_timeout=5ms"));
                    let rows: Vec<Stock> = shuffled(1, by).into_iter().map(|row| Stock { amount: by, ..row }).collect();
                    (rows.clone(), verb.start(&pool, config.clone(), rows, &answers))
                })
                .into();
            let mut done: HashMap<i32, Vec<i32>> = HashMap::new();
            for (rows, call) in calls {
                let report = call.await.unwrap().unwrap();
                for (row, outcome) in rows.iter().zip(report.outcomes().unwrap()) {
                    if matches!(outcome, Outcome::Inserted | Outcome::Updated | Outcome::Deleted) {
                        done.entry(row.id).or_default().push(row.amount);
                    }
                }
                let written = report.inserted() + report.updated() + report.deleted();
                let left_out = report.rejected() + report.unchanged() + report.missing();
                assert_eq!((written + left_out, report.total()), (100, 100), "{context}");
            }
            let stored = stored(&db).await;
            for id in 0..100 {
                let done = &done[&id];
                match verb {
                    Verb::Upsert | Verb::Update => assert_eq!(done.len(), 4, "{context}: row {id}"),
                    _ => assert_eq!(done.len(), 1, "{context}: row {id}"),
                }
                match verb {
                    Verb::Delete => assert_eq!(stored.get(&id), None, "{context}: row {id}"),
                    _ => assert!(done.contains(&stored[&id]), "{context}: row {id}"),
                }
            }
            let traces = done.values().map(Vec::len).sum::<usize>();
            assert_eq!(db.number("SELECT count(*) FROM traces").await, i64::try_from(traces).unwrap(), "{context}");
            // Rows go in in the order of their keys. In which order a join finds them, the server decides.
            if matches!(verb, Verb::Insert | Verb::InsertIgnoring | Verb::Upsert) {
                assert_eq!(answers.count("40P01"), 0, "{context}");
            }
            nothing_is_open(&db).await;
        }
    }
}

/// What a rival does to a transaction under a snapshot.
#[derive(Debug, Clone, Copy)]
enum Conflict {
    /// It changes a row before we do: our statement fails.
    Change,
    /// It reads what we write and writes what we read: our COMMIT fails.
    WriteSkew,
}

/// Row 7: serialization failures, at the statement and at COMMIT, once and without end.
#[tokio::test]
async fn a_serialization_failure_is_repeated_and_then_told() {
    let db = database(TABLE).await;
    db.run(TRACES).await;
    db.run(LATCH).await;
    db.run(
        "CREATE TABLE watch (n int4);
         CREATE FUNCTION read_watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM count(*) FROM watch; RETURN NULL; END';
         CREATE TRIGGER read_watch BEFORE UPDATE ON stock EXECUTE FUNCTION read_watch()",
    )
    .await;
    let pool = db.pool_with(OURS);
    for (conflict, level) in
        [(Conflict::Change, IsolationLevel::RepeatableRead), (Conflict::WriteSkew, IsolationLevel::Serializable)]
    {
        // For the skew the latch is inside of COMMIT: our own reads and writes are all done.
        let timing = match conflict {
            Conflict::Change => "CREATE TRIGGER latch BEFORE UPDATE ON stock",
            Conflict::WriteSkew => {
                "CREATE CONSTRAINT TRIGGER latch AFTER UPDATE ON stock DEFERRABLE INITIALLY DEFERRED"
            }
        };
        db.run(&format!("DROP TRIGGER latch ON stock; {timing} FOR EACH ROW EXECUTE FUNCTION latch()")).await;
        for transport in transports() {
            for times in [1, 4] {
                let context = format!("{conflict:?} {transport:?} {times} times");
                Verb::Update.prepare(&db, 20).await;
                db.run("ALTER SEQUENCE tries RESTART").await;
                let gate = Gate::close(&db, 1..=times).await;
                let answers = Answers::default();
                let database = DatabaseSettings { isolation_level: Some(level), ..DatabaseSettings::default() };
                let config = BatchConfig { transport, database, ..config() };
                let call = Verb::Update.start(&pool, config, stock(0..20, 7), &answers);
                for number in 1..=times {
                    gate.reached(number).await;
                    let deed = match conflict {
                        Conflict::Change => "UPDATE stock SET amount = amount + 1000 WHERE id = 5",
                        Conflict::WriteSkew => {
                            "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT sum(amount) FROM stock; INSERT INTO watch VALUES (1); COMMIT"
                        }
                    };
                    db.run(deed).await;
                    gate.open(number).await;
                }
                let result = call.await.unwrap();
                let told = answers.told();
                assert!(told.iter().all(|(code, _)| code.as_deref() == Some("40001")), "{context}: {told:?}");
                assert_eq!(told.len(), usize::try_from(times).unwrap(), "{context}");
                let report = match &result {
                    Ok(report) => {
                        assert_eq!((times, report.updated(), report.retries()), (1, 20, 1), "{context}");
                        report
                    }
                    Err(error) => {
                        let report = error.report().unwrap();
                        let counts = (report.updated(), report.failed(), report.not_attempted(), report.retries());
                        assert_eq!((times, counts), (4, (0, 10, 10, 3)), "{context}");
                        assert_eq!(error.sqlstate().unwrap().code(), "40001", "{context}");
                        report
                    }
                };
                Verb::Update.check(&db, &stock(0..20, 7), report, &context).await;
                nothing_is_open(&db).await;
            }
        }
    }
}

/// Lets a call run up to its first chunk's row 1, alters the table behind that chunk's COMMIT and before the next
/// chunk, and lets the call go on.
async fn between_chunks<T>(db: &Db, alter: &str, start: impl FnOnce() -> JoinHandle<T>) -> T {
    db.run("ALTER SEQUENCE tries RESTART").await;
    let gate = Gate::close(db, 1..=1).await;
    let call = start();
    gate.reached(1).await;
    let rival = db.database.connect().await.unwrap();
    let (altered, ()) = tokio::join!(rival.batch_execute(alter), async {
        // The rival stands in line for the table now, in front of the next chunk.
        let waits = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until("the rival to wait", async || (db.number(waits).await > 0).then_some(())).await;
        gate.open(1).await;
    });
    altered.unwrap();
    call.await.unwrap()
}

/// What is stored is what the report says, and of the table's caches nothing was cleared twice.
fn told_once(answers: &Answers, context: &str) {
    let cleared = answers.told().iter().filter(|(_, answer)| *answer == ErrorAnswer::ClearCaches).count();
    assert!(cleared <= 1, "{context}: {:?}", answers.told());
}

/// Row 18: the table changes between two chunks of a call that is running.
#[tokio::test]
async fn a_table_that_changes_between_the_chunks_of_a_call() {
    let db = database("CREATE SCHEMA nothing").await;
    let changes = [
        ("a column more", "LOCK TABLE stock; ALTER TABLE stock ADD extra text NOT NULL DEFAULT 'x'", true),
        ("another type", "ALTER TABLE stock ALTER amount TYPE int8", false),
        ("a column renamed", "ALTER TABLE stock RENAME amount TO quantity", false),
        ("no key any longer", "ALTER TABLE stock DROP CONSTRAINT stock_pkey", false),
    ];
    for verb in Verb::ALL {
        for transport in transports() {
            for (what, alter, goes_on) in changes {
                let context = format!("{what}, {transport:?}");
                db.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
                db.run(TABLE).await;
                db.run(TRACES).await;
                db.run(LATCH).await;
                verb.prepare(&db, 40).await;
                // What was known of the last one's table is not what is looked at here.
                let pool = db.pool_with(OURS);
                let (answers, rows) = (Answers::default(), stock(0..40, 7));
                let start = || verb.start(&pool, BatchConfig { transport, ..config() }, rows.clone(), &answers);
                let result = between_chunks(&db, alter, start).await;
                told_once(&answers, &context);
                db.run(
                    "DO 'BEGIN ALTER TABLE stock RENAME quantity TO amount; EXCEPTION WHEN undefined_column THEN END'",
                )
                .await;
                db.run("ALTER TABLE stock ALTER amount TYPE int4").await;
                match result {
                    Ok(report) => {
                        assert_eq!(report.inserted() + report.updated() + report.deleted(), 40, "{verb:?} {context}");
                        verb.check(&db, &rows, &report, &context).await;
                    }
                    Err(error) => {
                        assert!(!goes_on, "{verb:?} {context}: {error}");
                        let is_clear = error.kind() == ErrorKind::Schema || error.sqlstate().is_some();
                        assert!(is_clear, "{verb:?} {context}: {error}");
                        let report = error.report().unwrap();
                        let counts = (report.failed(), report.not_attempted(), report.committed());
                        assert_eq!(counts, (10, 20, [0..10].as_slice()), "{verb:?} {context}: {error}");
                        verb.check(&db, &rows, report, &context).await;
                    }
                }
                nothing_is_open(&db).await;
            }
        }
    }
}

/// Row 18: another table takes the place of the one that a call is writing to; the chunks that follow go there.
#[tokio::test]
async fn a_table_that_is_made_anew_between_the_chunks_of_a_call() {
    let db = database("CREATE SCHEMA nothing").await;
    for verb in Verb::ALL {
        for transport in transports() {
            db.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
            db.run(TABLE).await;
            db.run(TRACES).await;
            db.run(LATCH).await;
            verb.prepare(&db, 40).await;
            let anew = "DROP TABLE stock; CREATE TABLE stock (amount int4 NOT NULL, id int4 PRIMARY KEY);
                        INSERT INTO stock (id, amount) SELECT n, 0 FROM generate_series(0, 39) n WHERE ";
            let alter = format!("{anew}{}", verb.is_of_stored_rows());
            // What was known of the last one's table is not what is looked at here.
            let pool = db.pool_with(OURS);
            let (answers, rows) = (Answers::default(), stock(0..40, 7));
            let start = || verb.start(&pool, BatchConfig { transport, ..config() }, rows.clone(), &answers);
            let report = between_chunks(&db, &alter, start).await.unwrap();
            told_once(&answers, &format!("{verb:?} {transport:?}"));
            assert_eq!(report.inserted() + report.updated() + report.deleted(), 40, "{verb:?} {transport:?}");
            // The first chunk was written to the table that is gone.
            let expected: HashMap<i32, i32> = match verb {
                Verb::Insert | Verb::InsertIgnoring => (10..40).map(|id| (id, 7)).collect(),
                Verb::Upsert | Verb::Update => (0..40).map(|id| (id, if id < 10 { 0 } else { 7 })).collect(),
                Verb::Delete => (0..10).map(|id| (id, 0)).collect(),
            };
            assert_eq!(stored(&db).await, expected, "{verb:?} {transport:?}");
            nothing_is_open(&db).await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, ToSql, FromSql)]
#[postgres(name = "mood")]
enum Mood {
    #[postgres(name = "sad")]
    Sad,
    #[postgres(name = "happy")]
    Happy,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "stock")]
struct Moody {
    #[batch(key)]
    id: i32,
    mood: Mood,
}

/// An enum of the same name and labels takes the place of the one before.
const MOOD_ANEW: &str = "ALTER TYPE mood RENAME TO old_mood; CREATE TYPE mood AS ENUM ('sad', 'happy');
    ALTER TABLE stock ALTER mood TYPE mood USING mood::text::mood; DROP TYPE old_mood";

fn moods(ids: std::ops::Range<i32>) -> Vec<Moody> {
    ids.map(|id| Moody { id, mood: if id % 2 == 0 { Mood::Sad } else { Mood::Happy } }).collect()
}

/// Row 18: an enum is made anew between two chunks, and between calls on connections that all know the old one.
#[tokio::test]
async fn an_enum_that_is_made_anew_is_noticed_once() {
    let db = database(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE stock (id int4 PRIMARY KEY, mood mood NOT NULL)",
    )
    .await;
    db.run(LATCH).await;
    // For this table, all chunks of a kind meet.
    db.run(
        "CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.id % 10 = 5 THEN PERFORM pg_advisory_xact_lock_shared(1000); END IF; RETURN NEW;
            END $$; CREATE TRIGGER meet BEFORE INSERT ON stock FOR EACH ROW EXECUTE FUNCTION meet()",
    )
    .await;
    let pool = db.pool_with(OURS);
    let moody = |transport| {
        let config = BatchConfig { transport, ..config() };
        BatchOperations::<Moody>::builder(pool.clone()).config(config).build().unwrap()
    };
    let start = |operations: &BatchOperations<Moody>, rows: Vec<Moody>, answers: &Answers| {
        let (operations, answers) = (operations.clone(), answers.clone());
        tokio::spawn(async move { operations.batch_insert(rows).error_callback(record(&answers)).await })
    };
    for transport in transports() {
        db.run("TRUNCATE stock").await;
        let (answers, operations) = (Answers::default(), moody(transport));
        operations.check_schema().await.unwrap();
        let inserted = between_chunks(&db, MOOD_ANEW, || start(&operations, moods(0..40), &answers)).await.unwrap();
        told_once(&answers, &format!("{transport:?}"));
        assert_eq!(inserted, 40, "{transport:?}");
        assert_eq!(operations.batch_get(0..40).await.unwrap(), moods(0..40), "{transport:?}");
        // Four chunks meet at the gate, so that each of the pool's connections knows the enum of before.
        for round in 0..2 {
            db.run("TRUNCATE stock; ALTER SEQUENCE tries RESTART").await;
            let gate = Gate::close(&db, 1000..=1000).await;
            let answers = Answers::default();
            let calls: Vec<_> =
                [0, 10, 20, 30].map(|first| start(&operations, moods(first..first + 10), &answers)).into();
            gate.reached_by(4, 1000).await;
            gate.open(1000).await;
            for call in calls {
                assert_eq!(call.await.unwrap().unwrap(), 10, "{transport:?}, round {round}");
            }
            assert_eq!(operations.batch_get(0..40).await.unwrap(), moods(0..40), "{transport:?}, round {round}");
            db.run(MOOD_ANEW).await;
        }
    }
}

/// What keeps every third row of the table from being written, or seen, by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// A BEFORE trigger returns NULL.
    Trigger,
    /// A rule does nothing instead.
    Rule,
    /// A policy hides stored rows and forbids new ones.
    Policy,
}

impl Obstacle {
    /// How it is put in the way, and taken away.
    const fn sql(self) -> (&'static str, &'static str) {
        match self {
            Obstacle::Trigger => (
                "CREATE TRIGGER leave_out BEFORE INSERT OR UPDATE OR DELETE ON stock FOR EACH ROW EXECUTE FUNCTION leave_out()",
                "DROP TRIGGER leave_out ON stock",
            ),
            Obstacle::Rule => (
                "CREATE RULE i AS ON INSERT TO stock WHERE is_left_out(NEW.id) DO INSTEAD NOTHING;
                 CREATE RULE u AS ON UPDATE TO stock WHERE is_left_out(NEW.id) DO INSTEAD NOTHING;
                 CREATE RULE d AS ON DELETE TO stock WHERE is_left_out(OLD.id) DO INSTEAD NOTHING",
                "DROP RULE i ON stock; DROP RULE u ON stock; DROP RULE d ON stock",
            ),
            Obstacle::Policy => (
                "ALTER TABLE stock ENABLE ROW LEVEL SECURITY; CREATE POLICY leave_out ON stock USING (NOT is_left_out(id))",
                "DROP POLICY leave_out ON stock; ALTER TABLE stock DISABLE ROW LEVEL SECURITY",
            ),
        }
    }

    /// What is told of a row that it leaves out.
    fn tells(self, verb: Verb) -> Outcome {
        match verb {
            Verb::Update | Verb::Delete => Outcome::Missing,
            // The server raises an error for each row that it forbids.
            _ if self == Obstacle::Policy => Outcome::Rejected,
            // Which rows met a conflict and which were dropped, nobody can tell apart.
            Verb::InsertIgnoring => Outcome::Unchanged,
            Verb::Insert | Verb::Upsert => Outcome::Skipped,
        }
    }
}

/// Row 19: what the server leaves out without an error is told as skipped or missing, never as written.
#[tokio::test]
async fn rows_that_the_server_leaves_out_are_told_so() {
    let db = database(TABLE).await;
    db.run(TRACES).await;
    let role = format!("rivals_{}", std::process::id());
    db.run(&format!(
        "CREATE ROLE {role}; GRANT ALL ON stock TO {role};
         CREATE FUNCTION is_left_out(id int4) RETURNS bool STABLE LANGUAGE sql AS
            $$ SELECT id % 3 = 0 AND current_setting('application_name') = 'batchkit' $$;
         CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF is_left_out(coalesce(NEW.id, OLD.id)) THEN RETURN NULL; END IF;
            IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
            RETURN NEW;
         END $$"
    ))
    .await;
    for obstacle in [Obstacle::Trigger, Obstacle::Rule, Obstacle::Policy] {
        let (put, take_away) = obstacle.sql();
        db.run(put).await;
        let pool = db.pool_with(&match obstacle {
            Obstacle::Policy => format!("{OURS} -c role={role}"),
            Obstacle::Trigger | Obstacle::Rule => OURS.to_owned(),
        });
        for verb in Verb::ALL {
            for transport in transports() {
                left_out(&db, &pool, obstacle, verb, transport, verb.is_of_stored_rows()).await;
                if verb == Verb::Upsert {
                    left_out(&db, &pool, obstacle, verb, transport, false).await;
                }
            }
        }
        db.run(take_away).await;
    }
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

async fn left_out(db: &Db, pool: &Pool, obstacle: Obstacle, verb: Verb, transport: Transport, is_stored: bool) {
    let context = format!("{obstacle:?} {transport:?}, stored: {is_stored}");
    verb.prepare(db, 12).await;
    if !is_stored {
        db.run("TRUNCATE stock").await;
    }
    let config = BatchConfig { transport, on_row_error: OnRowError::Reject, ..config() };
    let operations = operations_with(pool, config);
    let rows = stock(0..12, 7);
    match verb.run(&operations, rows.clone(), &Answers::default()).await {
        Ok(report) => {
            let written = match (verb, is_stored) {
                (Verb::Delete, _) => Outcome::Deleted,
                (_, true) => Outcome::Updated,
                (_, false) => Outcome::Inserted,
            };
            let expected: Vec<Outcome> =
                rows.iter().map(|row| if row.id % 3 == 0 { obstacle.tells(verb) } else { written }).collect();
            match report.outcomes() {
                Some(outcomes) => {
                    assert_eq!(outcomes, expected, "{verb:?} {context}");
                    verb.check(db, &rows, &report, &context).await;
                }
                None => {
                    assert_eq!(report.counts().of(written), 8, "{verb:?} {context}");
                    assert_eq!(report.counts().of(obstacle.tells(verb)), 4, "{verb:?} {context}");
                    eight_are_written(db, &context).await;
                }
            }
        }
        // A statement that tells of each row is one that the server does not run on a table with such rules.
        Err(error) => {
            let code = error.sqlstate().map(|state| state.code());
            assert_eq!((obstacle, code), (Obstacle::Rule, Some("0A000")), "{verb:?} {context}: {error}");
            let report = error.report().unwrap();
            assert_eq!((report.failed(), report.not_attempted()), (10, 2), "{verb:?} {context}");
            verb.check(db, &rows, report, &context).await;
            // One that only counts is.
            let counted = match verb {
                Verb::Insert => operations.batch_insert(&rows).await,
                Verb::Update => operations.batch_update(&rows).await,
                Verb::Delete => operations.batch_delete(0..12).await,
                Verb::InsertIgnoring | Verb::Upsert => return,
            };
            assert_eq!(counted.unwrap(), 8, "{verb:?} {context}");
            eight_are_written(db, &context).await;
        }
    }
    nothing_is_open(db).await;
}

/// All rows but those that are left out have left their trace.
async fn eight_are_written(db: &Db, context: &str) {
    let traces = db.text("SELECT string_agg(id::text, ',' ORDER BY id) FROM traces").await;
    assert_eq!(traces, "1,2,4,5,7,8,10,11", "{context}");
}
