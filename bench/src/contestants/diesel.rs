//! diesel-async: rows in batches below the limit of parameters, `eq_any` for keys, associations for relations.

use ::diesel::prelude::*;
use ::diesel::upsert::excluded;
use async_trait::async_trait;
use batchkit_testbed::server::Database;
use chrono::{DateTime, Utc};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use tokio_postgres::NoTls;

use super::schema::product;
use super::{Contestant, PARAMETERS};
use crate::Failure;
use crate::data::{NewProduct, Product, Review};
use crate::task::{Answer, Task, Verb};

pub struct Diesel(AsyncPgConnection);

/// A product whose id the server makes. It borrows, so that nothing is copied.
#[derive(Insertable)]
#[diesel(table_name = product)]
struct New<'r> {
    sku: &'r str,
    name: &'r str,
    price: f64,
    qty: i32,
    active: bool,
    cat: i64,
    upd: DateTime<Utc>,
}

impl Diesel {
    pub async fn connect(database: &Database) -> Result<Self, Failure> {
        let (client, connection) = database.config().connect(NoTls).await?;
        Ok(Diesel(AsyncPgConnection::try_from_client_and_connection(client, connection).await?))
    }
}

#[async_trait]
impl Contestant for Diesel {
    async fn run(&mut self, verb: Verb, task: &mut Task) -> Result<Option<Answer>, Failure> {
        let task: &Task = task;
        if !task.in_transaction {
            return Ok(Some(run(&mut self.0, verb, task).await?));
        }
        let answer = self.0.transaction(async |connection| run(connection, verb, task).await);
        Ok(Some(answer.await?))
    }
}

async fn run(connection: &mut AsyncPgConnection, verb: Verb, task: &Task) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    match verb {
        Verb::Insert => {
            for rows in task.products.chunks(PARAMETERS / 8) {
                answer.rows += ::diesel::insert_into(product::table).values(rows).execute(connection).await?;
            }
        }
        Verb::Update => {
            for rows in task.products.chunks(PARAMETERS / 8) {
                let insert = ::diesel::insert_into(product::table).values(rows).on_conflict(product::id).do_update();
                let update =
                    insert.set((product::price.eq(excluded(product::price)), product::qty.eq(excluded(product::qty))));
                answer.rows += update.execute(connection).await?;
            }
        }
        Verb::Upsert => {
            for rows in task.products.chunks(PARAMETERS / 8) {
                let insert = ::diesel::insert_into(product::table).values(rows).on_conflict(product::id).do_update();
                let upsert = insert.set((
                    product::sku.eq(excluded(product::sku)),
                    product::name.eq(excluded(product::name)),
                    product::price.eq(excluded(product::price)),
                    product::qty.eq(excluded(product::qty)),
                    product::active.eq(excluded(product::active)),
                    product::cat.eq(excluded(product::cat)),
                    product::upd.eq(excluded(product::upd)),
                ));
                answer.rows += upsert.execute(connection).await?;
            }
        }
        Verb::Delete => {
            let rows = product::table.filter(product::id.eq_any(&task.ids));
            answer.rows = ::diesel::delete(rows).execute(connection).await?;
        }
        Verb::Get => answer = Answer::read(get(connection, &task.ids).await?.iter().map(|product| product.price)),
        Verb::InsertReturning => {
            for rows in task.new.chunks(PARAMETERS / 7) {
                let rows: Vec<New<'_>> = rows.iter().map(new).collect();
                let insert = ::diesel::insert_into(product::table).values(&rows).returning(product::id);
                answer.ids.extend(insert.get_results::<i64>(connection).await?);
            }
            answer.rows = answer.ids.len();
        }
        Verb::Relations => {
            let products = get(connection, &task.ids).await?;
            let reviews = Review::belonging_to(&products).select(Review::as_select());
            let reviews: Vec<Review> = reviews.load(connection).await?;
            let attached = reviews.grouped_by(&products);
            let attached: Vec<(Product, Vec<Review>)> = products.into_iter().zip(attached).collect();
            answer = Answer::attached(&attached);
        }
    }
    Ok(answer)
}

async fn get(connection: &mut AsyncPgConnection, ids: &[i64]) -> QueryResult<Vec<Product>> {
    product::table.filter(product::id.eq_any(ids)).select(Product::as_select()).load(connection).await
}

fn new(product: &NewProduct) -> New<'_> {
    let NewProduct { sku, name, price, qty, active, cat, upd } = product;
    New { sku, name, price: *price, qty: *qty, active: *active, cat: *cat, upd: *upd }
}
