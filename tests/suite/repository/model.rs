//! The tables of the contract: as PostgreSQL has them, as structs, and as the twin is told of them.

use batchkit::{BatchModel, BatchPatch};
use batchkit_repo::{Memory, OnDelete};
use chrono::{DateTime, Utc};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "products", new = "NewProduct")]
pub(super) struct Product {
    #[batch(key, auto)]
    pub(super) id: i64,
    #[batch(unique)]
    pub(super) sku: String,
    pub(super) price: i64,
    pub(super) tags: Vec<String>,
    pub(super) note: Option<String>,
    pub(super) category_id: Option<i32>,
    #[batch(computed)]
    pub(super) double_price: Option<i64>,
    #[batch(auto, on_update = "now()")]
    pub(super) updated_at: DateTime<Utc>,
}

#[derive(Debug, BatchPatch)]
#[batch(model = "Product")]
pub(super) struct NewPrice<'a> {
    pub(super) price: i64,
    pub(super) note: Option<&'a str>,
    pub(super) id: i64,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "categories")]
pub(super) struct Category {
    #[batch(key)]
    pub(super) id: i32,
    #[batch(unique)]
    pub(super) name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "reviews", new = "NewReview")]
pub(super) struct Review {
    #[batch(key, auto)]
    pub(super) id: i64,
    pub(super) product_id: i64,
    pub(super) category_id: Option<i32>,
    pub(super) text: String,
    #[batch(auto, on_update = "version + 1")]
    pub(super) version: i32,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "places")]
pub(super) struct Shelf {
    #[batch(key)]
    pub(super) shelf: i32,
    #[batch(key)]
    pub(super) slot: String,
    #[batch(unique = "code_in_slot")]
    pub(super) code: Option<String>,
    #[batch(unique = "code_in_slot")]
    pub(super) room: i16,
}

pub(super) const TABLES: &str = "
CREATE TABLE categories (id int4 PRIMARY KEY, name text UNIQUE);
CREATE TABLE products (
    id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sku text NOT NULL UNIQUE, price int8 NOT NULL CHECK (price >= 0),
    tags text[] NOT NULL, note text, category_id int4 REFERENCES categories,
    double_price int8 GENERATED ALWAYS AS (price * 2) STORED,
    updated_at timestamptz NOT NULL DEFAULT '2000-01-01');
CREATE TABLE reviews (
    id int8 GENERATED ALWAYS AS IDENTITY (START WITH 100) PRIMARY KEY,
    product_id int8 NOT NULL CONSTRAINT of_a_product REFERENCES products ON DELETE CASCADE,
    category_id int4 REFERENCES categories ON DELETE SET NULL,
    text text NOT NULL, version int4 NOT NULL DEFAULT 1);
CREATE TABLE places (shelf int4, slot text, code text, room int2 NOT NULL, PRIMARY KEY (shelf, slot),
    CONSTRAINT one_code UNIQUE (room, code));
";

/// What the twin is told of the tables.
pub(super) fn declare(memory: &Memory) {
    let f = Product::FIELDS;
    memory
        .table::<Product>()
        .default(f.updated_at, "2000-01-01T00:00:00Z".parse().unwrap())
        .computed(f.double_price, |product| Some(product.price * 2))
        .check("products_price_check", |product| product.price >= 0)
        .references::<Category>(f.category_id)
        .declare()
        .unwrap();
    let f = Review::FIELDS;
    memory
        .table::<Review>()
        .sequence(f.id, 100)
        .default(f.version, 1)
        .on_update(f.version, |old| old.version + 1)
        .foreign_key::<Product>("of_a_product", f.product_id, OnDelete::Cascade)
        .foreign_key::<Category>("reviews_category_id_fkey", "category_id", OnDelete::SetNull)
        .declare()
        .unwrap();
    let f = Shelf::FIELDS;
    memory.table::<Shelf>().unique("one_code", (f.room, f.code)).declare().unwrap();
}

pub(super) fn new(n: i64) -> NewProduct {
    let tags = vec![format!("tag {n}"), "all".to_owned()];
    NewProduct { sku: format!("sku {n}"), price: n, tags, note: None, category_id: None }
}

pub(super) fn skus(products: &[Product]) -> Vec<&str> {
    products.iter().map(|product| product.sku.as_str()).collect()
}
