//! tokio-postgres with COPY: into the table, or into a temporary one that a statement reads.

use async_trait::async_trait;
use batchkit_testbed::server::Database;
use futures_util::pin_mut;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};

use super::Contestant;
use super::unnest::SET_ALL;
use crate::Failure;
use crate::data::Product;
use crate::task::{Answer, Task, Verb};

pub struct Copy {
    client: Client,
    draw: Statement,
}

const TYPES: [Type; 8] =
    [Type::INT8, Type::TEXT, Type::TEXT, Type::FLOAT8, Type::INT4, Type::BOOL, Type::INT8, Type::TIMESTAMPTZ];
const COLUMNS: &str = "id, sku, name, price, qty, active, cat, upd";
/// By the sequence's name: looking it up with `pg_get_serial_sequence` in this statement would cost that for each row.
const DRAW: &str = "SELECT nextval('product_id_seq') FROM generate_series(1, $1::int8)";

type Value<'r> = &'r (dyn ToSql + Sync);

impl Copy {
    pub async fn connect(database: &Database) -> Result<Self, Failure> {
        let client = database.connect().await?;
        Ok(Copy { draw: client.prepare(DRAW).await?, client })
    }
}

#[async_trait]
impl Contestant for Copy {
    async fn run(&mut self, verb: Verb, task: &mut Task) -> Result<Option<Answer>, Failure> {
        match verb {
            Verb::Get | Verb::Relations => return Ok(None),
            // One statement that writes: a transaction of its own already.
            Verb::Insert | Verb::InsertReturning if !task.in_transaction => {
                return Ok(Some(run(&self.client, &self.draw, verb, task).await?));
            }
            _ => {}
        }
        let transaction = self.client.transaction().await?;
        let answer = run(transaction.client(), &self.draw, verb, task).await?;
        transaction.commit().await?;
        Ok(Some(answer))
    }
}

async fn run(client: &Client, draw: &Statement, verb: Verb, task: &Task) -> Result<Answer, Failure> {
    Ok(match verb {
        Verb::Insert => Answer::rows(copy_products(client, "product", &task.products).await?),
        Verb::Update => {
            stage(client, "id, price, qty").await?;
            let rows = task.repricings.iter().map(|r| [&r.id as Value, &r.price, &r.qty]);
            copy(client, "stage (id, price, qty)", &[Type::INT8, Type::FLOAT8, Type::INT4], rows).await?;
            let update = "UPDATE product AS p SET price = s.price, qty = s.qty FROM stage AS s WHERE p.id = s.id";
            Answer::rows(client.execute(update, &[]).await?)
        }
        Verb::Upsert => {
            stage(client, COLUMNS).await?;
            copy_products(client, "stage", &task.products).await?;
            let upsert = format!("INSERT INTO product ({COLUMNS}) SELECT {COLUMNS} FROM stage {SET_ALL}");
            Answer::rows(client.execute(&upsert, &[]).await?)
        }
        Verb::Delete => {
            stage(client, "id").await?;
            copy(client, "stage (id)", &[Type::INT8], task.ids.iter().map(|id| [id as Value])).await?;
            let delete = "DELETE FROM product AS p USING stage AS s WHERE p.id = s.id";
            Answer::rows(client.execute(delete, &[]).await?)
        }
        Verb::InsertReturning => {
            let count = i64::try_from(task.new.len())?;
            let ids: Vec<i64> = client.query(draw, &[&count]).await?.iter().map(|row| row.get(0)).collect();
            let rows = ids
                .iter()
                .zip(&task.new)
                .map(|(id, p)| [id as Value, &p.sku, &p.name, &p.price, &p.qty, &p.active, &p.cat, &p.upd]);
            copy(client, &format!("product ({COLUMNS})"), &TYPES, rows).await?;
            Answer::ids(ids)
        }
        Verb::Get | Verb::Relations => Answer::default(),
    })
}

async fn stage(client: &Client, columns: &str) -> Result<(), Failure> {
    let stage = format!("CREATE TEMP TABLE stage ON COMMIT DROP AS SELECT {columns} FROM product WITH NO DATA");
    Ok(client.batch_execute(&stage).await?)
}

async fn copy_products(client: &Client, into: &str, products: &[Product]) -> Result<u64, Failure> {
    let rows = products.iter().map(|p| [&p.id as Value, &p.sku, &p.name, &p.price, &p.qty, &p.active, &p.cat, &p.upd]);
    copy(client, &format!("{into} ({COLUMNS})"), &TYPES, rows).await
}

async fn copy<'r, const N: usize>(
    client: &Client,
    into: &str,
    types: &[Type],
    rows: impl Iterator<Item = [Value<'r>; N]>,
) -> Result<u64, Failure> {
    let sink = client.copy_in(&format!("COPY {into} FROM STDIN (FORMAT binary)")).await?;
    let writer = BinaryCopyInWriter::new(sink, types);
    pin_mut!(writer);
    for row in rows {
        writer.as_mut().write(&row).await?;
    }
    Ok(writer.finish().await?)
}
