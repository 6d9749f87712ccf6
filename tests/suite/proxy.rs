//! A proxy in front of the server that knows where the protocol's messages end, and can do harm there.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

/// What is done at a message. The first ones are done to one message of one connection; the last two to all
/// messages of that way from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// The connection is cut before the message goes on.
    CutBefore,
    /// Half of the message goes on, then the connection is cut.
    CutInside,
    /// The message goes on, then the connection is cut.
    CutAfter,
    /// The connection is closed with the message unread, which its sender is told as a reset.
    Reset,
    /// In place of the message the client is told such an error, as a pooler does that has lost the server; then the
    /// connection is cut.
    Part(&'static str, &'static str),
    /// Where its text begins with this word, it goes on as something that the server refuses.
    Refuse(&'static str),
    /// The client's side is cut; what it has sent, this message too, goes on when it is let go.
    Hold,
    /// This message and those behind it wait until they are let go. The connection lives.
    Stall,
    /// Nothing goes on any more, and nobody is told.
    Silence,
    /// What is held is let go; the message goes on.
    LetGo,
    /// Every message goes on byte by byte.
    Trickle,
    /// Every message is so long on its way. Their order stays.
    Delay(Duration),
}

/// Where harm is done: at the message number `at`, from 0, that goes that way after the trap was set, or after the
/// one before it sprang.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trap {
    pub(crate) way: Way,
    pub(crate) at: usize,
    pub(crate) harm: Harm,
}

/// A proxy on a socket of its own.
pub(crate) struct Proxy {
    folder: tempfile::TempDir,
    state: Shared,
}

type Shared = Arc<watch::Sender<State>>;

#[derive(Debug, Default)]
struct State {
    traps: VecDeque<Trap>,
    to_server: usize,
    to_client: usize,
    /// What is done to every message, to the server and to the client.
    lasting: [Option<Harm>; 2],
    /// How often what is held was let go.
    let_go: usize,
    /// How many connections are held back, or were let go and have not ended.
    held: usize,
}

impl Proxy {
    /// A proxy to the server whose socket lies in this folder.
    pub(crate) fn new(server: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("batchkit-proxy-").tempdir().unwrap();
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let (state, server) = (Shared::default(), socket(server));
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (state, server) = (Arc::clone(&accepting), server.clone());
                tokio::spawn(async move {
                    if let Ok(server) = UnixStream::connect(server).await {
                        connection(client, server, &state).await;
                    }
                });
            }
        });
        Proxy { folder, state }
    }

    /// The folder to connect to.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sets traps that spring one after the other, instead of all others, and counts messages from 0 again.
    pub(crate) fn set(&self, traps: impl IntoIterator<Item = Trap>) {
        self.state.send_modify(|state| {
            let (let_go, held) = (state.let_go, state.held);
            *state = State { traps: traps.into_iter().collect(), let_go, held, ..State::default() };
        });
    }

    /// How many traps have not sprung.
    pub(crate) fn set_still(&self) -> usize {
        self.state.borrow().traps.len()
    }

    /// Waits until all traps have sprung.
    pub(crate) async fn sprung(&self) {
        // The sender lives in `self`.
        let _ = self.state.subscribe().wait_for(|state| state.traps.is_empty()).await;
    }

    /// Lets go of what is held.
    pub(crate) fn let_go(&self) {
        self.state.send_modify(|state| state.let_go += 1);
    }

    /// Waits until the server has taken in what was held and let go, and has ended these connections.
    pub(crate) async fn nothing_held(&self) {
        let _ = self.state.subscribe().wait_for(|state| state.held == 0).await;
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join(".s.PGSQL.5432")
}

/// What is done at the next message that goes this way, and how often what is held had been let go by then.
fn next(state: &Shared, way: Way) -> (Option<Harm>, usize) {
    let mut answer = (None, 0);
    state.send_modify(|state| {
        let (count, lasting) = match way {
            Way::ToServer => (&mut state.to_server, &mut state.lasting[0]),
            Way::ToClient => (&mut state.to_client, &mut state.lasting[1]),
        };
        let number = *count;
        *count += 1;
        answer = (*lasting, state.let_go);
        if let Some(trap) = state.traps.front().copied().filter(|trap| trap.way == way && trap.at <= number) {
            answer.0 = Some(trap.harm);
            match trap.harm {
                Harm::Trickle | Harm::Delay(_) => *lasting = answer.0,
                Harm::LetGo => state.let_go += 1,
                Harm::Hold => state.held += 1,
                _ => {}
            }
            state.traps.pop_front();
            (state.to_server, state.to_client) = (0, 0);
        }
    });
    answer
}

/// Waits until what is held is let go once more.
async fn let_go(state: &Shared, before: usize) {
    let _ = state.subscribe().wait_for(|state| state.let_go > before).await;
}

/// Carries one connection's messages until one side ends or harm is done.
async fn connection(mut client: UnixStream, mut server: UnixStream, state: &Shared) {
    // Halves that are borrowed do not end their direction when they are dropped: both sockets are closed at once.
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    let held = tokio::select! {
        held = carry(client_reads, server_writes, Way::ToServer, state) => held,
        held = carry(server_reads, client_writes, Way::ToClient, state) => {
            debug_assert!(held.is_none(), "only what goes to the server is held back");
            None
        }
    };
    let Some((mut bytes, before)) = held else { return };
    // What else the client has sent until it notices is part of what is held.
    let _ = client.shutdown().await;
    let _ = client.read_to_end(&mut bytes).await;
    drop(client);
    let_go(state, before).await;
    // The server may have ended the connection meanwhile: that is what a fence does.
    if server.write_all(&bytes).await.is_ok() && server.shutdown().await.is_ok() {
        let _ = server.read_to_end(&mut bytes).await;
    }
    state.send_modify(|state| state.held -= 1);
}

