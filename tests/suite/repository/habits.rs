//! What a repository does to rows by itself: versions, marks of deletion, values of new rows.

use batchkit::{BatchConfig, BatchModel, ErrorKind, Filter, OnRowError};
use batchkit_repo::{Memory, Repository};
use chrono::{DateTime, Utc};

use super::places::Place;

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "accounts", new = "NewAccount")]
struct Account {
    #[batch(key, auto)]
    id: i64,
    #[batch(unique)]
    name: String,
    total: i64,
    #[batch(soft_delete)]
    deleted_at: Option<DateTime<Utc>>,
    #[batch(version)]
    version: i32,
    #[batch(on_insert = "'web'")]
    source: String,
}

pub(super) const TABLES: &str = "
CREATE TABLE accounts (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, total int8 NOT NULL,
    deleted_at timestamptz, version int4 NOT NULL, source text NOT NULL);
";

/// What the twin is told of the tables.
pub(super) fn declare(memory: &Memory) {
    let f = Account::FIELDS;
    memory.table::<Account>().default_with(f.source, || "web".to_owned()).declare().unwrap();
}

fn new(total: i64) -> NewAccount {
    NewAccount { name: format!("name {total}"), total }
}

/// Ten accounts, numbered from 1.
async fn accounts(place: &Place) -> (Repository<Account>, Vec<Account>) {
    let accounts = place.repository::<Account>();
    let added = accounts.batch_add((0..10).map(new)).await.unwrap();
    (accounts, added)
}

pub(super) async fn versions(place: &Place) {
    let (accounts, added) = accounts(place).await;
    // The third has been changed by another.
    assert!(accounts.update(&Account { total: 50, ..added[2].clone() }).await.unwrap());
    let changed: Vec<Account> = added.iter().map(|a| Account { total: a.total + 100, ..a.clone() }).collect();
    let error = accounts.batch_update(&changed).await.unwrap_err();
    assert_eq!((error.kind(), error.rows()), (ErrorKind::Stale, [2..3].as_slice()));
    assert_eq!((error.report().unwrap().updated(), error.table()), (0, Some("accounts")));
    assert_eq!(accounts.update(&added[2]).await.unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(accounts.batch_update(&added[3..]).if_changed().await.unwrap(), 0);
    let again = accounts.get(added[2].id).await.unwrap().unwrap();
    assert_eq!((again.total, again.version), (50, 2));
    assert!(accounts.update(&again).await.unwrap());
    // Turned away, the others are changed.
    let rejecting = place.with::<Account>(BatchConfig { on_row_error: OnRowError::Reject, ..BatchConfig::default() });
    let error = rejecting.batch_update(&changed).await.unwrap_err();
    let report = error.report().unwrap();
    assert_eq!((error.kind(), report.updated(), report.rejected()), (ErrorKind::Rejected, 9, 1));
    assert_eq!(report.rejects()[0].kind, ErrorKind::Stale);
    let stored = accounts.list(Filter::all()).await.unwrap();
    assert_eq!((stored[0].total, stored[2].total), (100, 50));
    // Counted on by the store, by upserts too, in which new rows have none.
    assert_eq!(accounts.batch_upsert(&stored[..1]).on("name").fields("total").await.unwrap().updated, 1);
    assert_eq!(accounts.get(added[0].id).await.unwrap().unwrap().version, 3);
    let error = accounts.batch_upsert(&stored[..1]).on("name").fields("total").await.unwrap_err();
    assert_eq!((error.kind(), error.rows()), (ErrorKind::Stale, [0..1].as_slice()));
}

pub(super) async fn marks_of_deletion(place: &Place) {
    let (accounts, added) = accounts(place).await;
    let id = |n: usize| added[n].id;
    assert_eq!(accounts.batch_remove([id(0), id(1), 77]).await.unwrap(), 2);
    assert!(accounts.remove(id(3)).await.unwrap() && !accounts.remove(id(3)).await.unwrap());
    assert_eq!(accounts.get(id(0)).await.unwrap(), None);
    assert!(accounts.get(id(0)).with_deleted().await.unwrap().unwrap().deleted_at.is_some());
    assert_eq!(accounts.batch_get([id(0), id(4)]).await.unwrap().len(), 1);
    assert_eq!(accounts.batch_get([id(0), id(4)]).with_deleted().await.unwrap().len(), 2);
    let slots = accounts.batch_get([id(0), id(4)]).aligned().await.unwrap();
    assert_eq!(slots.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
    let f = Account::FIELDS;
    assert_eq!(accounts.list(Filter::all()).await.unwrap().len(), 7);
    assert_eq!(accounts.list(Filter::all()).with_deleted().await.unwrap().len(), 10);
    assert_eq!(accounts.list(Filter::all()).page(20).await.unwrap().rows.len(), 7);
    assert_eq!(accounts.count(f.id.le(id(3))).await.unwrap(), 1);
    assert_eq!(accounts.count(f.id.le(id(3))).with_deleted().await.unwrap(), 4);
    assert!(!accounts.exists(f.id.eq(id(0))).await.unwrap() && accounts.exists(f.id.eq(id(4))).await.unwrap());
    assert!(accounts.exists(f.id.eq(id(0))).with_deleted().await.unwrap());
    assert_eq!(accounts.batch_update(&added[..1]).await.unwrap(), 0, "it is not found, and not stale");
    // Its name is still taken, and an upsert of it brings it back.
    let error = accounts.batch_add([new(0)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueViolation);
    let known = accounts.batch_upsert([new(1)]).on("name").fields("total").await.unwrap();
    assert_eq!((known.inserted, known.updated), (0, 1));
    assert_eq!(accounts.get(id(1)).await.unwrap().unwrap().deleted_at, None);
    assert_eq!(accounts.batch_remove([id(0), id(4), 77]).hard().await.unwrap(), 2);
    assert_eq!(accounts.list(Filter::all()).with_deleted().await.unwrap().len(), 8);
    let mut connection = place.database.connect().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    assert!(accounts.exists(f.id.eq(id(3))).with_deleted().within(&mut tx).await.unwrap());
    assert_eq!(accounts.get(id(3)).within(&mut tx).await.unwrap(), None);
    assert_eq!(accounts.batch_remove([id(5)]).within(&mut tx).await.unwrap(), 1);
    assert_eq!(accounts.get(id(5)).within(&mut tx).await.unwrap(), None);
    tx.rollback().await.unwrap();
    assert!(accounts.get(id(5)).await.unwrap().is_some());
}

pub(super) async fn values_of_new_rows(place: &Place) {
    let (accounts, added) = accounts(place).await;
    let is_new = |account: &Account| (account.version, &*account.source, account.deleted_at) == (1, "web", None);
    assert!(added.iter().all(is_new));
    // What a row gives itself, it keeps.
    let given = Account { name: "given".to_owned(), version: 7, source: "shop".to_owned(), ..added[0].clone() };
    assert!(accounts.batch_remove([added[0].id]).hard().await.unwrap() == 1);
    let stored = accounts.batch_add([&given]).await.unwrap();
    assert_eq!(stored[0].source, "shop");
}
