//! What the server needs by itself: the same rows, from a file or a table that lies there.

use async_trait::async_trait;
use batchkit_testbed::server::Server;
use futures_util::TryStreamExt;
use tokio_postgres::Client;

use super::{Contestant, Place};
use crate::Failure;
use crate::task::{Answer, Task, Verb};

pub struct Floor {
    client: Client,
    folder: String,
}

impl Floor {
    pub async fn connect(place: &Place) -> Result<Self, Failure> {
        Ok(Floor { client: place.database.connect().await?, folder: folder(&place.server)? })
    }
}

/// The folder for the files, as it is written in SQL.
fn folder(server: &Server) -> Result<String, Failure> {
    let folder = server.data_dir();
    Ok(folder.to_str().ok_or("the server's folder has a name that is not text")?.replace('\'', "''"))
}

/// Writes the file that an insert of so many rows reads.
pub async fn write_file(client: &Client, server: &Server, rows: usize) -> Result<(), Failure> {
    let folder = folder(server)?;
    let copy = format!(
        "COPY (SELECT * FROM template WHERE id <= {rows} ORDER BY id) TO '{folder}/{rows}.bin' (FORMAT binary)"
    );
    Ok(client.batch_execute(&copy).await?)
}

#[async_trait]
impl Contestant for Floor {
    async fn run(&mut self, verb: Verb, task: &mut Task) -> Result<Option<Answer>, Failure> {
        let client = &self.client;
        let columns = "sku, name, price, qty, active, cat, upd";
        Ok(Some(match verb {
            Verb::Insert => {
                let file = format!("{}/{}.bin", self.folder, task.products.len());
                Answer::rows(client.execute(&format!("COPY product FROM '{file}' (FORMAT binary)"), &[]).await?)
            }
            Verb::Update => {
                Answer::rows(client.execute("UPDATE product SET price = price + 1, qty = qty + 1", &[]).await?)
            }
            Verb::Upsert => {
                let upsert = "INSERT INTO product SELECT * FROM changed WHERE id <= $1 ON CONFLICT (id) DO UPDATE SET \
                              sku = excluded.sku, name = excluded.name, price = excluded.price, qty = excluded.qty, \
                              active = excluded.active, cat = excluded.cat, upd = excluded.upd";
                Answer::rows(client.execute(upsert, &[&i64::try_from(task.products.len())?]).await?)
            }
            Verb::Delete => Answer::rows(client.execute("DELETE FROM product", &[]).await?),
            Verb::Get => {
                let bytes = client.copy_out("COPY product TO STDOUT (FORMAT binary)").await?;
                bytes.try_for_each(|_| async { Ok(()) }).await?;
                // Nobody counts the rows: the bytes are dropped as they come.
                Answer::rows(u64::try_from(task.ids.len())?)
            }
            Verb::InsertReturning => {
                let insert = format!(
                    "INSERT INTO product ({columns}) SELECT {columns} FROM template WHERE id <= $1 ORDER BY id"
                );
                Answer::rows(client.execute(&insert, &[&i64::try_from(task.new.len())?]).await?)
            }
            Verb::Relations => return Ok(None),
        }))
    }
}
