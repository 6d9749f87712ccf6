//! tokio-postgres with one array per column, as its users write it.

use std::collections::HashMap;

use async_trait::async_trait;
use batchkit_testbed::server::Database;
use chrono::{DateTime, Utc};
use tokio_postgres::{Client, GenericClient, Row, Statement};

use super::Contestant;
use crate::Failure;
use crate::data::{Product, Review};
use crate::task::{Answer, Task, Verb};

pub struct Unnest {
    client: Client,
    statements: Statements,
}

struct Statements {
    insert: Statement,
    update: Statement,
    upsert: Statement,
    delete: Statement,
    get: Statement,
    returning: Statement,
    reviews: Statement,
}

pub const INSERT: &str = "INSERT INTO product (id, sku, name, price, qty, active, cat, upd) SELECT * FROM \
    unnest($1::int8[], $2::text[], $3::text[], $4::float8[], $5::int4[], $6::bool[], $7::int8[], $8::timestamptz[])";
pub const UPDATE: &str = "UPDATE product AS p SET price = v.price, qty = v.qty \
    FROM unnest($1::int8[], $2::float8[], $3::int4[]) AS v (id, price, qty) WHERE p.id = v.id";
pub const SET_ALL: &str = "ON CONFLICT (id) DO UPDATE SET sku = excluded.sku, name = excluded.name, \
    price = excluded.price, qty = excluded.qty, active = excluded.active, cat = excluded.cat, upd = excluded.upd";
pub const DELETE: &str = "DELETE FROM product WHERE id = ANY($1::int8[])";
pub const GET: &str = "SELECT id, sku, name, price, qty, active, cat, upd FROM product WHERE id = ANY($1::int8[])";
pub const REVIEWS: &str = "SELECT id, product_id, stars, body FROM review WHERE product_id = ANY($1::int8[])";
pub const RETURNING: &str = "INSERT INTO product (sku, name, price, qty, active, cat, upd) SELECT * FROM \
    unnest($1::text[], $2::text[], $3::float8[], $4::int4[], $5::bool[], $6::int8[], $7::timestamptz[]) \
    RETURNING id, sku";

impl Unnest {
    pub async fn connect(database: &Database) -> Result<Self, Failure> {
        let client = database.connect().await?;
        let statements = Statements {
            insert: client.prepare(INSERT).await?,
            update: client.prepare(UPDATE).await?,
            upsert: client.prepare(&format!("{INSERT} {SET_ALL}")).await?,
            delete: client.prepare(DELETE).await?,
            get: client.prepare(GET).await?,
            returning: client.prepare(RETURNING).await?,
            reviews: client.prepare(REVIEWS).await?,
        };
        Ok(Unnest { client, statements })
    }
}

#[async_trait]
impl Contestant for Unnest {
    async fn run(&mut self, verb: Verb, task: &mut Task) -> Result<Option<Answer>, Failure> {
        if !task.in_transaction {
            return Ok(Some(run(&self.client, &self.statements, verb, task).await?));
        }
        let transaction = self.client.transaction().await?;
        let answer = run(&transaction, &self.statements, verb, task).await?;
        transaction.commit().await?;
        Ok(Some(answer))
    }
}

async fn run(client: &impl GenericClient, statements: &Statements, verb: Verb, task: &Task) -> Result<Answer, Failure> {
    Ok(match verb {
        Verb::Insert | Verb::Upsert => {
            let products = &task.products;
            let statement = if verb == Verb::Insert { &statements.insert } else { &statements.upsert };
            let ids: Vec<i64> = products.iter().map(|p| p.id).collect();
            let skus: Vec<&str> = products.iter().map(|p| p.sku.as_str()).collect();
            let names: Vec<&str> = products.iter().map(|p| p.name.as_str()).collect();
            let prices: Vec<f64> = products.iter().map(|p| p.price).collect();
            let qtys: Vec<i32> = products.iter().map(|p| p.qty).collect();
            let actives: Vec<bool> = products.iter().map(|p| p.active).collect();
            let cats: Vec<i64> = products.iter().map(|p| p.cat).collect();
            let upds: Vec<DateTime<Utc>> = products.iter().map(|p| p.upd).collect();
            let rows =
                client.execute(statement, &[&ids, &skus, &names, &prices, &qtys, &actives, &cats, &upds]).await?;
            Answer::rows(rows)
        }
        Verb::Update => {
            let ids: Vec<i64> = task.repricings.iter().map(|r| r.id).collect();
            let prices: Vec<f64> = task.repricings.iter().map(|r| r.price).collect();
            let qtys: Vec<i32> = task.repricings.iter().map(|r| r.qty).collect();
            Answer::rows(client.execute(&statements.update, &[&ids, &prices, &qtys]).await?)
        }
        Verb::Delete => Answer::rows(client.execute(&statements.delete, &[&task.ids]).await?),
        Verb::Get => {
            let rows = client.query(&statements.get, &[&task.ids]).await?;
            let products: Vec<Product> = rows.iter().map(product).collect();
            Answer::read(products.iter().map(|product| product.price))
        }
        Verb::InsertReturning => {
            let new = &task.new;
            let skus: Vec<&str> = new.iter().map(|p| p.sku.as_str()).collect();
            let names: Vec<&str> = new.iter().map(|p| p.name.as_str()).collect();
            let prices: Vec<f64> = new.iter().map(|p| p.price).collect();
            let qtys: Vec<i32> = new.iter().map(|p| p.qty).collect();
            let actives: Vec<bool> = new.iter().map(|p| p.active).collect();
            let cats: Vec<i64> = new.iter().map(|p| p.cat).collect();
            let upds: Vec<DateTime<Utc>> = new.iter().map(|p| p.upd).collect();
            let rows =
                client.query(&statements.returning, &[&skus, &names, &prices, &qtys, &actives, &cats, &upds]).await?;
            // The order of RETURNING is nobody's promise: a unique column tells which row is whose.
            let ids: HashMap<&str, i64> = rows.iter().map(|row| (row.get(1), row.get(0))).collect();
            Answer::ids(skus.iter().filter_map(|sku| ids.get(sku).copied()).collect())
        }
        Verb::Relations => {
            let products = client.query(&statements.get, &[&task.ids]).await?.iter().map(product).collect();
            let reviews = client.query(&statements.reviews, &[&task.ids]).await?.iter().map(review).collect();
            Answer::attached(&attach(products, reviews))
        }
    })
}

/// The products, each with its reviews.
pub fn attach(products: Vec<Product>, reviews: Vec<Review>) -> Vec<(Product, Vec<Review>)> {
    let mut by_product: HashMap<i64, Vec<Review>> = HashMap::with_capacity(products.len());
    reviews.into_iter().for_each(|review| by_product.entry(review.product_id).or_default().push(review));
    let attach = |product: Product| {
        let reviews = by_product.remove(&product.id).unwrap_or_default();
        (product, reviews)
    };
    products.into_iter().map(attach).collect()
}

pub fn review(row: &Row) -> Review {
    Review { id: row.get(0), product_id: row.get(1), stars: row.get(2), body: row.get(3) }
}

pub fn product(row: &Row) -> Product {
    Product {
        id: row.get(0),
        sku: row.get(1),
        name: row.get(2),
        price: row.get(3),
        qty: row.get(4),
        active: row.get(5),
        cat: row.get(6),
        upd: row.get(7),
    }
}
