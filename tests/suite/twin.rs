//! What only the in-memory twin has: what is declared to it, and what it refuses.

use std::time::{Duration, UNIX_EPOCH};

use batchkit::{BatchConfig, BatchModel, ErrorKind, Filter, OnRowError};
use batchkit_repo::{Database, Memory, Repository};
use chrono::{DateTime, NaiveDate, Utc};
use postgres_types::{FromSql, Kind, ToSql, Type};
use uuid::Uuid;

use crate::common::database;

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "things", new = "NewThing")]
struct Thing {
    #[batch(key, auto)]
    id: Uuid,
    #[batch(unique)]
    name: String,
    #[batch(auto)]
    made: DateTime<Utc>,
    #[batch(auto)]
    day: Option<NaiveDate>,
    #[batch(auto)]
    number: i32,
    #[batch(computed)]
    length: i64,
}

fn new(name: &str) -> NewThing {
    NewThing { name: name.to_owned() }
}

fn declared() -> Memory {
    let memory = Memory::new();
    let f = Thing::FIELDS;
    let length = |thing: &Thing| i64::try_from(thing.name.len()).unwrap();
    memory.table::<Thing>().sequence(f.number, 7).computed(f.length, length).declare().unwrap();
    memory
}

#[tokio::test]
async fn columns_are_filled_as_the_server_would() {
    let memory = declared();
    memory.set_clock(|| UNIX_EPOCH + Duration::from_secs(86_400));
    let things = Repository::<Thing>::memory(&memory);
    let added = things.batch_add([new("a"), new("bcd")]).await.unwrap();
    assert_ne!(added[0].id, added[1].id);
    assert_eq!(added[0].id.get_version_num(), 4);
    assert_eq!(added[0].made.to_rfc3339(), "1970-01-02T00:00:00+00:00");
    assert_eq!(added[0].day, NaiveDate::from_ymd_opt(1970, 1, 2));
    assert_eq!(added.iter().map(|thing| (thing.number, thing.length)).collect::<Vec<_>>(), [(7, 1), (8, 3)]);
    // Worked out again at each update.
    let longer = Thing { name: "long".to_owned(), ..added[0].clone() };
    assert_eq!(things.batch_update([&longer]).await.unwrap(), 1);
    assert_eq!(things.get(longer.id).await.unwrap().unwrap().length, 4);
    assert_eq!(things.count(Thing::FIELDS.length.gt(3)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_sequence_is_not_rolled_back() {
    let memory = declared();
    let things = Repository::<Thing>::memory(&memory);
    let database = Database::from(&memory);
    let mut connection = database.connect().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    assert_eq!(things.batch_add([new("a")]).within(&mut tx).await.unwrap()[0].number, 7);
    tx.rollback().await.unwrap();
    assert_eq!(things.add(new("a")).await.unwrap().unwrap().number, 8);
}

#[tokio::test]
async fn what_is_not_declared_is_told() {
    let memory = Memory::new();
    let things = Repository::<Thing>::memory(&memory);
    let error = things.batch_add([new("a")]).await.unwrap_err();
    assert_eq!((error.kind(), error.table()), (ErrorKind::Schema, Some("things")));
    let told = error.mismatches().join("\n");
    assert!(told.contains("\"number\"") && told.contains("\"length\"") && told.contains(".computed("), "{told}");

    #[derive(Debug, Clone, BatchModel)]
    #[batch(table = "versions")]
    struct Versioned {
        #[batch(key)]
        id: i64,
        #[batch(on_update = "gen_random_uuid()")]
        version: Uuid,
    }
    let versions = Repository::<Versioned>::memory(&memory);
    let row = Versioned { id: 1, version: Uuid::nil() };
    versions.batch_add([&row]).await.unwrap();
    let error = versions.batch_update([&row]).await.unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::Config, Some("version")));
    memory.table::<Versioned>().on_update(Versioned::FIELDS.version, |_| Uuid::max()).declare().unwrap();
    assert_eq!(versions.batch_update([&row]).await.unwrap(), 1);
    assert_eq!(versions.get(1).await.unwrap().unwrap().version, Uuid::max());

    let error = memory.table::<Thing>().sequence(Thing::FIELDS.name, 1).declare().unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::Config, Some("name")));
    let error = memory.table::<Thing>().references::<Versioned>((Thing::FIELDS.id, Thing::FIELDS.name)).declare();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);
    let error = memory.table::<Thing>().unique("x", ["nobody"]).declare().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownField);
    let config = BatchConfig { max_workers: 0, ..BatchConfig::default() };
    assert_eq!(Repository::<Thing>::builder(&memory).config(config).build().unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn two_models_of_one_table() {
    /// A part of the thing.
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "things", schema = "public")]
    struct Name {
        #[batch(key)]
        name: String,
        note: Option<String>,
    }
    let memory = declared();
    let (things, names) = (Repository::<Thing>::memory(&memory), Repository::<Name>::memory(&memory));
    things.batch_add([new("a")]).await.unwrap();
    assert_eq!(names.list(Filter::all()).await.unwrap(), [Name { name: "a".to_owned(), note: None }]);
    assert!(names.update(&Name { name: "a".to_owned(), note: Some("b".to_owned()) }).await.unwrap());
    assert_eq!(names.get("a").await.unwrap().unwrap().note.as_deref(), Some("b"));
    // What only the other model knows is filled in, too.
    names.add(&Name { name: "long".to_owned(), note: None }).await.unwrap();
    assert_eq!(things.list(Thing::FIELDS.name.eq("long")).await.unwrap()[0].length, 4);
    let error = names.batch_add([Name { name: "a".to_owned(), note: None }]).await.unwrap_err();
    assert_eq!(error.constraint(), Some("things_name_key"));

    #[derive(Debug, Clone, BatchModel)]
    #[batch(table = "things")]
    struct Other {
        #[batch(key)]
        name: i32,
        note: String,
    }
    let error = Repository::<Other>::memory(&memory).count(Filter::all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert_eq!(error.mismatches().len(), 2, "{error}");
}

