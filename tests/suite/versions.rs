//! Versions: rows that others have changed are not overwritten, whatever the way, and whenever the others do it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use batchkit::{
    BatchConfig, BatchModel, BatchOperations, BatchPatch, BatchSize, ErrorAnswer, ErrorKind, ExecutionStrategy, Filter,
    OnRowError, Outcome, Report, Upserted,
};

use crate::common::{Db, TRANSPORTS, at, database, operations, ways};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "docs", new = "NewDoc")]
pub(crate) struct Doc {
    #[batch(key)]
    id: i32,
    title: String,
    tags: Vec<String>,
    #[batch(version)]
    version: i32,
}

#[derive(Debug, Clone, BatchPatch)]
#[batch(model = "Doc")]
struct Title {
    version: i32,
    id: i32,
    title: &'static str,
}

#[derive(Debug, Clone, BatchPatch)]
#[batch(model = "Doc", ignore_version)]
struct ForcedTitle {
    title: &'static str,
    id: i32,
}

pub(crate) const DOCS: &str =
    "CREATE TABLE docs (id int4 PRIMARY KEY, title text NOT NULL, tags text[] NOT NULL, version int4 NOT NULL)";

/// The same, partitioned: another way to tell inserted from updated.
const PARTED_DOCS: &str =
    "CREATE TABLE docs (id int4 PRIMARY KEY, title text NOT NULL, tags text[] NOT NULL, version int4 NOT NULL)
    PARTITION BY HASH (id);
    CREATE TABLE docs_0 PARTITION OF docs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE docs_1 PARTITION OF docs FOR VALUES WITH (MODULUS 2, REMAINDER 1)";

pub(crate) fn new_doc(id: i32) -> NewDoc {
    NewDoc { id, title: format!("doc {id}"), tags: vec!["all".to_owned(), format!("tag {id}")] }
}

pub(crate) fn doc(id: i32, version: i32) -> Doc {
    let NewDoc { id, title, tags } = new_doc(id);
    Doc { id, title, tags, version }
}

fn stale_ones(report: &Report) -> Vec<usize> {
    assert!(report.rejects().iter().all(|reject| reject.kind == ErrorKind::Stale), "{report:?}");
    assert!(report.rejects().iter().all(|reject| reject.key.as_ref().unwrap().get::<i32>("id").is_some()));
    let rejects: Vec<usize> = report.rejects().iter().map(|reject| reject.position).collect();
    assert_eq!(rejects, at(report, Outcome::Rejected));
    rejects
}

async fn stored(db: &Db) -> BTreeMap<i32, Doc> {
    let docs = BatchOperations::<Doc>::new(db.pool.clone()).list(Filter::all()).await.unwrap();
    docs.into_iter().map(|doc| (doc.id, doc)).collect()
}

