//! A network that takes its time: a socket before the server's, through which everything is so long on its way.

use std::path::Path;
use std::time::Duration;

use batchkit_testbed::server::Database;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_postgres::config::Host;

use crate::Failure;

/// The most bytes that are read at once.
const BLOCK: usize = 64 << 10;

/// A database behind a socket in a folder of its own.
pub struct Delayed {
    pub database: Database,
    _folder: TempDir,
}

impl Delayed {
    /// The database behind one. What a client sends arrives so much later; what comes back does not.
    pub fn before(database: &Database, delay: Duration) -> Result<Self, Failure> {
        let config = database.config();
        let Some(Host::Unix(server)) = config.get_hosts().first() else {
            return Err("the network is delayed before a server that was started here".into());
        };
        let folder = listen(server, config.get_ports().first().copied().unwrap_or(5432), delay)?;
        Ok(Delayed { database: database.through(folder.path()), _folder: folder })
    }
}

/// A socket before the one in the server's folder.
fn listen(server: &Path, port: u16, delay: Duration) -> Result<TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("batchkit-delay-").tempdir()?;
    let name = format!(".s.PGSQL.{port}");
    let (listener, server) = (UnixListener::bind(folder.path().join(&name))?, server.join(name));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = UnixStream::connect(&server).await else { continue };
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            tokio::spawn(carry(client_reads, server_writes, delay));
            tokio::spawn(carry(server_reads, client_writes, Duration::ZERO));
        }
    });
    Ok(folder)
}

/// Carries bytes one way until a side ends.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (sender, mut on_their_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut block = vec![0; BLOCK];
        while let Ok(read @ 1..) = from.read(&mut block).await {
            if sender.send((Instant::now() + delay, block[..read].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = on_their_way.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The other side has ended: so does this one.
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
