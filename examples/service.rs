//! A service with a transaction over two repositories, and its unit tests without a server.
//!
//! Run it with `cargo run --release --example service`, and its tests with `cargo test --example service`.
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use batchkit::{BatchModel, BatchPatch, ErrorKind};
use batchkit_repo::{Database, Repository};
use batchkit_testbed::server::Server;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "articles")]
struct Article {
    #[batch(key)]
    sku: String,
    stock: i64,
}

#[derive(Debug, BatchPatch)]
#[batch(model = "Article")]
struct Stock {
    sku: String,
    stock: i64,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "order_lines", new = "NewOrderLine")]
struct OrderLine {
    #[batch(key, auto)]
    id: i64,
    #[batch(unique = "line")]
    order_number: i64,
    #[batch(unique = "line")]
    sku: String,
    quantity: i64,
}

const TABLES: &str = "
CREATE TABLE articles (sku text PRIMARY KEY, stock int8 NOT NULL CHECK (stock >= 0));
CREATE TABLE order_lines (
    id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_number int8 NOT NULL, sku text NOT NULL REFERENCES articles,
    quantity int8 NOT NULL, UNIQUE (order_number, sku))";

/// Takes orders. It knows no more of its database than that it is one.
struct Orders {
    database: Database,
    articles: Repository<Article>,
    lines: Repository<OrderLine>,
}

/// What became of an order.
#[derive(Debug, PartialEq)]
enum Placed {
    Taken(Vec<OrderLine>),
    UnknownArticle,
    OutOfStock,
    TakenBefore,
}

impl Orders {
    fn new(database: Database) -> Self {
        Orders { articles: database.repository(), lines: database.repository(), database }
    }

    /// Stores an order's lines and takes their articles out of the stock: both or neither.
    async fn place(&self, order_number: i64, wanted: &[(&str, i64)]) -> batchkit::Result<Placed> {
        let mut connection = self.database.connect().await?;
        let mut tx = connection.transaction().await?;
        let found = self.articles.batch_get(wanted.iter().map(|(sku, _)| *sku)).aligned().within(&mut tx).await?;
        let Some(found) = found.into_iter().collect::<Option<Vec<Article>>>() else {
            return Ok(Placed::UnknownArticle);
        };
        let lines = wanted.iter().map(|&(sku, quantity)| NewOrderLine { order_number, sku: sku.to_owned(), quantity });
        // An error leaves the transaction usable, or to be dropped: then nothing of it is in.
        let lines = match self.lines.batch_add(lines).within(&mut tx).await {
            Err(error) if error.kind() == ErrorKind::UniqueViolation => return Ok(Placed::TakenBefore),
            lines => lines?,
        };
        let left = found
            .into_iter()
            .zip(wanted)
            .map(|(article, (_, quantity))| Stock { stock: article.stock - quantity, sku: article.sku });
        match self.articles.batch_update(left).within(&mut tx).await {
            Err(error) if error.kind() == ErrorKind::CheckViolation => return Ok(Placed::OutOfStock),
            updated => updated?,
        };
        tx.commit().await?;
        Ok(Placed::Taken(lines))
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let server = Server::start().await?;
    let database = server.create_database("service").await?;
    let pool = database.pool(4)?;
    pool.get().await?.batch_execute(TABLES).await?;

    let orders = Orders::new(Database::postgres(pool));
    let articles = ["bolt", "nut"].map(|sku| Article { sku: sku.to_owned(), stock: 100 });
    orders.articles.batch_add(&articles).await?;
    println!("{:?}", orders.place(1, &[("bolt", 90), ("nut", 20)]).await?);
    println!("{:?}", orders.place(2, &[("nut", 20), ("bolt", 20)]).await?);
    println!("{:?}", orders.articles.batch_get(["bolt", "nut"]).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use batchkit::Filter;
    use batchkit_repo::Memory;

    use super::*;

    /// The service on a database in memory, with some articles.
    async fn orders() -> Orders {
        let memory = Memory::new();
        // What the real tables do beyond what the structs say.
        memory.table::<Article>().check("articles_stock_check", |article| article.stock >= 0).declare().unwrap();
        memory.table::<OrderLine>().references::<Article>(OrderLine::FIELDS.sku).declare().unwrap();
        let orders = Orders::new(memory.into());
        let articles = ["bolt", "nut"].map(|sku| Article { sku: sku.to_owned(), stock: 10 });
        orders.articles.batch_add(&articles).await.unwrap();
        orders
    }

    async fn stock(orders: &Orders) -> Vec<i64> {
        let articles = orders.articles.list(Filter::all()).await.unwrap();
        articles.iter().map(|article| article.stock).collect()
    }

    #[tokio::test]
    async fn an_order_is_taken_out_of_the_stock() {
        let orders = orders().await;
        let Placed::Taken(lines) = orders.place(7, &[("nut", 2), ("bolt", 10)]).await.unwrap() else { panic!("taken") };
        let sold: Vec<(&str, i64)> = lines.iter().map(|line| (line.sku.as_str(), line.quantity)).collect();
        assert_eq!(sold, [("nut", 2), ("bolt", 10)]);
        assert_eq!(stock(&orders).await, [0, 8]);
    }

    #[tokio::test]
    async fn what_cannot_be_taken_leaves_nothing() {
        let orders = orders().await;
        assert!(matches!(orders.place(1, &[("nut", 1)]).await.unwrap(), Placed::Taken(_)));
        assert_eq!(orders.place(1, &[("bolt", 1), ("nut", 1)]).await.unwrap(), Placed::TakenBefore);
        assert_eq!(orders.place(2, &[("bolt", 1), ("nut", 10)]).await.unwrap(), Placed::OutOfStock);
        assert_eq!(orders.place(3, &[("bolt", 1), ("screw", 1)]).await.unwrap(), Placed::UnknownArticle);
        assert_eq!(stock(&orders).await, [10, 9]);
        assert_eq!(orders.lines.count(Filter::all()).await.unwrap(), 1);
    }
}
