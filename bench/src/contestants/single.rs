//! One prepared statement per row, in one transaction: what a loop does.

use async_trait::async_trait;
use batchkit_testbed::server::Database;
use tokio_postgres::{Client, Statement};

use super::Contestant;
use super::unnest::{SET_ALL, product, review};
use crate::Failure;
use crate::task::{Answer, Task, Verb};

pub struct Single {
    client: Client,
    insert: Statement,
    update: Statement,
    upsert: Statement,
    delete: Statement,
    get: Statement,
    returning: Statement,
    reviews: Statement,
}

impl Single {
    pub async fn connect(database: &Database) -> Result<Self, Failure> {
        let client = database.connect().await?;
        let insert = "INSERT INTO product (id, sku, name, price, qty, active, cat, upd) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let returning = "INSERT INTO product (sku, name, price, qty, active, cat, upd) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
        let get = "SELECT id, sku, name, price, qty, active, cat, upd FROM product WHERE id = $1";
        Ok(Single {
            insert: client.prepare(insert).await?,
            update: client.prepare("UPDATE product SET price = $2, qty = $3 WHERE id = $1").await?,
            upsert: client.prepare(&format!("{insert} {SET_ALL}")).await?,
            delete: client.prepare("DELETE FROM product WHERE id = $1").await?,
            get: client.prepare(get).await?,
            returning: client.prepare(returning).await?,
            reviews: client.prepare("SELECT id, product_id, stars, body FROM review WHERE product_id = $1").await?,
            client,
        })
    }
}

#[async_trait]
impl Contestant for Single {
    async fn run(&mut self, verb: Verb, task: &mut Task) -> Result<Option<Answer>, Failure> {
        let transaction = self.client.transaction().await?;
        let mut answer = Answer::default();
        match verb {
            Verb::Insert | Verb::Upsert => {
                let statement = if verb == Verb::Insert { &self.insert } else { &self.upsert };
                for p in &task.products {
                    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
                        [&p.id, &p.sku, &p.name, &p.price, &p.qty, &p.active, &p.cat, &p.upd];
                    answer.rows += usize::try_from(transaction.execute(statement, &values).await?)?;
                }
            }
            Verb::Update => {
                for r in &task.repricings {
                    let rows = transaction.execute(&self.update, &[&r.id, &r.price, &r.qty]).await?;
                    answer.rows += usize::try_from(rows)?;
                }
            }
            Verb::Delete => {
                for id in &task.ids {
                    answer.rows += usize::try_from(transaction.execute(&self.delete, &[id]).await?)?;
                }
            }
            Verb::Get => {
                let mut products = Vec::with_capacity(task.ids.len());
                for id in &task.ids {
                    products.push(product(&transaction.query_one(&self.get, &[id]).await?));
                }
                answer = Answer::read(products.iter().map(|product| product.price));
            }
            Verb::InsertReturning => {
                for p in &task.new {
                    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                        [&p.sku, &p.name, &p.price, &p.qty, &p.active, &p.cat, &p.upd];
                    answer.ids.push(transaction.query_one(&self.returning, &values).await?.get(0));
                }
                answer.rows = answer.ids.len();
            }
            Verb::Relations => {
                let mut attached = Vec::with_capacity(task.ids.len());
                for id in &task.ids {
                    let product = product(&transaction.query_one(&self.get, &[id]).await?);
                    let reviews = transaction.query(&self.reviews, &[id]).await?;
                    attached.push((product, reviews.iter().map(review).collect()));
                }
                answer = Answer::attached(&attached);
            }
        }
        transaction.commit().await?;
        Ok(Some(answer))
    }
}