#[tokio::test]
async fn rows_that_others_have_changed_are_not_overwritten() {
    let db = database(DOCS).await;
    for (name, config) in ways() {
        let (strategy, size) = (config.execution_strategy, config.batch_size);
        let docs: BatchOperations<Doc> = operations(&db, config);
        db.run("TRUNCATE docs").await;
        // A new row has the version 1, a whole one its own.
        assert_eq!(docs.batch_insert((0..18).map(new_doc)).await.unwrap(), 18, "{name}");
        let more: Vec<Doc> = docs.batch_insert((18..20).map(new_doc)).returning().await.unwrap();
        assert_eq!(more, [doc(18, 1), doc(19, 1)], "{name}");
        assert_eq!(docs.batch_insert([doc(20, 7)]).await.unwrap(), 1, "{name}");
        // Whole rows are counted on, and come back so; the missing one stays that.
        let mut rows: Vec<Doc> = (0..20).map(|id| doc(id, 1)).chain([doc(20, 7), doc(99, 1)]).collect();
        rows.iter_mut().for_each(|doc| doc.title.push_str(" a"));
        let slots = docs.batch_update(&rows).returning().aligned().await.unwrap();
        rows.iter_mut().for_each(|doc| doc.version += 1);
        assert_eq!(slots[..21], rows[..21].iter().cloned().map(Some).collect::<Vec<_>>(), "{name}");
        assert_eq!(slots[21], None, "{name}");
        assert_eq!(docs.batch_update(&rows).fields(Doc::FIELDS.tags).await.unwrap(), 21, "{name}");
        rows.iter_mut().for_each(|doc| doc.version += 1);
        assert_eq!(stored(&db).await.into_values().collect::<Vec<_>>(), rows[..21], "{name}");

        // Three were read too long ago.
        let mut changed = rows.clone();
        changed.iter_mut().for_each(|doc| doc.title.push_str(" b"));
        (changed[2].version, changed[4].version, changed[19].version) = (2, 4, -1);
        let before = stored(&db).await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&told);
        let call = docs.batch_update(&changed).error_callback(move |error, context| {
            keep.lock().unwrap().push((error.kind(), error.rows().to_vec(), context.answer));
        });
        let error = call.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stale, "{name}: {error}");
        let expected = (ErrorKind::Stale, error.rows().to_vec(), ErrorAnswer::Stop);
        assert!(told.lock().unwrap().contains(&expected), "{name}: {told:?}");
        // Named are those of the chunk that failed; the chunks before it are in, unless all rows are one.
        let (named, written) = match (strategy, size) {
            (ExecutionStrategy::SingleQuery, _) | (_, BatchSize::Rows(1_000)) => (vec![2..3, 4..5, 19..20], 0),
            _ => (vec![2..3, 4..5], 0),
        };
        match strategy {
            // Which chunk is the first to fail, is a race there.
            ExecutionStrategy::Parallel => {
                assert!(error.rows() == named || error.rows() == [19..20], "{name}: {error}");
            }
            _ => {
                assert_eq!(error.rows(), named, "{name}");
                assert_eq!(error.report().unwrap().updated(), written, "{name}");
                assert_eq!(stored(&db).await, before, "{name}");
            }
        }
        db.run("TRUNCATE docs").await;
        assert_eq!(docs.batch_insert(before.values()).await.unwrap(), 21, "{name}");
        let report = docs.batch_update(&changed).on_row_error(OnRowError::Reject).report().await.unwrap();
        assert_eq!(stale_ones(&report), [2, 4, 19], "{name}");
        assert_eq!((report.updated(), report.missing(), report.total()), (18, 1, 22), "{name}");
        assert_eq!(at(&report, Outcome::Missing), [21], "{name}");
        let after = stored(&db).await;
        for (row, was) in changed.iter().zip(before.values()) {
            let stale = [2, 4, 19].contains(&row.id);
            let wanted = if stale { was.clone() } else { Doc { version: row.version + 1, ..row.clone() } };
            assert_eq!(after[&row.id], wanted, "{name}");
        }
        let error = docs.batch_update(&changed).on_row_error(OnRowError::Reject).await.unwrap_err();
        assert_eq!((error.kind(), error.report().unwrap().rejected()), (ErrorKind::Rejected, 21), "{name}");
        assert_eq!(stored(&db).await, after, "{name}");
    }
}

#[tokio::test]
async fn patches_compare_the_version_or_say_that_they_do_not() {
    let db = database(DOCS).await;
    for (name, config) in ways() {
        let docs: BatchOperations<Doc> = operations(&db, config);
        db.run("TRUNCATE docs").await;
        docs.batch_insert((0..20).map(|id| doc(id, id))).await.unwrap();
        let patches: Vec<Title> =
            (0..21).map(|id| Title { id, version: if id == 8 { 1 } else { id }, title: "new" }).collect();
        let report = docs.batch_update(&patches).on_row_error(OnRowError::Reject).report().await.unwrap();
        assert_eq!((stale_ones(&report), at(&report, Outcome::Missing)), (vec![8], vec![20]), "{name}");
        let forced = (0..21).map(|id| ForcedTitle { id, title: "forced" });
        assert_eq!(docs.batch_update(forced).await.unwrap(), 20, "{name}");
        let stored = stored(&db).await;
        assert!(stored.values().all(|doc| doc.title == "forced" && doc.tags.len() == 2), "{name}");
        assert!(stored.values().all(|doc| doc.version == doc.id + if doc.id == 8 { 1 } else { 2 }), "{name}");
        // A version alone is a touch.
        let touched = docs.batch_update([doc(3, 5)]).fields(Doc::FIELDS.version).returning().await.unwrap();
        assert_eq!(touched, [Doc { version: 6, ..stored[&3].clone() }], "{name}");
    }
}

