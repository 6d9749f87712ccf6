//! Which connections know statements by their names.
//!
//! A connection is told from others by its cache of the driver's statements, which deadpool gives each of them. A name
//! that a connection has lost, by a `DISCARD ALL` or behind a pooler that lends it one backend after the other, may be
//! lost on all others too: from then on it is not used in this process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use deadpool_postgres::StatementCache;
use foldhash::fast::RandomState;

/// What the connections of this process know.
pub(super) static NAMED: LazyLock<Named<StatementCache>> = LazyLock::new(Named::default);

/// Which connections know which statements.
#[derive(Debug)]
pub(super) struct Named<C>(Mutex<Names<C>>);

#[derive(Debug)]
struct Names<C> {
    known: HashMap<Key, (Weak<C>, bool), RandomState>,
    /// Statements whose names are not used any longer. (They are few: one for each kind of settings.)
    lost: Vec<u64>,
}

/// A connection, by its cache's address, and a statement by its number. The address is not given to another cache as
/// long as there is a weak pointer to this one.
type Key = (usize, u64);

impl<C> Default for Named<C> {
    fn default() -> Self {
        Named(Mutex::new(Names { known: HashMap::default(), lost: Vec::new() }))
    }
}

impl<C> Named<C> {
    fn names(&self) -> MutexGuard<'_, Names<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the connection knows the statement; `None` where it has not come across it yet.
    pub(super) fn knows(&self, connection: &Arc<C>, number: u64) -> Option<bool> {
        let names = self.names();
        names.known.get(&key(connection, number)).map(|(_, knows)| *knows && !names.lost.contains(&number))
    }

    /// From now on the connection knows the statement, or does not.
    pub(super) fn note(&self, connection: &Arc<C>, number: u64, knows: bool) {
        let mut names = self.names();
        let key = key(connection, number);
        if !names.known.contains_key(&key) {
            // Connections are few, and rarely new.
            names.known.retain(|_, (connection, _)| connection.strong_count() > 0);
        }
        names.known.insert(key, (Arc::downgrade(connection), knows));
    }

    /// Whether no connection is to be told the statement's name.
    pub(super) fn is_lost(&self, number: u64) -> bool {
        self.names().lost.contains(&number)
    }

    /// From now on no connection is asked for the statement by its name.
    pub(super) fn lose(&self, number: u64) {
        let mut names = self.names();
        if !names.lost.contains(&number) {
            names.lost.push(number);
        }
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
        assert_eq!(named.names().known.len(), 2);
    }

    #[test]
    fn what_one_has_lost_nobody_is_asked_for() {
        let named = Named::default();
        let [one, other] = [1, 2].map(Arc::new);
        named.note(&one, 7, true);
        named.note(&one, 8, true);
        named.lose(7);
        assert!(named.is_lost(7) && !named.is_lost(8));
        assert_eq!(
            [named.knows(&one, 7), named.knows(&one, 8), named.knows(&other, 7)],
            [Some(false), Some(true), None]
        );
    }
}
