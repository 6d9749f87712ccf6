//! Which connections know a statement by its name.
//!
//! A connection is told from others by its cache of the driver's statements, which deadpool gives each of them. It does
//! not know the name where that was refused, or was lost: behind a pooler that lends it one backend after the other,
//! or by a `DISCARD ALL`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use deadpool_postgres::StatementCache;
use foldhash::fast::RandomState;

/// What the connections of this process know.
pub(super) static NAMED: LazyLock<Named<StatementCache>> = LazyLock::new(Named::default);

/// Which connections know which statements.
#[derive(Debug)]
pub(super) struct Named<C>(Mutex<HashMap<Key, (Weak<C>, bool), RandomState>>);

/// A connection, by its cache's address, and a statement by its number. The address is not given to another cache as
/// long as there is a weak pointer to this one.
type Key = (usize, u64);

impl<C> Default for Named<C> {
    fn default() -> Self {
        Named(Mutex::default())
    }
}

impl<C> Named<C> {
    /// Whether the connection knows the statement; `None` where it has not been told.
    pub(super) fn knows(&self, connection: &Arc<C>, number: u64) -> Option<bool> {
        let named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        named.get(&key(connection, number)).map(|(_, knows)| *knows)
    }

    /// From now on the connection knows the statement, or does not.
    pub(super) fn note(&self, connection: &Arc<C>, number: u64, knows: bool) {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(connection, number);
        if !named.contains_key(&key) {
            // Connections are few, and rarely new.
            named.retain(|_, (connection, _)| connection.strong_count() > 0);
        }
        named.insert(key, (Arc::downgrade(connection), knows));
    }
}

fn key<C>(connection: &Arc<C>, number: u64) -> Key {
    (Arc::as_ptr(connection).addr(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_for_itself_until_it_is_gone() {
        let named = Named::default();
        let [one, other, third] = [1, 2, 3].map(Arc::new);
        named.note(&one, 7, true);
        assert_eq!([named.knows(&one, 7), named.knows(&one, 8), named.knows(&other, 7)], [Some(true), None, None]);
        named.note(&one, 7, false);
        named.note(&other, 7, true);
        assert_eq!([named.knows(&one, 7), named.knows(&other, 7)], [Some(false), Some(true)]);
        drop(one);
        named.note(&third, 7, true);
        assert_eq!(named.0.lock().unwrap().len(), 2);
    }
}