#[tokio::test]
async fn what_does_not_change_is_not_counted_on() {
    let db = database(DOCS).await;
    for (name, config) in ways() {
        let docs: BatchOperations<Doc> = operations(&db, config);
        db.run("TRUNCATE docs").await;
        docs.batch_insert((0..20).map(|id| doc(id, 5))).await.unwrap();
        let mut rows: Vec<Doc> = (0..21).map(|id| doc(id, 5)).collect();
        rows[3].title = "changed".to_owned();
        rows[6].version = 4;
        (rows[9].version, rows[9].title) = (6, "stale".to_owned());
        let update = || docs.batch_update(&rows).if_changed().on_row_error(OnRowError::Reject);
        let report = update().report().await.unwrap();
        assert_eq!((stale_ones(&report), at(&report, Outcome::Updated)), (vec![6, 9], vec![3]), "{name}");
        assert_eq!((report.unchanged(), report.missing()), (17, 1), "{name}");
        // With the rows: those that are as they were come with what is stored.
        rows.truncate(6);
        rows[3].version = 6;
        rows[5].title = "more".to_owned();
        let slots = docs.batch_update(&rows).if_changed().returning().aligned().await.unwrap();
        rows[5].version = 6;
        assert_eq!(slots, rows.iter().cloned().map(Some).collect::<Vec<_>>(), "{name}");
        let versions: Vec<i32> = stored(&db).await.values().map(|doc| doc.version).collect();
        assert_eq!(versions, [5, 5, 5, 6, 5, 6].into_iter().chain([5; 14]).collect::<Vec<_>>(), "{name}");
    }
}

#[tokio::test]
async fn upserts_compare_the_version_where_rows_give_it() {
    upserts_compare_the_version(DOCS).await;
    upserts_compare_the_version(PARTED_DOCS).await;
}

