//! sqlx, with one array per column as its FAQ recommends.

use std::collections::HashMap;

use async_trait::async_trait;
use batchkit_testbed::server::Database;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Acquire, ConnectOptions, PgConnection, Row};
use tokio_postgres::config::Host;

use super::Contestant;
use super::unnest::{DELETE, GET, INSERT, RETURNING, REVIEWS, SET_ALL, UPDATE, attach};
use crate::Failure;
use crate::data::Product;
use crate::task::{Answer, Task, Verb};

pub struct Sqlx {
    connection: PgConnection,
    upsert: String,
}

/// How to connect to the database by its socket.
pub fn options(database: &Database) -> Result<PgConnectOptions, Failure> {
    let config = database.config();
    let folder = config.get_hosts().iter().find_map(|host| match host {
        Host::Unix(folder) => Some(folder),
        Host::Tcp(_) => None,
    });
    let folder = folder.ok_or("the server has no socket")?;
    let options = PgConnectOptions::new_without_pgpass()
        .socket(folder)
        .port(config.get_ports().first().copied().unwrap_or(5432))
        .username(config.get_user().unwrap_or("postgres"))
        .database(database.name());
    Ok(options)
}

impl Sqlx {
    pub async fn connect(database: &Database) -> Result<Self, Failure> {
        let connection = options(database)?.connect().await?;
        Ok(Sqlx { connection, upsert: format!("{INSERT} {SET_ALL}") })
    }
}

#[async_trait]
impl Contestant for Sqlx {
    async fn run(&mut self, verb: Verb, task: &mut Task) -> Result<Option<Answer>, Failure> {
        if !task.in_transaction {
            return Ok(Some(run(&mut self.connection, &self.upsert, verb, task).await?));
        }
        let mut transaction = self.connection.begin().await?;
        let answer = run(&mut transaction, &self.upsert, verb, task).await?;
        transaction.commit().await?;
        Ok(Some(answer))
    }
}

async fn run(connection: &mut PgConnection, upsert: &str, verb: Verb, task: &Task) -> Result<Answer, Failure> {
    Ok(match verb {
        Verb::Insert | Verb::Upsert => {
            let products = &task.products;
            let ids: Vec<i64> = products.iter().map(|p| p.id).collect();
            let skus: Vec<&str> = products.iter().map(|p| p.sku.as_str()).collect();
            let names: Vec<&str> = products.iter().map(|p| p.name.as_str()).collect();
            let prices: Vec<f64> = products.iter().map(|p| p.price).collect();
            let qtys: Vec<i32> = products.iter().map(|p| p.qty).collect();
            let actives: Vec<bool> = products.iter().map(|p| p.active).collect();
            let cats: Vec<i64> = products.iter().map(|p| p.cat).collect();
            let upds: Vec<DateTime<Utc>> = products.iter().map(|p| p.upd).collect();
            let sql = if verb == Verb::Insert { INSERT } else { upsert };
            let query = sqlx::query(sqlx::AssertSqlSafe(sql));
            let query = query.bind(ids).bind(skus).bind(names).bind(prices).bind(qtys).bind(actives);
            Answer::rows(query.bind(cats).bind(upds).execute(connection).await?.rows_affected())
        }
        Verb::Update => {
            let ids: Vec<i64> = task.repricings.iter().map(|r| r.id).collect();
            let prices: Vec<f64> = task.repricings.iter().map(|r| r.price).collect();
            let qtys: Vec<i32> = task.repricings.iter().map(|r| r.qty).collect();
            let query = sqlx::query(UPDATE).bind(ids).bind(prices).bind(qtys);
            Answer::rows(query.execute(connection).await?.rows_affected())
        }
        Verb::Delete => Answer::rows(sqlx::query(DELETE).bind(&task.ids).execute(connection).await?.rows_affected()),
        Verb::Get => {
            let products: Vec<Product> = sqlx::query_as(GET).bind(&task.ids).fetch_all(connection).await?;
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
            let query = sqlx::query(RETURNING).bind(&skus).bind(names).bind(prices).bind(qtys).bind(actives);
            let rows = query.bind(cats).bind(upds).fetch_all(connection).await?;
            let ids = rows.iter().map(|row| Ok((row.try_get(1)?, row.try_get(0)?)));
            let ids: HashMap<&str, i64> = ids.collect::<Result<_, sqlx::Error>>()?;
            Answer::ids(skus.iter().filter_map(|sku| ids.get(sku).copied()).collect())
        }
        Verb::Relations => {
            let products: Vec<Product> = sqlx::query_as(GET).bind(&task.ids).fetch_all(&mut *connection).await?;
            let reviews = sqlx::query_as(REVIEWS).bind(&task.ids).fetch_all(connection).await?;
            Answer::attached(&attach(products, reviews))
        }
    })
}
