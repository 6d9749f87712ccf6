//! The statements, read without a server: snapshots of what each verb says.

use batchkit::{BatchModel, BatchOperations, BatchPatch, ErrorKind, Filter, RawSql, Transport};
use chrono::{DateTime, Utc};
use deadpool_postgres::{Manager, Pool};

#[derive(Debug, Clone, BatchModel)]
#[allow(dead_code, reason = "no row is ever read")]
#[batch(table = "products", schema = "shop", new = "NewProduct")]
struct Product {
    #[batch(key, auto)]
    id: i64,
    #[batch(unique, pg_type = "citext")]
    sku: String,
    #[batch(unique = "place", rename = "Shelf \"A\"")]
    shelf: i32,
    #[batch(unique = "place")]
    slot: i16,
    tags: Vec<String>,
    document: serde_json::Value,
    #[batch(auto, on_update = "now()")]
    updated_at: DateTime<Utc>,
    #[batch(computed)]
    total: Option<i64>,
}

#[derive(Debug, BatchPatch)]
#[batch(model = "Product")]
struct Move {
    slot: i16,
    id: i64,
}

/// Operations over a pool that never connects.
fn operations() -> BatchOperations<Product> {
    let manager = Manager::new(tokio_postgres::Config::new(), tokio_postgres::NoTls);
    BatchOperations::new(Pool::builder(manager).build().unwrap())
}

const NEW: &[NewProduct] = &[];
const KNOWN: &[Product] = &[];
const MOVES: &[Move] = &[];
const IDS: &[i64] = &[];

#[test]
fn inserts() {
    let ops = operations();
    let texts = [
        ops.batch_insert(NEW).sql(),
        ops.batch_insert(KNOWN).transport(Transport::UnnestRows).sql(),
        ops.batch_insert(NEW).transport(Transport::UnnestColumns).sql(),
        ops.batch_insert(NEW).ignore_conflicts().sql(),
        ops.batch_insert(NEW).returning().sql(),
        ops.batch_insert(NEW).report().sql(),
        ops.batch_insert(NEW).transport(Transport::Single).returning().sql(),
        ops.batch_insert(NEW).returning_keys().sql(),
        ops.batch_insert(KNOWN).returning_keys().sql(),
    ];
    insta::assert_snapshot!(joined(texts));
}

#[test]
fn updates() {
    let (ops, f) = (operations(), Product::FIELDS);
    let texts = [
        ops.batch_update(KNOWN).sql(),
        ops.batch_update(KNOWN).fields((f.slot, f.document)).if_changed().sql(),
        ops.batch_update(MOVES).sql(),
        ops.batch_update(MOVES).returning().sql(),
        ops.batch_update(KNOWN).fields(["updated_at"]).transport(Transport::Copy).sql(),
    ];
    insta::assert_snapshot!(joined(texts));
}

#[test]
fn upserts() {
    let (ops, f) = (operations(), Product::FIELDS);
    let texts = [
        ops.batch_upsert(KNOWN).sql(),
        ops.batch_upsert(NEW).on(f.sku).if_changed().sql(),
        ops.batch_upsert(NEW).on((f.slot, f.shelf)).fields(f.tags).report().sql(),
        ops.batch_upsert(NEW).on("sku").if_changed().returning().sql(),
        ops.batch_upsert(NEW).on("sku").if_changed().returning_keys().sql(),
    ];
    insta::assert_snapshot!(joined(texts));
}

#[test]
fn deletes_and_gets() {
    let (ops, k) = (operations(), Product::KEYS);
    let texts = [
        ops.batch_delete(IDS).sql(),
        ops.batch_delete(IDS).report().sql(),
        ops.batch_delete_by(k.place, [(1, 2i16)]).returning().sql(),
        ops.batch_get(IDS).sql(),
        ops.batch_get_by(k.sku, ["a"]).count().sql(),
        ops.batch_get_by(k.sku, ["a"]).keys().sql(),
        ops.batch_get(IDS).keys().sql(),
        ops.batch_get_by(k.place, [(1, 2i16)]).transport(Transport::Copy).report().sql(),
    ];
    insta::assert_snapshot!(joined(texts));
}

#[test]
fn reads() {
    let (ops, f) = (operations(), Product::FIELDS);
    let place = Product {
        id: 1,
        sku: String::new(),
        shelf: 2,
        slot: 3,
        tags: Vec::new(),
        document: serde_json::Value::Null,
        updated_at: DateTime::UNIX_EPOCH,
        total: None,
    };
    let raw = RawSql::new("t.slot % ").bind(7).sql(" = 0");
    let texts = [
        ops.list(Filter::all()).sql(),
        ops.list(f.shelf.eq(1) & (f.slot.gt(2) | !f.total.is_null()) & !Filter::raw(raw)).limit(10).offset(5).sql(),
        ops.list(f.sku.is_in(["a", "b"]) | f.sku.not_in(["c"]) | f.sku.contains("%")).sql(),
        ops.list(!(f.shelf.eq(1) & f.document.is_not_null()))
            .order_by((f.shelf.desc(), f.slot.desc()))
            .after(&place)
            .sql(),
        ops.list(Filter::all()).order_by((f.shelf, f.slot.desc(), f.id)).after(&place).limit(3).sql(),
        ops.list(f.shelf.eq(1)).order_by("total desc nulls last").after(&place).sql(),
        ops.list(Filter::none()).order_by(f.total.asc().nulls_first()).before(&place).limit(3).sql(),
        ops.count(f.shelf.between(1, 2)).sql(),
        ops.count(Filter::all()).limit(100).sql(),
        ops.exists(f.updated_at.lt(DateTime::UNIX_EPOCH)).sql(),
    ];
    insta::assert_snapshot!(joined(texts));
}

#[test]
fn a_type_that_only_a_server_knows_is_asked_for() {
    #[derive(Debug, postgres_types::ToSql, postgres_types::FromSql)]
    #[postgres(name = "mood")]
    enum Mood {
        Sad,
    }
    #[derive(Debug, BatchModel)]
    #[batch(table = "people")]
    struct Person {
        #[batch(key)]
        id: i64,
        mood: Mood,
    }
    let manager = Manager::new(tokio_postgres::Config::new(), tokio_postgres::NoTls);
    let ops = BatchOperations::<Person>::new(Pool::builder(manager).build().unwrap());
    let error = ops.batch_insert([Person { id: 1, mood: Mood::Sad }]).sql().unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::Schema, Some("mood")));
}

fn joined<const N: usize>(texts: [batchkit::Result<String>; N]) -> String {
    texts.map(Result::unwrap).join("\n\n")
}