async fn upserts_compare_the_version(table: &str) {
    let db = database(table).await;
    for (name, config) in ways() {
        let docs: BatchOperations<Doc> = operations(&db, config);
        db.run("TRUNCATE docs").await;
        docs.batch_insert((0..20).map(|id| doc(id, 3))).await.unwrap();
        // New ones have none: known rows are counted on without being compared.
        let rows: Vec<NewDoc> = (10..25).map(new_doc).collect();
        let upserted = docs.batch_upsert(&rows).await.unwrap();
        assert_eq!(upserted, Upserted { inserted: 5, updated: 10, unchanged: 0 }, "{name}");
        let versions = |docs: BTreeMap<i32, Doc>| docs.into_values().map(|doc| doc.version).collect::<Vec<_>>();
        let expected: Vec<i32> = [3; 10].into_iter().chain([4; 10]).chain([1; 5]).collect();
        assert_eq!(versions(stored(&db).await), expected, "{name}");
        let again = docs.batch_upsert(&rows).if_changed().await.unwrap();
        assert_eq!(again, Upserted { inserted: 0, updated: 0, unchanged: 15 }, "{name}");
        assert_eq!(versions(stored(&db).await), expected, "{name}");

        // Whole rows are compared; a new one is taken as it is.
        let mut rows: Vec<Doc> = (5..25).map(|id| doc(id, expected[usize::try_from(id).unwrap()])).collect();
        rows.push(doc(30, 9));
        rows.iter_mut().for_each(|doc| doc.title.push_str(" b"));
        (rows[0].version, rows[12].version) = (2, 5);
        let before = stored(&db).await;
        let error = docs.batch_upsert(&rows).strategy(ExecutionStrategy::SingleQuery).await.unwrap_err();
        assert_eq!((error.kind(), error.rows()), (ErrorKind::Stale, [0..1, 12..13].as_slice()), "{name}");
        assert_eq!(stored(&db).await, before, "{name}");
        let report = docs.batch_upsert(&rows).on_row_error(OnRowError::Reject).report().await.unwrap();
        assert_eq!((stale_ones(&report), at(&report, Outcome::Inserted)), (vec![0, 12], vec![20]), "{name}");
        assert_eq!((report.updated(), report.total()), (18, 21), "{name}");
        let after = stored(&db).await;
        assert_eq!((&after[&5], &after[&17], &after[&30]), (&before[&5], &before[&17], &rows[20]), "{name}");
        assert_eq!(after[&6], Doc { version: 4, ..rows[1].clone() }, "{name}");
        let mut rows: Vec<Doc> = after.into_values().collect();
        rows[3].title = "changed".to_owned();
        let report = docs.batch_upsert(&rows).if_changed().report().await.unwrap();
        assert_eq!((at(&report, Outcome::Updated), report.unchanged()), (vec![3], 25), "{name}");
        rows[3].version += 1;
        assert_eq!(docs.batch_upsert(&rows).if_changed().returning().await.unwrap(), rows, "{name}");
        (rows[4].title, rows[4].version) = ("stale".to_owned(), 77);
        let report = docs.batch_upsert(&rows).if_changed().on_row_error(OnRowError::Reject).report().await.unwrap();
        assert_eq!((stale_ones(&report), report.unchanged()), (vec![4], 25), "{name}");
    }
}

/// What a rival does to row 2 while it holds rows 1 and 3 too.
const RIVALS: [(&str, Option<Outcome>); 5] = [
    ("UPDATE docs SET version = version + 1, title = 'rival' WHERE id = 2", None),
    // As many times as the caller counts on: another title, the caller's version.
    ("UPDATE docs SET title = 'rival' WHERE id = 2", Some(Outcome::Updated)),
    ("DELETE FROM docs WHERE id = 2", Some(Outcome::Missing)),
    ("UPDATE docs SET title = 'mine' WHERE id = 2", Some(Outcome::Updated)),
    ("UPDATE docs SET version = version + 1, title = 'mine' WHERE id = 2", None),
];

/// Runs the call while a rival's transaction holds rows; the rival commits when the call waits for it.
async fn against<T: Send + 'static>(
    db: &Db,
    rival: &str,
    call: impl Future<Output = batchkit::Result<T>> + Send + 'static,
) -> batchkit::Result<T> {
    let client = db.database.connect().await.unwrap();
    client.batch_execute(&format!("BEGIN; {rival}")).await.unwrap();
    let call = tokio::spawn(call);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while db.number(waits).await == 0 {
        assert!(!call.is_finished(), "the call has waited for nobody");
        tokio::task::yield_now().await;
    }
    client.batch_execute("COMMIT").await.unwrap();
    call.await.unwrap()
}

#[tokio::test]
async fn a_rival_that_is_not_committed_yet_is_waited_for_and_then_seen() {
    rivals_are_waited_for(DOCS).await;
    rivals_are_waited_for(PARTED_DOCS).await;
}

