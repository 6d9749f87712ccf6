//! The forms in which keys are given: owned and borrowed, single and in tuples, of any declared unique key.

use std::borrow::Cow;

use batchkit::{BatchModel, BatchOperations};

use crate::common::database;

/// An identifier of the caller's own, stored as an integer.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Id(i64);

impl From<Id> for i64 {
    fn from(id: Id) -> i64 {
        id.0
    }
}

impl From<i64> for Id {
    fn from(id: i64) -> Id {
        Id(id)
    }
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "items")]
struct Item {
    #[batch(key, as = "i64")]
    id: Id,
    #[batch(unique)]
    sku: String,
    #[batch(unique = "place")]
    shelf: i32,
    #[batch(unique = "place", unique = "code_in_slot")]
    slot: String,
    #[batch(unique = "code_in_slot")]
    code: Option<String>,
}

const TABLE: &str =
    "CREATE TABLE items (id int8 PRIMARY KEY, sku text NOT NULL UNIQUE, shelf int4 NOT NULL, slot text NOT NULL,
    code text, UNIQUE (slot, shelf), UNIQUE (code, slot))";

fn item(id: i64) -> Item {
    let number = i32::try_from(id).unwrap();
    Item {
        id: Id(id),
        sku: format!("sku {id}"),
        shelf: number % 2,
        slot: format!("slot {id}"),
        code: (id % 2 == 0).then(|| format!("code {id}")),
    }
}

#[tokio::test]
async fn every_form_of_a_key() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Item>::new(db.pool.clone());
    let items: Vec<Item> = (0..4).map(item).collect();
    operations.batch_insert(&items).await.unwrap();
    let (k, one) = (Item::KEYS, &items[1..2]);

    assert_eq!(operations.batch_get([Id(1)]).await.unwrap(), one);
    assert_eq!(operations.batch_get(&[Id(1)]).await.unwrap(), one);

    assert_eq!(operations.batch_get_by(k.sku, ["sku 1"]).await.unwrap(), one);
    assert_eq!(operations.batch_get_by(k.sku, &["sku 1"]).await.unwrap(), one);
    assert_eq!(operations.batch_get_by(k.sku, ["sku 1".to_owned()]).await.unwrap(), one);
    assert_eq!(operations.batch_get_by(k.sku, &["sku 1".to_owned()]).await.unwrap(), one);
    assert_eq!(operations.batch_get_by(k.sku, [Cow::Borrowed("sku 1")]).await.unwrap(), one);

    // A group's order is the fields', whatever the index says.
    assert_eq!(operations.batch_get_by(k.place, [(1, "slot 1")]).await.unwrap(), one);
    assert_eq!(operations.batch_get_by(k.place, &[(1, "slot 1")]).await.unwrap(), one);
    assert_eq!(operations.batch_get_by(k.place, [(1, "slot 1".to_owned())]).await.unwrap(), one);

    // A nullable column is asked for by a value; NULL is found by nobody.
    let two = &items[2..3];
    assert_eq!(operations.batch_get_by(k.code_in_slot, [("slot 2", "code 2")]).await.unwrap(), two);
    assert_eq!(
        operations
            .batch_get_by(k.code_in_slot, [("slot 2", Some("code 2".to_owned())), ("slot 1", None)])
            .await
            .unwrap(),
        two
    );

    // Of rows that are found by another key, or of one that is stored as another type.
    let ids = operations.batch_get_by(k.sku, ["sku 2", "sku 9", "sku 0"]).keys().aligned().await.unwrap();
    assert_eq!(ids, [Some(Id(2)), None, Some(Id(0))]);
    assert_eq!(operations.batch_get_by(k.place, [(1, "slot 3"), (1, "slot 1")]).keys().await.unwrap(), [Id(3), Id(1)]);
    assert_eq!(operations.batch_get([Id(3), Id(7)]).keys().await.unwrap(), [Id(3)]);

    assert_eq!(operations.batch_delete_by(k.place, [(1, "slot 1"), (0, "slot 1")]).await.unwrap(), 1);
    assert_eq!(operations.batch_delete_by(k.sku, ["sku 1", "sku 2"]).returning().await.unwrap(), two);
    assert_eq!(operations.batch_delete([Id(0)]).await.unwrap(), 1);
    assert_eq!(db.number("SELECT count(*) FROM items").await, 1);
}

#[tokio::test]
async fn an_upsert_takes_any_declared_key_as_its_target() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Item>::new(db.pool.clone());
    let f = Item::FIELDS;
    operations.batch_insert([item(0), item(2)]).await.unwrap();
    let moved = Item { id: Id(0), sku: "sku 0".to_owned(), ..item(4) };
    assert_eq!(operations.batch_upsert([&moved]).await.unwrap().updated, 1);
    let moved = Item { id: Id(77), sku: "sku 0".to_owned(), ..item(6) };
    assert_eq!(operations.batch_upsert([&moved]).on("sku").await.unwrap().updated, 1);
    // The key stays: it is not what an update sets.
    assert_eq!(operations.batch_get([Id(0)]).await.unwrap(), [Item { id: Id(0), ..moved }]);
    let moved = Item { id: Id(78), sku: "new".to_owned(), ..item(6) };
    assert_eq!(operations.batch_upsert([&moved]).on((f.shelf, f.slot)).await.unwrap().updated, 1);
    assert_eq!(operations.batch_get_by(Item::KEYS.sku, ["new"]).await.unwrap().len(), 1);
}
