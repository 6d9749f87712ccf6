//! Databases of one's own on a server, with names that do not collide.

use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Client, Config, NoTls};

use super::{Server, ServerError};

/// All names start like this, so that leftovers can be told from other people's databases.
const PREFIX: &str = "batchkit_throwaway_";
/// Leftovers are removed when they are this old and nobody is connected.
const LEFTOVER_SECONDS: u64 = 6 * 3_600;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A database of one's own. On a server that was not started here it is dropped with this value.
#[derive(Debug)]
pub struct Database {
    config: Config,
    name: String,
    /// How to connect for dropping it; `None` where the whole server goes.
    dropped_from: Option<Config>,
}

impl Database {
    pub(super) async fn create(server: &Server, hint: &str) -> Result<Self, ServerError> {
        let hint: String = hint.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let name = format!("{PREFIX}{now}_{}_{}_{hint}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        server.connect().await?.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await?;
        let mut config = server.config.clone();
        config.dbname(&name);
        let dropped_from = server.launched.is_none().then(|| server.config.clone());
        Ok(Database { config, name, dropped_from })
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to connect to it.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same database through a socket in another folder; it is dropped with this value, not with that.
    #[must_use]
    pub fn through(&self, folder: &Path) -> Database {
        let mut config = Config::new();
        config.host_path(folder).port(self.config.get_ports().first().copied().unwrap_or(5432)).dbname(&self.name);
        if let Some(user) = self.config.get_user() {
            config.user(user);
        }
        Database { config, name: self.name.clone(), dropped_from: None }
    }

    /// A connection to it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(&self) -> Result<Client, ServerError> {
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A pool of at most so many connections to it.
    ///
    /// # Errors
    /// Never, with settings like these; the pool connects when it is used.
    pub fn pool(&self, max_size: usize) -> Result<Pool, ServerError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.config.clone(), NoTls, recycling);
        let limit = Some(Duration::from_secs(60));
        let builder = Pool::builder(manager).max_size(max_size).runtime(Runtime::Tokio1);
        let builder = builder.wait_timeout(limit).create_timeout(limit).recycle_timeout(limit);
        builder.build().map_err(|error| ServerError::while_doing("building a pool", error))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(config) = self.dropped_from.take() else { return };
        let sql = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
        // Drop cannot wait for a future of the runtime that is running it: another thread has one of its own.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let dropped = async {
                    let (client, connection) = config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    client.batch_execute(&sql).await
                };
                // What cannot be dropped now is swept by a later run.
                let _ = tokio::time::timeout(Duration::from_secs(10), dropped).await;
            });
        });
        let _ = dropping.join();
    }
}

/// Removes databases of processes that were killed: old ones, to which nobody is connected.
pub(super) async fn sweep(client: &Client) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let unused = "SELECT datname FROM pg_database d WHERE starts_with(datname, $1) \
                  AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname)";
    for row in client.query(unused, &[&PREFIX]).await.unwrap_or_default() {
        let name: String = row.get(0);
        let made = name[PREFIX.len()..].split('_').next().and_then(|seconds| seconds.parse::<u64>().ok());
        if made.is_some_and(|made| made + LEFTOVER_SECONDS < now) {
            // Another run may sweep the same one.
            let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\"")).await;
        }
    }
}
