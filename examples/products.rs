//! The guide's own example: products with sku, price and category, through a repository.
//!
//! Run it with `cargo run --release --example products`.
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::HashMap;

use batchkit::{BatchModel, BatchPatch, Filter};
use batchkit_repo::Repository;
use batchkit_testbed::server::Server;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "products", new = "NewProduct")]
struct Product {
    #[batch(key, auto)]
    id: i64,
    #[batch(unique)]
    sku: String,
    name: String,
    price: Decimal,
    category: String,
    tags: Vec<String>,
    #[batch(auto, on_update = "now()")]
    updated_at: DateTime<Utc>,
}

/// A new price: the key and one column, nothing else.
#[derive(Debug, BatchPatch)]
#[batch(model = "Product")]
struct NewPrice {
    id: i64,
    price: Decimal,
}

const TABLE: &str = "CREATE TABLE products (
    id         int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku        text NOT NULL UNIQUE,
    name       text NOT NULL,
    price      numeric(12, 2) NOT NULL CHECK (price >= 0),
    category   text NOT NULL,
    tags       text[] NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
)";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let server = Server::start().await?;
    let database = server.create_database("products").await?;
    let pool = database.pool(4)?;
    pool.get().await?.batch_execute(TABLE).await?;

    // A repository with batch operations.
    let repo = Repository::<Product>::builder(pool).use_batch_operations(true).batch_size(500).build()?;
    let f = Product::FIELDS;

    // Batch add: the stored products come back with their ids, in the order of the input.
    let new_products: Vec<NewProduct> = (0..2_000).map(new_product).collect();
    let added = repo.batch_add(&new_products).await?;
    println!("added    {:>5}, the first is {:?} with id {}", added.len(), added[0].sku, added[0].id);

    // Batch update of one field, from the entities: a 10 % price increase.
    let mut products = added.clone();
    for product in &mut products {
        product.price *= Decimal::new(11, 1);
    }
    println!("updated  {:>5} prices", repo.batch_update(&products).fields(f.price).await?);

    // The same from patches, which carry nothing else.
    let sale: Vec<NewPrice> =
        added.iter().take(500).map(|product| NewPrice { id: product.id, price: product.price }).collect();
    println!("updated  {:>5} prices from patches", repo.batch_update(&sale).await?);

    // Price changes that came from elsewhere, by id: read, change, write back.
    let changes: HashMap<i64, Decimal> = added.iter().step_by(10).map(|product| (product.id, Decimal::ONE)).collect();
    let mut changed = repo.batch_get(changes.keys().copied()).await?;
    for product in &mut changed {
        product.price = changes[&product.id];
    }
    println!("repriced {:>5}", repo.batch_update(&changed).fields(["price"]).await?);

    // Batch upsert by sku: half of these are new.
    let import: Vec<NewProduct> = (1_500..2_500).map(new_product).collect();
    let upserted = repo.batch_upsert(&import).on(f.sku).await?;
    println!("upserted {:>5} new and {} known", upserted.inserted, upserted.updated);

    // Batch get: in the order of the keys; a key that is not there is an empty slot.
    let slots = repo.batch_get([added[2].id, -1, added[0].id]).aligned().await?;
    let skus: Vec<_> = slots.iter().map(|slot| slot.as_ref().map(|product| product.sku.as_str())).collect();
    println!("got      {skus:?}");

    // Conditions, and the plain calls.
    let dear = repo.list(f.category.eq("tools") & f.price.gt(40)).order_by(f.price.desc()).limit(5).await?;
    println!("listed   {:>5} dear tools", dear.len());
    println!("exists   {:>5}", repo.exists(f.sku.eq("SKU-2400")).await?);

    // Batch remove.
    let removed = repo.batch_remove(added.iter().map(|product| product.id)).await?;
    println!("removed  {removed:>5}, {} are left", repo.count(Filter::all()).await?);
    Ok(())
}

fn new_product(n: i32) -> NewProduct {
    NewProduct {
        sku: format!("SKU-{n}"),
        name: format!("Product {n}"),
        price: Decimal::new(i64::from(n % 5_000) + 99, 2),
        category: if n % 3 == 0 { "tools" } else { "toys" }.to_owned(),
        tags: vec!["new".to_owned()],
    }
}
