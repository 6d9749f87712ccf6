//! Every verb x transport x strategy x key (single, composite) x answer, against a model in memory.

use std::collections::BTreeMap;
use std::fmt::Debug;

use batchkit::model::Field;
use batchkit::{
    BatchConfig, BatchModel, BatchOperations, BatchSize, ExecutionStrategy, Filter, InsertRow, KeyFor, Outcome,
    PatchRow, ReadKey, ReadRow, Transport, Upserted,
};

use crate::common::{Db, STRATEGIES, TRANSPORTS, database};

/// A table whose key is the caller's.
trait Subject:
    ReadRow
    + BatchModel<Key: ReadKey<Value = <Self as Subject>::OwnKey>>
    + InsertRow<Self>
    + PatchRow<Self>
    + Clone
    + PartialEq
    + Debug
    + Send
    + 'static
{
    type OwnKey: KeyFor<Self::Key> + Clone + Ord + Debug + Send + Sync + 'static;
    const TABLE: &'static str;
    fn sample(n: i32) -> Self;
    fn own_key(&self) -> Self::OwnKey;
    fn amount(&mut self) -> &mut i64;
    fn amount_field() -> Field<Self, i64>;
    fn note(&mut self) -> &mut Option<String>;
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "single")]
struct Single {
    #[batch(key)]
    id: i64,
    amount: i64,
    note: Option<String>,
    tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "composite")]
struct Composite {
    amount: i64,
    #[batch(key)]
    place: i32,
    note: Option<String>,
    #[batch(key)]
    name: String,
}

impl Subject for Single {
    type OwnKey = i64;
    const TABLE: &'static str =
        "CREATE TABLE single (id int8 PRIMARY KEY, amount int8 NOT NULL, note text, tags text[] NOT NULL)";

    fn sample(n: i32) -> Self {
        let tags = (0..n % 4).map(|tag| format!("tag {tag}")).collect();
        Single {
            id: i64::from(n) * 3 - 40,
            amount: i64::from(n),
            note: (n % 3 != 0).then(|| format!("note {n}")),
            tags,
        }
    }

    fn own_key(&self) -> i64 {
        self.id
    }

    fn amount(&mut self) -> &mut i64 {
        &mut self.amount
    }

    fn amount_field() -> Field<Self, i64> {
        Single::FIELDS.amount
    }

    fn note(&mut self) -> &mut Option<String> {
        &mut self.note
    }
}

impl Subject for Composite {
    type OwnKey = (i32, String);
    // The key's columns stand in another order than the model's.
    const TABLE: &'static str =
        "CREATE TABLE composite (name text, note text, place int4, amount int8 NOT NULL, PRIMARY KEY (name, place))";

    fn sample(n: i32) -> Self {
        let note = (n % 3 != 0).then(|| format!("note {n}"));
        Composite { place: n % 5, name: format!("it's \"{n}\""), amount: i64::from(n), note }
    }

    fn own_key(&self) -> (i32, String) {
        (self.place, self.name.clone())
    }

    fn amount(&mut self) -> &mut i64 {
        &mut self.amount
    }

    fn amount_field() -> Field<Self, i64> {
        Composite::FIELDS.amount
    }

    fn note(&mut self) -> &mut Option<String> {
        &mut self.note
    }
}

#[tokio::test]
async fn every_way_agrees_on_a_single_key() {
    every_way::<Single>().await;
}

#[tokio::test]
async fn every_way_agrees_on_a_composite_key() {
    every_way::<Composite>().await;
}

async fn every_way<M: Subject>() {
    let db = database(M::TABLE).await;
    for transport in TRANSPORTS {
        for (execution_strategy, rows) in STRATEGIES {
            let config = BatchConfig {
                transport,
                execution_strategy,
                batch_size: BatchSize::Rows(rows),
                ..BatchConfig::default()
            };
            let operations = BatchOperations::<M>::builder(db.pool.clone()).config(config).build().unwrap();
            db.run(&format!("TRUNCATE {}", M::MODEL.table)).await;
            let mut way = Way {
                db: &db,
                operations,
                stored: BTreeMap::new(),
                name: format!("{transport:?} {execution_strategy:?} {rows}"),
            };
            way.insert().await;
            way.get().await;
            way.update().await;
            way.upsert().await;
            way.delete().await;
        }
    }
}

/// One way of running calls, and what should be stored by now.
struct Way<'a, M: Subject> {
    db: &'a Db,
    operations: BatchOperations<M>,
    stored: BTreeMap<M::OwnKey, M>,
    name: String,
}