async fn rivals_are_waited_for(table: &str) {
    let db = database(table).await;
    for transport in TRANSPORTS {
        for upsert in [false, true] {
            for if_changed in [false, true] {
                for (rival, expected) in RIVALS {
                    let name = format!("{transport:?}, upsert {upsert}, if_changed {if_changed}, {rival}");
                    let config = BatchConfig { transport, on_row_error: OnRowError::Reject, ..BatchConfig::default() };
                    let docs: BatchOperations<Doc> = operations(&db, config);
                    db.run("TRUNCATE docs").await;
                    docs.batch_insert((0..5).map(|id| doc(id, 1))).await.unwrap();
                    let rows: Vec<Doc> = (1..4).map(|id| Doc { title: "mine".to_owned(), ..doc(id, 1) }).collect();
                    let run = async move {
                        match (upsert, if_changed) {
                            (false, false) => docs.batch_update(rows).report().await,
                            (false, true) => docs.batch_update(rows).if_changed().report().await,
                            (true, false) => docs.batch_upsert(rows).report().await,
                            (true, true) => docs.batch_upsert(rows).if_changed().report().await,
                        }
                    };
                    let report = against(&db, rival, run).await.unwrap();
                    let expected = match expected {
                        None => Outcome::Rejected,
                        // Where `xmax` cannot be asked for, a row that was there when the statement began is one
                        // that was updated.
                        Some(Outcome::Missing) if upsert && table == PARTED_DOCS => Outcome::Updated,
                        Some(Outcome::Missing) if upsert => Outcome::Inserted,
                        Some(_) if if_changed && rival.contains("'mine'") => Outcome::Unchanged,
                        Some(outcome) => outcome,
                    };
                    assert_eq!(report.outcomes().unwrap()[1], expected, "{name}");
                    assert_eq!((report.updated() + report.rejected() > 1, report.total()), (true, 3), "{name}");
                    assert_eq!(at(&report, Outcome::Updated)[0], 0, "{name}");
                    let title = db.text("SELECT coalesce((SELECT title FROM docs WHERE id = 2), 'gone')").await;
                    let wanted = match expected {
                        Outcome::Rejected => {
                            if rival.contains("'mine'") {
                                "mine"
                            } else {
                                "rival"
                            }
                        }
                        Outcome::Missing => "gone",
                        _ => "mine",
                    };
                    assert_eq!(title, wanted, "{name}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_row_that_a_rival_inserts_meanwhile_is_seen_by_an_upsert() {
    rivals_insert_meanwhile(DOCS).await;
    rivals_insert_meanwhile(PARTED_DOCS).await;
}

async fn rivals_insert_meanwhile(table: &str) {
    let db = database(table).await;
    for transport in TRANSPORTS {
        for if_changed in [false, true] {
            for (version, title, expected) in [
                (1, "mine", if if_changed { Outcome::Unchanged } else { Outcome::Updated }),
                (1, "rival", Outcome::Updated),
                (2, "rival", Outcome::Rejected),
                (2, "mine", Outcome::Rejected),
            ] {
                let name = format!("{transport:?}, if_changed {if_changed}, {version} {title}");
                let config = BatchConfig { transport, on_row_error: OnRowError::Reject, ..BatchConfig::default() };
                let docs: BatchOperations<Doc> = operations(&db, config);
                db.run("TRUNCATE docs").await;
                docs.describe().await.unwrap();
                let rows: Vec<Doc> = (1..4).map(|id| Doc { title: "mine".to_owned(), ..doc(id, 1) }).collect();
                let rival = format!("INSERT INTO docs VALUES (2, '{title}', '{{all,tag 2}}', {version})");
                let run = async move {
                    let call = docs.batch_upsert(rows);
                    if if_changed { call.if_changed().report().await } else { call.report().await }
                };
                let report = against(&db, &rival, run).await.unwrap();
                // Where `xmax` cannot be asked for, an update of a row that was not there before looks like an insert.
                let hidden = table == PARTED_DOCS && expected == Outcome::Updated;
                let expected = if hidden { Outcome::Inserted } else { expected };
                let outcomes = [Outcome::Inserted, expected, Outcome::Inserted];
                assert_eq!(report.outcomes().unwrap(), outcomes, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn of_rivals_with_one_version_exactly_one_wins_each_row() {
    let db = database(DOCS).await;
    for transport in TRANSPORTS {
        for (upsert, rival_count) in [(false, 4), (true, 4)] {
            db.run("TRUNCATE docs").await;
            let config = BatchConfig {
                transport,
                batch_size: BatchSize::Rows(20),
                on_row_error: OnRowError::Reject,
                ..BatchConfig::default()
            };
            let docs: BatchOperations<Doc> = operations(&db, config);
            docs.batch_insert((0..60).map(|id| doc(id, 1))).await.unwrap();
            let barrier = Arc::new(tokio::sync::Barrier::new(rival_count));
            let rivals: Vec<_> = (0..rival_count)
                .map(|rival| {
                    let (docs, barrier) = (docs.clone(), Arc::clone(&barrier));
                    tokio::spawn(async move {
                        let title = format!("rival {rival}");
                        let rows: Vec<Doc> = (0..60).map(|id| Doc { title: title.clone(), ..doc(id, 1) }).collect();
                        barrier.wait().await;
                        match upsert {
                            true => docs.batch_upsert(rows).report().await.unwrap(),
                            false => docs.batch_update(rows).report().await.unwrap(),
                        }
                    })
                })
                .collect();
            let mut winners = vec![Vec::new(); 60];
            for (rival, run) in rivals.into_iter().enumerate() {
                let report = run.await.unwrap();
                assert_eq!(report.updated() + u64::try_from(stale_ones(&report).len()).unwrap(), 60, "{transport:?}");
                at(&report, Outcome::Updated).into_iter().for_each(|row| winners[row].push(rival));
            }
            for (doc, winners) in stored(&db).await.values().zip(&winners) {
                assert_eq!(winners.len(), 1, "{transport:?} {doc:?}");
                assert_eq!((doc.version, &doc.title), (2, &format!("rival {}", winners[0])), "{transport:?}");
            }
        }
    }
}

#[tokio::test]
async fn under_a_snapshot_a_rivals_change_is_seen_by_the_next_try() {
    let db = database(DOCS).await;
    let database = batchkit::DatabaseSettings {
        isolation_level: Some(batchkit::IsolationLevel::RepeatableRead),
        ..Default::default()
    };
    for (transport, upsert) in TRANSPORTS.into_iter().flat_map(|transport| [(transport, false), (transport, true)]) {
        let config = BatchConfig { transport, database: database.clone(), ..BatchConfig::default() };
        let docs: BatchOperations<Doc> = operations(&db, config);
        db.run("TRUNCATE docs").await;
        docs.batch_insert((0..5).map(|id| doc(id, 1))).await.unwrap();
        let rows: Vec<Doc> = (0..5).map(|id| doc(id, 1)).collect();
        let run = async move {
            match upsert {
                true => docs.batch_upsert(rows).report().await,
                false => docs.batch_update(rows).report().await,
            }
        };
        let error = against(&db, "UPDATE docs SET version = 2 WHERE id = 3", run).await.unwrap_err();
        assert_eq!((error.kind(), error.rows()), (ErrorKind::Stale, [3..4].as_slice()), "{transport:?} {upsert}");
        assert_eq!(error.report().unwrap().retries(), 1, "{transport:?} {upsert}");
        assert_eq!(db.number("SELECT sum(version) FROM docs").await, 6, "{transport:?} {upsert}");
    }
}

#[tokio::test]
async fn what_a_trigger_drops_is_skipped_and_not_stale() {
    let db = database(DOCS).await;
    db.run(
        "CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.title = 'drop' THEN RETURN NULL; END IF; RETURN NEW; END $$;
         CREATE TRIGGER drop_it BEFORE INSERT OR UPDATE ON docs FOR EACH ROW EXECUTE FUNCTION drop_it()",
    )
    .await;
    for transport in TRANSPORTS {
        let config = BatchConfig { transport, on_row_error: OnRowError::Reject, ..BatchConfig::default() };
        let docs: BatchOperations<Doc> = operations(&db, config);
        db.run("TRUNCATE docs").await;
        docs.batch_insert((0..4).map(|id| doc(id, 1))).await.unwrap();
        let mut rows: Vec<Doc> = (0..5).map(|id| doc(id, 1)).collect();
        (rows[1].title, rows[2].version, rows[4].title) = ("drop".to_owned(), 2, "drop".to_owned());
        use Outcome::{Missing, Rejected, Skipped, Updated};
        let report = docs.batch_update(&rows).report().await.unwrap();
        assert_eq!(report.outcomes().unwrap(), [Updated, Skipped, Rejected, Updated, Missing], "{transport:?}");
        rows.iter_mut().for_each(|doc| doc.version += i32::from(doc.id % 3 == 0));
        let report = docs.batch_upsert(&rows).report().await.unwrap();
        assert_eq!(report.outcomes().unwrap(), [Updated, Skipped, Rejected, Updated, Skipped], "{transport:?}");
    }
}

#[tokio::test]
async fn stale_rows_and_other_bad_ones_are_turned_away_together() {
    let db = database(DOCS).await;
    db.run("ALTER TABLE docs ADD CONSTRAINT short CHECK (length(title) < 20)").await;
    for (name, config) in ways() {
        let docs: BatchOperations<Doc> = operations(&db, config);
        db.run("TRUNCATE docs").await;
        docs.batch_insert((0..30).map(|id| doc(id, 1))).await.unwrap();
        let mut rows: Vec<Doc> = (0..30).map(|id| Doc { title: "new".to_owned(), ..doc(id, 1) }).collect();
        for id in [1, 8, 9, 29] {
            rows[id].version = 3;
        }
        for id in [2, 9, 28] {
            rows[id].title = "far too long for this table".to_owned();
        }
        // The stale one that is too long would break the check only if it were written.
        let kinds = |id: usize| if [2, 28].contains(&id) { ErrorKind::CheckViolation } else { ErrorKind::Stale };
        let expected: Vec<_> = [1, 2, 8, 9, 28, 29].map(|id| (id, kinds(id))).into();
        let report = docs.batch_update(&rows).on_row_error(OnRowError::Reject).report().await.unwrap();
        let rejects: Vec<_> = report.rejects().iter().map(|reject| (reject.position, reject.kind)).collect();
        assert_eq!(rejects, expected, "{name}");
        assert_eq!((report.updated(), report.rejected(), report.total()), (24, 6, 30), "{name}");
        assert_eq!(at(&report, Outcome::Rejected), [1, 2, 8, 9, 28, 29], "{name}");
        assert_eq!(db.number("SELECT count(*) FROM docs WHERE title = 'new' AND version = 2").await, 24, "{name}");
        assert_eq!(db.number("SELECT count(*) FROM docs WHERE version = 1").await, 6, "{name}");
        let allowed = docs.batch_update(&rows).on_row_error(OnRowError::Reject).max_rejects(5);
        assert_eq!(allowed.await.unwrap_err().kind(), ErrorKind::TooManyRejects, "{name}");
    }
}

#[tokio::test]
async fn a_callers_transaction_is_usable_after_stale_rows() {
    let db = database(DOCS).await;
    for transport in TRANSPORTS {
        let docs: BatchOperations<Doc> = operations(&db, BatchConfig { transport, ..BatchConfig::default() });
        db.run("TRUNCATE docs").await;
        docs.batch_insert((0..5).map(|id| doc(id, 1))).await.unwrap();
        let rows: Vec<Doc> = (0..5).map(|id| doc(id, if id == 2 { 7 } else { 1 })).collect();
        let mut client = db.pool.get().await.unwrap();
        let mut transaction = client.transaction().await.unwrap();
        let error = docs.batch_update(&rows).batch_size(2).within(&mut transaction).await.unwrap_err();
        assert_eq!((error.kind(), error.rows()), (ErrorKind::Stale, [2..3].as_slice()), "{transport:?}");
        let update = docs.batch_update(&rows).on_row_error(OnRowError::Reject).within(&mut transaction);
        // The first two are in by now.
        assert_eq!(stale_ones(&update.report().await.unwrap()), [0, 1, 2], "{transport:?}");
        transaction.commit().await.unwrap();
        assert_eq!(db.number("SELECT sum(version) FROM docs").await, 9, "{transport:?}");
    }
}
