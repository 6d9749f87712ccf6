//! pgorm: one statement over arrays for inserts and upserts, `= ANY` for deletes and gets, its loader for relations.
//!
//! pgorm keeps statements prepared in its `PgClient` only, which needs libclang to be built, as its `Model` derive
//! does. The cache here does the same through the trait that pgorm has for clients of one's own, and what the derive
//! would make is written out: the statements are the same.

use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};
use std::{collections::HashMap, ops::Deref};

use async_trait::async_trait;
use batchkit_testbed::server::Database;
use chrono::{DateTime, Utc};
use pgorm::eager::{HasManyMap, Loaded, load_has_many_map};
use pgorm::{Condition, FromRow, GenericClient, InsertModel, OrmError, OrmResult, sql};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::Contestant;
use crate::Failure;
use crate::task::{Answer, Task, Verb};

#[derive(Debug, Clone, FromRow)]
#[allow(dead_code, reason = "read, as all contestants do, though this program looks at two columns only")]
struct Product {
    id: i64,
    sku: String,
    name: String,
    price: f64,
    qty: i32,
    active: bool,
    cat: i64,
    upd: DateTime<Utc>,
}

#[derive(Debug, Clone, FromRow)]
#[allow(dead_code, reason = "as above")]
struct Review {
    id: i64,
    product_id: i64,
    stars: i32,
    body: String,
}

impl Product {
    const JOIN_CLAUSE: &str = "";
    const SELECT_LIST: &str = "product.id, product.sku, product.name, product.price, product.qty, product.active, \
                               product.cat, product.upd";
}

/// A product with the id that is given.
#[derive(Debug, Clone, InsertModel)]
#[orm(table = "product", conflict_target = "id", conflict_update = "sku,name,price,qty,active,cat,upd")]
struct Whole {
    id: i64,
    sku: String,
    name: String,
    price: f64,
    qty: i32,
    active: bool,
    cat: i64,
    upd: DateTime<Utc>,
}

/// The same, of which two columns are written if it exists.
#[derive(Debug, Clone, InsertModel)]
#[orm(table = "product", conflict_target = "id", conflict_update = "price,qty")]
struct Repriced {
    id: i64,
    sku: String,
    name: String,
    price: f64,
    qty: i32,
    active: bool,
    cat: i64,
    upd: DateTime<Utc>,
}

#[derive(Debug, Clone, InsertModel)]
#[orm(table = "product", returning = "Product")]
struct New {
    sku: String,
    name: String,
    price: f64,
    qty: i32,
    active: bool,
    cat: i64,
    upd: DateTime<Utc>,
}

pub struct Pgorm {
    client: Client,
    statements: Statements,
}

impl Pgorm {
    pub async fn connect(database: &Database) -> Result<Self, Failure> {
        Ok(Pgorm { client: database.connect().await?, statements: Statements::default() })
    }
}

#[async_trait]
impl Contestant for Pgorm {
    async fn run(&mut self, verb: Verb, task: &mut Task) -> Result<Option<Answer>, Failure> {
        let statements = self.statements.clone();
        if !task.in_transaction {
            let client = Cached { client: &self.client, statements };
            return Ok(Some(run(&client, verb, task).await?));
        }
        let answer = pgorm::transaction!(&mut self.client, transaction, {
            run(&Cached { client: transaction.client(), statements }, verb, task).await
        });
        Ok(Some(answer?))
    }
}

async fn run(client: &Cached<'_>, verb: Verb, task: &mut Task) -> OrmResult<Answer> {
    Ok(match verb {
        Verb::Insert => {
            let rows = take(&mut task.products).into_iter().map(whole).collect();
            Answer::rows(Whole::insert_many(client, rows).await?)
        }
        Verb::Update => {
            let rows = take(&mut task.products).into_iter().map(repriced).collect();
            Answer::rows(Repriced::upsert_many(client, rows).await?)
        }
        Verb::Upsert => {
            let rows = take(&mut task.products).into_iter().map(whole).collect();
            Answer::rows(Whole::upsert_many(client, rows).await?)
        }
        Verb::Delete => {
            let rows = Condition::eq_any("id", take(&mut task.ids))?;
            Answer::rows(sql("product").delete_many()?.filter(rows).execute(client).await?)
        }
        Verb::Get => Answer::read(get(client, take(&mut task.ids)).await?.iter().map(|product| product.price)),
        Verb::InsertReturning => {
            let rows = take(&mut task.new).into_iter().map(new).collect();
            let stored = New::insert_many_returning(client, rows).await?;
            Answer::ids(stored.iter().map(|product| product.id).collect())
        }
        Verb::Relations => {
            let products = get(client, take(&mut task.ids)).await?;
            let ids = products.iter().map(|product| product.id).collect();
            let list = "review.id, review.product_id, review.stars, review.body";
            let mut reviews: HasManyMap<i64, Review> =
                load_has_many_map(client, ids, list, "review", "", "product_id").await?;
            let attached = products.into_iter().map(|product| {
                let rel = reviews.remove(&product.id).unwrap_or_default();
                Loaded { base: product, rel }
            });
            let attached: Vec<Loaded<Product, Vec<Review>>> = attached.collect();
            Answer::related(
                attached.iter().map(|product| {
                    (product.base.id, product.base.price, product.rel.iter().map(|review| review.stars))
                }),
            )
        }
    })
}

async fn get(client: &Cached<'_>, ids: Vec<i64>) -> OrmResult<Vec<Product>> {
    let mut query = sql("SELECT ");
    query.push(Product::SELECT_LIST).push(" FROM product WHERE ");
    Condition::eq_any("id", ids)?.append_to_sql(&mut query);
    query.fetch_all_as(client).await
}

fn whole(product: crate::data::Product) -> Whole {
    let crate::data::Product { id, sku, name, price, qty, active, cat, upd } = product;
    Whole { id, sku, name, price, qty, active, cat, upd }
}

fn repriced(product: crate::data::Product) -> Repriced {
    let crate::data::Product { id, sku, name, price, qty, active, cat, upd } = product;
    Repriced { id, sku, name, price, qty, active, cat, upd }
}

fn new(product: crate::data::NewProduct) -> New {
    let crate::data::NewProduct { sku, name, price, qty, active, cat, upd } = product;
    New { sku, name, price, qty, active, cat, upd }
}

/// The statements of a connection that are prepared, by their text.
type Statements = Arc<Mutex<HashMap<String, Statement>>>;

/// A connection that prepares each statement once.
struct Cached<'c> {
    client: &'c Client,
    statements: Statements,
}

impl Cached<'_> {
    async fn statement(&self, sql: &str) -> OrmResult<Statement> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).deref().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await.map_err(OrmError::from_db_error)?;
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

impl GenericClient for Cached<'_> {
    async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> OrmResult<Vec<Row>> {
        let statement = self.statement(sql).await?;
        self.client.query(&statement, values).await.map_err(OrmError::from_db_error)
    }

    async fn query_one(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> OrmResult<Row> {
        let statement = self.statement(sql).await?;
        self.client.query_one(&statement, values).await.map_err(OrmError::from_db_error)
    }

    async fn query_opt(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> OrmResult<Option<Row>> {
        let statement = self.statement(sql).await?;
        self.client.query_opt(&statement, values).await.map_err(OrmError::from_db_error)
    }

    async fn execute(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> OrmResult<u64> {
        let statement = self.statement(sql).await?;
        self.client.execute(&statement, values).await.map_err(OrmError::from_db_error)
    }
}
