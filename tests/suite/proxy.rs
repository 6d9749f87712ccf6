//! A proxy in front of the server that knows where the protocol's messages end, and can do harm there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

/// What is done at a message. All but the last of these happen once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// The connection is cut before the message goes on.
    CutBefore,
    /// Half of the message goes on, then the connection is cut.
    CutInside,
    /// The message goes on, then the connection is cut.
    CutAfter,
    /// The client's side is cut; what it had sent, this message too, goes on when it is let go.
    Hold,
    /// Nothing goes on any more, and nobody is told.
    Silence,
    /// Every message goes on byte by byte, each after a pause.
    Trickle,
}

/// Where harm is done: at the message number `at`, from 0, that goes that way after it was set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trap {
    pub(crate) way: Way,
    pub(crate) at: usize,
    pub(crate) harm: Harm,
}

/// A proxy on a socket of its own.
pub(crate) struct Proxy {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    trap: Mutex<Option<Trap>>,
    to_server: AtomicUsize,
    to_client: AtomicUsize,
    /// Messages to the server that end or open a transaction, with the text of simple queries.
    let_go: Notify,
}

impl Proxy {
    /// A proxy to the server whose socket lies in this folder.
    pub(crate) fn new(server: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("batchkit-proxy-").tempdir().unwrap();
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let (shared, server) = (Arc::new(Shared::default()), socket(server));
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (shared, server) = (Arc::clone(&accepting), server.clone());
                tokio::spawn(async move {
                    if let Ok(server) = UnixStream::connect(server).await {
                        connection(client, server, shared).await;
                    }
                });
            }
        });
        Proxy { folder, shared }
    }

    /// The folder to connect to.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sets a trap, and counts messages from 0 again.
    pub(crate) fn set(&self, trap: Option<Trap>) {
        *self.shared.trap.lock().unwrap() = trap;
        self.shared.to_server.store(0, Ordering::SeqCst);
        self.shared.to_client.store(0, Ordering::SeqCst);
    }

    /// Whether the trap is still set.
    pub(crate) fn is_set(&self) -> bool {
        self.shared.trap.lock().unwrap().is_some()
    }

    /// How many messages went each way since the last [`set`](Self::set).
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.shared.to_server.load(Ordering::SeqCst), self.shared.to_client.load(Ordering::SeqCst))
    }

    /// Lets go of what is held.
    pub(crate) fn let_go(&self) {
        self.shared.let_go.notify_waiters();
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join(".s.PGSQL.5432")
}

impl Shared {
    /// What is done at the next message that goes this way.
    fn next(&self, way: Way) -> Option<Harm> {
        let counter = if way == Way::ToServer { &self.to_server } else { &self.to_client };
        let number = counter.fetch_add(1, Ordering::SeqCst);
        let mut trap = self.trap.lock().unwrap();
        let harm = trap.filter(|trap| trap.way == way && trap.at <= number).map(|trap| trap.harm);
        if harm.is_some() && harm != Some(Harm::Trickle) {
            *trap = None;
        }
        harm
    }
}

/// Carries one connection's messages until one side ends or harm is done.
async fn connection(client: UnixStream, server: UnixStream, shared: Arc<Shared>) {
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let let_go = shared.let_go.notified();
    // Where one direction ends, the other does too: both sockets are closed, unless something is held back.
    let held = tokio::select! {
        held = carry(client_reads, server_writes, Way::ToServer, Arc::clone(&shared)) => held,
        held = carry(server_reads, client_writes, Way::ToClient, Arc::clone(&shared)) => {
            debug_assert!(held.is_none(), "only what goes to the server is held back");
            None
        }
    };
    if let Some(Held { mut to, bytes }) = held {
        let_go.await;
        // The server may have ended the connection meanwhile: that is what a fence does.
        let _ = to.write_all(&bytes).await;
    }
}

/// A message that is held back, and where it will go.
struct Held {
    to: Box<dyn AsyncWrite + Unpin + Send>,
    bytes: Vec<u8>,
}

/// Carries messages one way.
async fn carry<R, W>(mut from: R, mut to: W, way: Way, shared: Arc<Shared>) -> Option<Held>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    // The first message of a client has no type.
    let mut typed = way == Way::ToClient;
    loop {
        let bytes = message(&mut from, typed).await?;
        typed = true;
        match shared.next(way) {
            None => to.write_all(&bytes).await.ok()?,
            Some(Harm::CutBefore) => return None,
            Some(Harm::CutInside) => {
                to.write_all(&bytes[..bytes.len() / 2]).await.ok()?;
                return None;
            }
            Some(Harm::CutAfter) => {
                to.write_all(&bytes).await.ok()?;
                return None;
            }
            Some(Harm::Hold) => {
                // What the client sends together with it is part of what is held.
                let mut bytes = bytes;
                while let Ok(Some(more)) =
                    tokio::time::timeout(Duration::from_millis(20), message(&mut from, true)).await
                {
                    bytes.extend(more);
                }
                return Some(Held { to: Box::new(to), bytes });
            }
            Some(Harm::Silence) => std::future::pending().await,
            Some(Harm::Trickle) => {
                for byte in bytes {
                    to.write_all(&[byte]).await.ok()?;
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// The next whole message.
async fn message<R: AsyncRead + Unpin>(from: &mut R, typed: bool) -> Option<Vec<u8>> {
    let mut bytes = vec![0; if typed { 5 } else { 4 }];
    from.read_exact(&mut bytes).await.ok()?;
    let head = bytes.len();
    let length = i32::from_be_bytes(bytes[head - 4..].try_into().unwrap());
    bytes.resize(head + usize::try_from(length - 4).unwrap(), 0);
    from.read_exact(&mut bytes[head..]).await.ok()?;
    Some(bytes)
}
