//! Connections that count their round trips: how often something is sent after something was received.
//!
//! What a client sends without waiting for an answer in between is one round trip, however many statements it is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use deadpool_postgres::{Connect, Manager, ManagerConfig, Pool, RecyclingMethod};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use super::{Database, ServerError};

/// How many round trips the connections of a pool have made.
#[derive(Debug, Clone, Default)]
pub struct RoundTrips(Arc<AtomicUsize>);

impl RoundTrips {
    /// Those since this was asked last.
    #[must_use]
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Database {
    /// A pool of at most so many connections, and the number of their round trips. They are counted where client and
    /// connection run on one thread: there, what is sent together leaves together.
    ///
    /// # Errors
    /// Never, with settings like these; the pool connects when it is used.
    pub fn counted_pool(&self, max_size: usize) -> Result<(Pool, RoundTrips), ServerError> {
        let round_trips = RoundTrips::default();
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(self.config().clone(), Counting(round_trips.clone()), recycling);
        let pool = Pool::builder(manager).max_size(max_size).build();
        Ok((pool.map_err(|error| ServerError::while_doing("building a pool", error))?, round_trips))
    }
}

/// Connects through sockets that count.
#[derive(Debug)]
struct Counting(RoundTrips);

impl Connect for Counting {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let (config, round_trips) = (config.clone(), self.0.clone());
        Box::pin(async move {
            let Ok(socket) = open(&config).await else {
                // The driver tells why.
                let (client, connection) = config.connect(NoTls).await?;
                return Ok((client, tokio::spawn(async move { drop(connection.await) })));
            };
            let counted = Counted { socket, has_received: true, is_sending: false, receiver: None, round_trips };
            let (client, connection) = config.connect_raw(counted, NoTls).await?;
            Ok((client, tokio::spawn(async move { drop(connection.await) })))
        })
    }
}

/// A socket to the server.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

async fn open(config: &Config) -> io::Result<Box<dyn Socket>> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Unix(folder)) => Ok(Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?)),
        Some(Host::Tcp(host)) => Ok(Box::new(TcpStream::connect((host.as_str(), port)).await?)),
        None => Err(io::Error::other("no host")),
    }
}

/// A socket that counts. What is received while something waits to be sent is handed on behind that: the two are one
/// round trip, also where they are more than the socket takes at once.
struct Counted {
    socket: Box<dyn Socket>,
    has_received: bool,
    /// Whether something waits to be sent.
    is_sending: bool,
    /// Who waits to receive meanwhile.
    receiver: Option<Waker>,
    round_trips: RoundTrips,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_sending {
            self.receiver = Some(context.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.has_received |= buffer.filled().len() > before;
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.has_received) {
            self.round_trips.0.fetch_add(1, Ordering::SeqCst);
        }
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.is_sending =
            !matches!(written, Poll::Ready(Err(_))) && !matches!(written, Poll::Ready(Ok(n)) if n == bytes.len());
        if !self.is_sending
            && let Some(receiver) = self.receiver.take()
        {
            receiver.wake();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
