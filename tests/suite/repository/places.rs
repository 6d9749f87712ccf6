//! Where the contract is run.

use batchkit::{BatchConfig, BatchSize, ReadRow};
use batchkit_repo::{Database, Memory, Repository};

use super::{graphs, habits, model};
use crate::common::{Db, database};

/// What is behind the repositories.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// PostgreSQL, with batch operations.
    Batches,
    /// PostgreSQL, by single statements.
    Single,
    /// The in-memory twin.
    Twin,
}

/// A database with the model's tables.
pub(super) struct Place {
    pub(super) way: Way,
    pub(super) database: Database,
    /// PostgreSQL's, which lives as long as this value.
    db: Option<Db>,
}

impl Place {
    pub(super) async fn new(way: Way) -> Self {
        if way == Way::Twin {
            let memory = Memory::new();
            [model::declare, graphs::declare, habits::declare].iter().for_each(|declare| declare(&memory));
            return Place { way, database: memory.into(), db: None };
        }
        let db = database(&[model::TABLES, graphs::TABLES, habits::TABLES].concat()).await;
        Place { way, database: db.pool.clone().into(), db: Some(db) }
    }

    /// A repository with chunks of four rows.
    pub(super) fn repository<E: ReadRow + 'static>(&self) -> Repository<E> {
        self.with(BatchConfig::default())
    }

    /// The same with other settings.
    pub(super) fn with<E: ReadRow + 'static>(&self, config: BatchConfig) -> Repository<E> {
        let config = BatchConfig { batch_size: BatchSize::Rows(4), ..config };
        let builder = Repository::<E>::builder(&self.database).config(config);
        builder.use_batch_operations(self.way != Way::Single).build().unwrap()
    }

    /// Comes back when so many calls wait for another transaction. The twin's do as soon as they are polled.
    pub(super) async fn until_waiting(&self, calls: i64) {
        let Some(db) = &self.db else {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            return;
        };
        let waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid IN \
                       (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        while db.number(waiting).await < calls {
            tokio::task::yield_now().await;
        }
    }
}