#[derive(Debug, Clone, Copy, PartialEq, ToSql, FromSql)]
#[postgres(name = "mood")]
enum Mood {
    #[postgres(name = "sad")]
    Sad,
    #[postgres(name = "happy")]
    Happy,
}

#[tokio::test]
async fn a_type_of_the_users_own_is_declared() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "people")]
    struct Person {
        #[batch(key)]
        id: i64,
        mood: Mood,
    }
    let memory = Memory::new();
    let people = Repository::<Person>::memory(&memory);
    assert_eq!(people.count(Filter::all()).await.unwrap_err().kind(), ErrorKind::Schema);
    let labels = Kind::Enum(["sad", "happy"].map(str::to_owned).into());
    let ty = Type::new("mood".to_owned(), 0, labels, "public".to_owned());
    memory.table::<Person>().column_type(Person::FIELDS.mood, ty).declare().unwrap();
    let rows = [Person { id: 1, mood: Mood::Happy }, Person { id: 2, mood: Mood::Sad }];
    people.batch_add(&rows).await.unwrap();
    // In the order of the labels, not of their letters.
    let sad = people.list(Person::FIELDS.mood.lt(Mood::Happy)).await.unwrap();
    assert_eq!(sad, rows[1..]);
}

#[tokio::test]
async fn a_closure_that_panics_leaves_nothing() {
    let memory = declared();
    memory
        .table::<Thing>()
        .check("boom", |thing| if thing.name == "b" { panic!("boom") } else { true })
        .declare()
        .unwrap();
    let things = Repository::<Thing>::memory(&memory);
    let other = things.clone();
    let broken = tokio::spawn(async move { other.batch_add([new("a"), new("b")]).await });
    assert!(broken.await.unwrap_err().is_panic());
    assert_eq!(things.batch_add([new("a"), new("c")]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_call_that_is_dropped_while_it_waits_leaves_nothing() {
    let memory = declared();
    let config = BatchConfig { on_row_error: OnRowError::Reject, ..BatchConfig::default() };
    let things = Repository::<Thing>::builder(&memory).config(config).build().unwrap();
    let database = Database::from(&memory);
    let mut connection = database.connect().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    things.batch_add([new("a")]).within(&mut tx).await.unwrap();
    let other = things.clone();
    let waiting = tokio::spawn(async move { other.batch_add([new("b"), new("a")]).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    // Nobody waits for what it wrote.
    assert_eq!(things.batch_add([new("b")]).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
    assert_eq!(things.count(Filter::all()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_transaction_on_postgresql_is_refused() {
    let db = database("CREATE TABLE things (id uuid PRIMARY KEY)").await;
    let real = Database::postgres(db.pool.clone());
    let mut connection = real.connect().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    let things = Repository::<Thing>::memory(&declared());
    let error = things.batch_add([new("a")]).within(&mut tx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("in memory"), "{error}");
    // The driver's own transaction is at hand there.
    assert!(tx.as_postgres().is_some());
    let mut client = db.pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    let error = things.count(Filter::all()).within(&mut tx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
