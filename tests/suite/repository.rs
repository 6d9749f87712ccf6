//! The repository's contract: one body, with batch operations and without.

use batchkit::{BatchModel, BatchPatch, ErrorKind, Filter, Upserted};
use batchkit_repo::Repository;
use chrono::{DateTime, Utc};

use crate::common::{Db, database};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "products", new = "NewProduct")]
struct Product {
    #[batch(key, auto)]
    id: i64,
    #[batch(unique)]
    sku: String,
    price: i64,
    tags: Vec<String>,
    note: Option<String>,
    #[batch(computed)]
    double_price: Option<i64>,
    #[batch(auto, on_update = "now()")]
    updated_at: DateTime<Utc>,
}

#[derive(Debug, BatchPatch)]
#[batch(model = "Product")]
struct NewPrice<'a> {
    price: i64,
    note: Option<&'a str>,
    id: i64,
}

const TABLE: &str = "CREATE TABLE products (
    id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sku text NOT NULL UNIQUE, price int8 NOT NULL CHECK (price >= 0),
    tags text[] NOT NULL, note text, double_price int8 GENERATED ALWAYS AS (price * 2) STORED,
    updated_at timestamptz NOT NULL DEFAULT '2000-01-01')";

fn new(n: i64) -> NewProduct {
    NewProduct { sku: format!("sku {n}"), price: n, tags: vec![format!("tag {n}"), "all".to_owned()], note: None }
}

#[tokio::test]
async fn the_contract_holds_with_batch_operations() {
    contract(true).await;
}

#[tokio::test]
async fn the_contract_holds_with_single_statements() {
    contract(false).await;
}

async fn contract(use_batch_operations: bool) {
    let db = database(TABLE).await;
    let repository = || {
        Repository::<Product>::builder(db.pool.clone())
            .use_batch_operations(use_batch_operations)
            .batch_size(4)
            .build()
            .unwrap()
    };
    add_and_get(&repository()).await;
    update(&repository()).await;
    upsert_and_remove(&repository()).await;
    conditions(&repository()).await;
    plain(&repository()).await;
    failure(&repository(), &db).await;
    transaction(&repository(), &db).await;
}

async fn add_and_get(repo: &Repository<Product>) {
    let added = repo.batch_add((0..10).map(new)).await.unwrap();
    for (n, product) in (0..).zip(&added) {
        assert_eq!((product.id, &product.sku, product.price), (n + 1, &format!("sku {n}"), n));
        assert_eq!((product.double_price, &product.tags), (Some(2 * n), &new(n).tags));
        assert_eq!(product.updated_at.to_rfc3339(), "2000-01-01T00:00:00+00:00");
    }
    assert_eq!(repo.batch_get([7i64, 99, 1]).await.unwrap(), [added[6].clone(), added[0].clone()]);
    assert_eq!(repo.batch_get([7i64, 99]).aligned().await.unwrap(), [Some(added[6].clone()), None]);
    // Whole entities may be added too; their keys are theirs.
    let mut whole = added[3].clone();
    (whole.id, whole.sku) = (1_000, "whole".to_owned());
    assert_eq!(repo.batch_add([&whole]).await.unwrap(), [whole.clone()]);
    assert!(repo.remove(whole.id).await.unwrap());
    assert_eq!(repo.batch_add(Vec::<NewProduct>::new()).await.unwrap(), []);
}

async fn update(repo: &Repository<Product>) {
    let f = Product::FIELDS;
    let mut products = repo.list(Filter::all()).await.unwrap();
    for product in &mut products {
        product.price += 100;
        product.tags.push("changed".to_owned());
    }
    // Price only.
    assert_eq!(repo.batch_update(&products).fields(f.price).await.unwrap(), 10);
    let stored = repo.list(Filter::all()).await.unwrap();
    assert!(stored.iter().zip(&products).all(|(is, wanted)| is.price == wanted.price && is.tags.len() == 2));
    assert!(stored.iter().all(|product| product.updated_at.timestamp() > 1_000_000_000), "on_update has set it");
    // Everything; then nothing is left to change.
    assert_eq!(repo.batch_update(&products).await.unwrap(), 10);
    assert_eq!(repo.batch_update(&products).fields((f.price, f.tags)).if_changed().await.unwrap(), 0);
    products[2].tags.clear();
    assert_eq!(repo.batch_update(&products).fields(["price", "tags"]).if_changed().await.unwrap(), 1);
    // Patches; one is for nobody.
    let patches = [
        NewPrice { id: 1, price: 5, note: Some("a") },
        NewPrice { id: 2, price: 6, note: None },
        NewPrice { id: 77, price: 7, note: None },
    ];
    assert_eq!(repo.batch_update(&patches).await.unwrap(), 2);
    let stored = repo.batch_get([1i64, 2]).await.unwrap();
    assert_eq!((stored[0].price, stored[0].note.as_deref()), (5, Some("a")));
    assert_eq!((stored[1].price, stored[1].tags.len()), (6, 3));
}