/// Carries messages one way; what is held back of them, and how often what is held had been let go before.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    state: &Shared,
) -> Option<(Vec<u8>, usize)> {
    let (sender, mut on_their_way) = mpsc::unbounded_channel::<(Option<Instant>, Vec<u8>)>();
    let read = async move {
        // Each message goes out when it is due. When the other side is gone, so is the receiver.
        let send = |due, bytes| sender.send((due, bytes)).ok();
        // The first message of a client has no type.
        let mut typed = way == Way::ToClient;
        loop {
            // Harm is chosen when the message has begun: one that is reset is left unread.
            let mut bytes = vec![0];
            from.read_exact(&mut bytes).await.ok()?;
            let (harm, before) = next(state, way);
            if harm == Some(Harm::Reset) {
                return None;
            }
            read_rest(&mut from, typed, &mut bytes).await?;
            typed = true;
            match harm {
                None | Some(Harm::LetGo) => send(None, bytes)?,
                Some(Harm::Refuse(word)) => {
                    if bytes.get(5..).is_some_and(|text| text.starts_with(word.as_bytes())) {
                        bytes[5] = b'X';
                    }
                    send(None, bytes)?;
                }
                Some(Harm::CutBefore | Harm::Reset) => return None,
                Some(Harm::CutInside) => {
                    bytes.truncate(bytes.len() / 2);
                    send(None, bytes)?;
                    return None;
                }
                Some(Harm::CutAfter) => {
                    send(None, bytes)?;
                    return None;
                }
                Some(Harm::Part(severity, code)) => {
                    send(None, error_response(severity, code))?;
                    return None;
                }
                Some(Harm::Hold) => return Some((bytes, before)),
                Some(Harm::Stall) => {
                    let_go(state, before).await;
                    send(None, bytes)?;
                }
                Some(Harm::Silence) => std::future::pending().await,
                Some(Harm::Trickle) => bytes.into_iter().try_for_each(|byte| send(None, vec![byte]))?,
                Some(Harm::Delay(delay)) => send(Some(Instant::now() + delay), bytes)?,
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = on_their_way.recv().await {
            if let Some(due) = due {
                tokio::time::sleep_until(due).await;
            }
            if to.write_all(&bytes).await.is_err() {
                break;
            }
            if bytes.len() == 1 {
                // So that it is read as such.
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::join!(read, write).0
}

/// An error as poolers write it: without the field for a severity that is never translated.
fn error_response(severity: &str, code: &str) -> Vec<u8> {
    let fields = format!("S{severity}\0C{code}\0Mserver conn crashed?\0\0");
    let length = u32::try_from(4 + fields.len()).unwrap().to_be_bytes();
    [b"E", &length[..], fields.as_bytes()].concat()
}

/// Reads a message to its end, of which the first byte is there.
async fn read_rest(from: &mut (impl AsyncRead + Unpin), typed: bool, bytes: &mut Vec<u8>) -> Option<()> {
    let head = if typed { 5 } else { 4 };
    bytes.resize(head, 0);
    from.read_exact(&mut bytes[1..]).await.ok()?;
    let length = i32::from_be_bytes(bytes[head - 4..].try_into().unwrap());
    bytes.resize(head + usize::try_from(length - 4).unwrap(), 0);
    from.read_exact(&mut bytes[head..]).await.ok().map(drop)
}

/// What is delayed is late, and what is reset is told so.
mod tests {
    use super::*;
    use crate::common::{database, pool_through};

    #[tokio::test]
    async fn delayed_messages_are_late_and_in_order() {
        let db = database("").await;
        let proxy = Proxy::new(db.server_folder());
        let client = pool_through(&db, proxy.folder(), 1).get().await.unwrap();
        let statement = client.prepare("SELECT $1::int4").await.unwrap();
        let delay = Duration::from_millis(20);
        for way in [Way::ToServer, Way::ToClient] {
            proxy.set([Trap { way, at: 0, harm: Harm::Delay(delay) }]);
            let started = Instant::now();
            let asked = (0i32..200).map(|n| {
                let (client, statement) = (&client, &statement);
                async move { client.query_one(statement, &[&n]).await.unwrap().get::<_, i32>(0) }
            });
            let answered = futures_util::future::join_all(asked).await;
            assert_eq!(answered, (0..200).collect::<Vec<_>>());
            // However fast the machine is.
            assert!(started.elapsed() >= delay, "{:?}", started.elapsed());
        }
    }

    #[tokio::test]
    async fn a_reset_is_told_as_one() {
        let db = database("").await;
        let proxy = Proxy::new(db.server_folder());
        let mut client = UnixStream::connect(socket(proxy.folder())).await.unwrap();
        proxy.set([Trap { way: Way::ToServer, at: 0, harm: Harm::Reset }]);
        client.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.unwrap();
        let error = client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}
