//! What is done with each chunk, and how it is worked out anew for a table that has changed.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::error::Result;
use crate::session::Work;

/// Works out anew what is done with each chunk: the rows are encoded, and stay as they are.
#[async_trait]
pub(crate) trait Renew: Send + Sync {
    /// Forgets what was known of the table and asks again.
    ///
    /// # Errors
    /// When the table does not fit the rows any longer.
    async fn renew(&self) -> Result<Work>;
}

/// What is done with each chunk of a call.
pub(crate) struct Works {
    current: Mutex<Arc<Work>>,
    renewal: Box<dyn Renew>,
}

impl Works {
    pub(crate) fn new(work: Work, renewal: Box<dyn Renew>) -> Self {
        Works { current: Mutex::new(Arc::new(work)), renewal }
    }

    /// What is done now.
    pub(crate) fn current(&self) -> Arc<Work> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is done instead of `stale`, which did not work; another chunk may have found that out before.
    pub(super) async fn instead_of(&self, stale: &Arc<Work>) -> Result<Arc<Work>> {
        let current = self.current();
        if !Arc::ptr_eq(&current, stale) {
            return Ok(current);
        }
        let renewed = Arc::new(self.renewal.renew().await?);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&renewed);
        Ok(renewed)
    }
}