impl<M: Subject> Way<'_, M> {
    async fn insert(&mut self) {
        let name = &self.name;
        let rows: Vec<M> = (0..35).map(M::sample).collect();
        assert_eq!(self.operations.batch_insert(&rows).await.unwrap(), 35, "{name}");
        let some: Vec<M> = (35..40).rev().map(M::sample).collect();
        let keys: Vec<M::OwnKey> = some.iter().map(M::own_key).collect();
        assert_eq!(self.operations.batch_insert(&some).returning_keys().await.unwrap(), keys, "{name}");
        let more: Vec<M> = (40..60).rev().map(M::sample).collect();
        assert_eq!(self.operations.batch_insert(&more).returning().await.unwrap(), more, "{name}");
        let known_and_new: Vec<M> = (50..70).map(M::sample).collect();
        let report = self.operations.batch_insert(&known_and_new).ignore_conflicts().report().await.unwrap();
        assert_eq!((report.inserted(), report.unchanged(), report.total()), (10, 10, 20), "{name}");
        assert_eq!(report.positions(Outcome::Inserted).collect::<Vec<_>>(), (10..20).collect::<Vec<_>>(), "{name}");
        assert_eq!(self.operations.batch_insert(&rows).ignore_conflicts().await.unwrap(), 0, "{name}");
        let known_and_new: Vec<M> = (68..72).map(M::sample).collect();
        let call = self.operations.batch_insert(&known_and_new).ignore_conflicts().returning_keys();
        let keys: Vec<_> = (68..72).map(|n| (n >= 70).then(|| M::sample(n).own_key())).collect();
        assert_eq!(call.aligned().await.unwrap(), keys, "{name}");
        self.stored.extend((0..72).map(M::sample).map(|row| (row.own_key(), row)));
        self.compare().await;
    }

    async fn get(&mut self) {
        let name = &self.name;
        // In an order of the caller's, with keys that are not there and one that is named twice.
        let wanted: Vec<M> = [3, 900, 0, 69, 3, 901, 12].into_iter().map(M::sample).collect();
        let keys: Vec<M::OwnKey> = wanted.iter().map(M::own_key).collect();
        let expected: Vec<Option<M>> = keys.iter().map(|key| self.stored.get(key).cloned()).collect();
        assert_eq!(self.operations.batch_get(keys.clone()).aligned().await.unwrap(), expected, "{name}");
        let expected_keys: Vec<_> = expected.iter().map(|row| row.as_ref().map(M::own_key)).collect();
        assert_eq!(self.operations.batch_get(keys.clone()).keys().aligned().await.unwrap(), expected_keys, "{name}");
        let found: Vec<M> = expected.into_iter().flatten().collect();
        assert_eq!(self.operations.batch_get(keys.clone()).await.unwrap(), found, "{name}");
        let found: Vec<_> = expected_keys.into_iter().flatten().collect();
        assert_eq!(self.operations.batch_get(keys.clone()).keys().await.unwrap(), found, "{name}");
        assert_eq!(self.operations.batch_get(keys.clone()).count().await.unwrap(), 5, "{name}");
        let report = self.operations.batch_get(keys).report().await.unwrap();
        assert_eq!(report.positions(Outcome::Missing).collect::<Vec<_>>(), [1, 5], "{name}");
        assert_eq!((report.found(), report.missing(), report.total()), (5, 2, 7), "{name}");
    }

    async fn update(&mut self) {
        let name = self.name.clone();
        // All fields; one row is not there.
        let mut rows: Vec<M> = (0..30).chain([800]).map(M::sample).collect();
        for row in &mut rows {
            *row.amount() += 1_000;
            *row.note() = None;
        }
        assert_eq!(self.operations.batch_update(&rows).await.unwrap(), 30, "{name}");
        self.replace(&rows[..30]);
        self.compare().await;
        // One field: the others stay as they are, whatever the rows say.
        for row in &mut rows {
            *row.amount() += 1;
            *row.note() = Some("not to be stored".to_owned());
        }
        let returned =
            self.operations.batch_update(&rows).fields(M::amount_field()).returning().aligned().await.unwrap();
        for row in &mut rows {
            *row.note() = None;
        }
        self.replace(&rows[..30]);
        assert_eq!(returned[..30], rows[..30].iter().cloned().map(Some).collect::<Vec<_>>(), "{name}");
        assert_eq!(returned[30], None, "{name}");
        self.compare().await;
        // Only what changes.
        *rows[4].amount() += 5;
        let before = self.versions().await;
        let report = self.operations.batch_update(&rows).fields(["amount"]).if_changed().report().await.unwrap();
        assert_eq!((report.updated(), report.unchanged(), report.missing()), (1, 29, 1), "{name}");
        assert_eq!(report.positions(Outcome::Updated).collect::<Vec<_>>(), [4], "{name}");
        let rewritten: i64 =
            self.versions().await.iter().filter(|(xmin, _)| !before.contains_key(*xmin)).map(|(_, rows)| rows).sum();
        assert_eq!(rewritten, 1, "{name}");
        self.replace(&rows[4..5]);
        assert_eq!(self.operations.batch_update(&rows).if_changed().await.unwrap(), 0, "{name}");
        // What is not written comes as it is stored, and what is not stored does not.
        *rows[7].amount() += 5;
        self.replace(&rows[7..8]);
        let keys: Vec<_> = rows.iter().map(|row| Some(row.own_key()).filter(|_| *row != rows[30])).collect();
        let call = self.operations.batch_update(&rows).if_changed().returning_keys();
        assert_eq!(call.aligned().await.unwrap(), keys, "{name}");
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        assert_eq!(self.operations.batch_update(&rows).returning_keys().await.unwrap(), keys, "{name}");
        self.compare().await;
    }

    async fn upsert(&mut self) {
        let name = self.name.clone();
        let mut rows: Vec<M> = (60..80).map(M::sample).collect();
        for row in &mut rows {
            *row.amount() *= 2;
        }
        let expected = Upserted { inserted: 8, updated: 12, unchanged: 0 };
        assert_eq!(self.operations.batch_upsert(&rows).await.unwrap(), expected, "{name}");
        self.replace(&rows);
        self.compare().await;
        rows.extend((80..85).map(M::sample));
        *rows[0].amount() += 1;
        let report = self.operations.batch_upsert(&rows).if_changed().report().await.unwrap();
        assert_eq!((report.inserted(), report.updated(), report.unchanged()), (5, 1, 19), "{name}");
        assert_eq!(report.positions(Outcome::Updated).collect::<Vec<_>>(), [0], "{name}");
        self.replace(&rows);
        self.compare().await;
        assert_eq!(self.operations.batch_upsert(&rows).if_changed().returning().await.unwrap(), rows, "{name}");
        let keys: Vec<_> = rows.iter().map(M::own_key).collect();
        assert_eq!(self.operations.batch_upsert(&rows).returning_keys().await.unwrap(), keys, "{name}");
        assert_eq!(self.operations.batch_upsert(&rows).if_changed().returning_keys().await.unwrap(), keys, "{name}");
        // The chosen field only, where the row is known.
        for row in &mut rows {
            *row.amount() += 3;
            *row.note() = Some("not to be stored".to_owned());
        }
        let key: Vec<&str> =
            M::MODEL.keys().next().unwrap().columns.iter().map(|&c| M::MODEL.columns[c].field).collect();
        let returned =
            self.operations.batch_upsert(&rows).on(key).fields((M::amount_field(),)).returning().await.unwrap();
        for (row, returned) in rows.iter_mut().zip(returned) {
            *row.note() = self.stored[&row.own_key()].clone().note().clone();
            assert_eq!(*row, returned, "{name}");
        }
        self.replace(&rows);
        self.compare().await;
    }

    async fn delete(&mut self) {
        let name = self.name.clone();
        let keys = |numbers: &[i32]| numbers.iter().map(|&n| M::sample(n).own_key()).collect::<Vec<_>>();
        let report = self.operations.batch_delete(keys(&[5, 700, 6, 5])).report().await.unwrap();
        let outcomes = [Outcome::Deleted, Outcome::Missing, Outcome::Deleted, Outcome::Duplicate];
        assert_eq!(report.outcomes().unwrap(), outcomes, "{name}");
        let slots = self.operations.batch_delete(keys(&[8, 701, 7])).returning().aligned().await.unwrap();
        let expected: Vec<Option<M>> = keys(&[8, 701, 7]).iter().map(|key| self.stored.get(key).cloned()).collect();
        assert_eq!(slots, expected, "{name}");
        let gone = self.operations.batch_delete(keys(&[9, 702, 10])).returning_keys().await.unwrap();
        assert_eq!(gone, keys(&[9, 10]), "{name}");
        assert_eq!(self.operations.batch_delete(keys(&(20..60).collect::<Vec<_>>())).await.unwrap(), 40, "{name}");
        let gone = keys(&(5..11).chain(20..60).collect::<Vec<_>>());
        self.stored.retain(|key, _| !gone.contains(key));
        self.compare().await;
    }

    fn replace(&mut self, rows: &[M]) {
        self.stored.extend(rows.iter().map(|row| (row.own_key(), row.clone())));
    }

    /// The table is what it should be, and nothing is left open.
    async fn compare(&self) {
        let mut rows = self.operations.list(Filter::all()).await.unwrap();
        rows.sort_by_key(M::own_key);
        assert_eq!(rows, self.stored.values().cloned().collect::<Vec<_>>(), "{}", self.name);
        let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()";
        assert_eq!(self.db.number(open).await, 0, "{}", self.name);
    }

    /// Which transaction wrote each row last.
    async fn versions(&self) -> BTreeMap<String, i64> {
        let client = self.db.pool.get().await.unwrap();
        let sql = format!("SELECT xmin::text, count(*) FROM {} GROUP BY 1", M::MODEL.table);
        client.query(&sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

#[tokio::test]
async fn an_empty_batch_sends_nothing() {
    // Not even the table is there.
    let db = database("").await;
    let operations = BatchOperations::<Single>::new(db.pool.clone());
    let none: &[Single] = &[];
    for transport in TRANSPORTS {
        assert_eq!(operations.batch_insert(none).transport(transport).await.unwrap(), 0);
        assert_eq!(operations.batch_insert(none).transport(transport).returning().await.unwrap(), []);
        assert!(operations.batch_insert(none).transport(transport).returning_keys().await.unwrap().is_empty());
        assert_eq!(operations.batch_update(none).transport(transport).await.unwrap(), 0);
        assert_eq!(operations.batch_upsert(none).transport(transport).await.unwrap(), Upserted::default());
        assert_eq!(operations.batch_delete(Vec::<i64>::new()).transport(transport).await.unwrap(), 0);
        assert_eq!(operations.batch_get(Vec::<i64>::new()).transport(transport).await.unwrap(), []);
        let report = operations.batch_get(Vec::<i64>::new()).transport(transport).report().await.unwrap();
        assert_eq!((report.total(), report.chunks()), (0, 0));
    }
}

#[tokio::test]
async fn rows_come_by_value_by_reference_and_from_iterators() {
    let db = database(Single::TABLE).await;
    let operations = BatchOperations::<Single>::new(db.pool.clone());
    let rows: Vec<Single> = (0..4).map(Single::sample).collect();
    assert_eq!(operations.batch_insert(&rows[..1]).await.unwrap(), 1);
    assert_eq!(operations.batch_insert(&rows[1..2].to_vec()).await.unwrap(), 1);
    assert_eq!(operations.batch_insert(rows[2..3].to_vec()).await.unwrap(), 1);
    assert_eq!(operations.batch_insert((3..4).map(Single::sample)).await.unwrap(), 1);
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    assert_eq!(operations.batch_get(&ids).await.unwrap(), rows);
    assert_eq!(operations.batch_get(rows.iter().map(|row| row.id)).await.unwrap(), rows);
}

#[tokio::test]
async fn a_million_rows_go_in_and_come_back_exactly() {
    let db = database("CREATE TABLE wide (id int8 PRIMARY KEY, text text NOT NULL)").await;
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "wide")]
    struct Wide {
        #[batch(key)]
        id: i64,
        text: String,
    }
    let row = |id: i64| Wide { id, text: format!("row number {id}") };
    let operations = BatchOperations::<Wide>::new(db.pool.clone());
    assert_eq!(operations.batch_insert((0..1_000_000).map(row)).await.unwrap(), 1_000_000);
    assert_eq!(
        db.number("SELECT count(DISTINCT (id, text)) FROM wide WHERE text = 'row number ' || id").await,
        1_000_000
    );
    let got = operations.batch_get((0..1_000_000).step_by(7)).await.unwrap();
    assert!(got.into_iter().eq((0..1_000_000).step_by(7).map(row)));
    // A row of 10 MB, by every way.
    let giant = vec![Wide { id: -1, text: "x".repeat(10 << 20) }];
    for transport in TRANSPORTS {
        assert_eq!(operations.batch_upsert(&giant).transport(transport).returning().await.unwrap(), giant);
    }
    let single = ExecutionStrategy::SingleQuery;
    let doubled = |id: i64| Wide { id, text: format!("again {id}") };
    let updated =
        operations.batch_update((0..100_000).map(doubled)).strategy(single).transport(Transport::UnnestColumns).await;
    assert_eq!(updated.unwrap(), 100_000);
    assert_eq!(db.number("SELECT count(*) FROM wide WHERE text = 'again ' || id").await, 100_000);
}