async fn upsert_and_remove(repo: &Repository<Product>) {
    let rows: Vec<NewProduct> = (5..15).map(|n| NewProduct { price: 1, ..new(n) }).collect();
    let upserted = repo.batch_upsert(&rows).await.unwrap();
    assert_eq!(upserted, Upserted { inserted: 5, updated: 5, unchanged: 0 });
    let again = repo.batch_upsert(&rows).on(Product::FIELDS.sku).if_changed().await.unwrap();
    assert_eq!(again, Upserted { inserted: 0, updated: 0, unchanged: 10 });
    let all = repo.list(Filter::all()).await.unwrap();
    let new_ones: Vec<i64> = all[10..].iter().map(|product| product.id).collect();
    assert_eq!(repo.batch_remove(new_ones.iter().copied().chain([12_345])).await.unwrap(), 5);
}

async fn conditions(repo: &Repository<Product>) {
    let f = Product::FIELDS;
    let skus = |products: Vec<Product>| products.into_iter().map(|product| product.sku).collect::<Vec<_>>();
    let changed = f.updated_at.gt(DateTime::UNIX_EPOCH + chrono::Duration::days(11_000));
    assert_eq!(repo.count(Filter::all()).await.unwrap(), 10);
    assert_eq!(repo.count(changed).await.unwrap(), 10);
    assert_eq!(skus(repo.list(f.price.eq(1)).limit(2).await.unwrap()), ["sku 5", "sku 6"]);
    assert_eq!(skus(repo.list(f.sku.is_in(["sku 3", "sku 1", "x"])).await.unwrap()), ["sku 1", "sku 3"]);
    assert_eq!(skus(repo.list(f.note.is_not_null()).await.unwrap()), ["sku 0"]);
    assert_eq!(skus(repo.list(f.note.is_null() & f.id.le(2)).await.unwrap()), ["sku 1"]);
    assert_eq!(skus(repo.list(f.id.gt(2) & f.id.lt(4)).await.unwrap()), ["sku 2"]);
    assert_eq!(skus(repo.list(f.sku.ne("sku 9") & f.id.ge(9)).await.unwrap()), ["sku 8"]);
    assert_eq!(repo.list(f.sku.is_in(Vec::<String>::new())).await.unwrap(), []);
    assert_eq!(repo.list(Filter::all()).limit(0).await.unwrap(), []);
    assert!(repo.exists(f.sku.eq("sku 1")).await.unwrap());
    assert!(!repo.exists(f.sku.eq("'; DROP TABLE products; --")).await.unwrap());
}

async fn plain(repo: &Repository<Product>) {
    let added = repo.add(new(50)).await.unwrap().unwrap();
    assert_eq!(repo.get(added.id).await.unwrap().as_ref(), Some(&added));
    assert!(repo.update(&Product { price: 51, ..added.clone() }).await.unwrap());
    assert_eq!(repo.get(&added.id).await.unwrap().unwrap().price, 51);
    assert!(repo.remove(added.id).await.unwrap());
    assert!(!repo.remove(added.id).await.unwrap());
    assert_eq!(repo.get(added.id).await.unwrap(), None);
    assert!(!repo.update(&added).await.unwrap());
}

/// The same rows fail, with the same error, and the same chunks are in.
async fn failure(repo: &Repository<Product>, db: &Db) {
    let mut rows: Vec<NewProduct> = (100..110).map(new).collect();
    rows[6].price = -1;
    let error = repo.batch_add(&rows).await.unwrap_err();
    assert_eq!((error.kind(), error.constraint()), (ErrorKind::CheckViolation, Some("products_price_check")));
    assert_eq!((error.rows(), error.report().unwrap().committed()), ([4..8].as_slice(), [0..4].as_slice()));
    assert_eq!(db.number("SELECT count(*) FROM products WHERE price >= 100 AND sku LIKE 'sku 10_'").await, 4);
    let error = repo.batch_update(&repo.batch_get([1i64]).await.unwrap()).fields("prise").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownField);
}

async fn transaction(repo: &Repository<Product>, db: &Db) {
    let before = repo.count(Filter::all()).await.unwrap();
    let mut client = db.pool.get().await.unwrap();
    let mut transaction = client.transaction().await.unwrap();
    let added = repo.batch_add((200..205).map(new)).within(&mut transaction).await.unwrap();
    let ids: Vec<i64> = added.iter().map(|product| product.id).collect();
    assert_eq!(repo.batch_get(&ids).within(&mut transaction).await.unwrap(), added);
    assert_eq!(repo.batch_update(&added).within(&mut transaction).await.unwrap(), 5);
    assert_eq!(repo.batch_remove(&ids[..1]).within(&mut transaction).await.unwrap(), 1);
    assert_eq!(repo.count(Filter::all()).within(&mut transaction).await.unwrap(), before + 4);
    assert_eq!(repo.list(Product::FIELDS.price.ge(200)).within(&mut transaction).await.unwrap().len(), 4);
    assert_eq!(repo.count(Filter::all()).await.unwrap(), before);
    transaction.rollback().await.unwrap();
    assert_eq!(repo.count(Filter::all()).await.unwrap(), before);
}
