//! One table: its columns and what they are filled with, its rows, and its unique keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use batchkit::Result;
use bytes::Bytes;
use postgres_types::{Kind, Type};

use super::value::Value;

/// The fields of a row in the order of the table's columns; those that are not there are NULL.
pub(super) type Row = Arc<[Option<Bytes>]>;

/// A transaction's number.
pub(super) type TxId = u64;

/// A row's number; rows are numbered as they are inserted.
pub(super) type RowId = u64;

/// What a declared closure makes of a row.
pub(super) type Rule<T> = Arc<dyn Fn(&[Option<Bytes>]) -> Result<T> + Send + Sync>;

/// A table.
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) keys: Vec<Key>,
    pub(super) checks: Vec<(String, Rule<bool>)>,
    rows: BTreeMap<RowId, Slot>,
    next_row: RowId,
}

/// A column.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) ty: Type,
    pub(super) not_null: bool,
    pub(super) fill: Fill,
    pub(super) on_update: Option<OnUpdate>,
}

/// Where a new row has a column's value from, if it does not give it.
#[derive(Clone)]
pub(super) enum Fill {
    /// Nowhere: it is NULL.
    Null,
    /// The next number; never handed out twice, also not after a rollback.
    Sequence(i64),
    /// A random UUID.
    Uuid,
    /// The time at which the transaction began.
    Now,
    /// A declared default.
    Default(Arc<dyn Fn() -> Result<Option<Bytes>> + Send + Sync>),
    /// It is worked out of the row, also at every update.
    Computed(Rule<Option<Bytes>>),
    /// What the model's `on_insert` says is known to a server only.
    Expression(&'static str),
    /// The server would, but how was not declared.
    Undeclared {
        /// Whether it would be worked out of the row.
        computed: bool,
    },
}

/// What sets a column at every update.
#[derive(Clone)]
pub(super) enum OnUpdate {
    /// The time at which the transaction began.
    Now,
    /// A declared closure over the row as it was.
    Rule(Rule<Option<Bytes>>),
    /// An expression that is only known to a server.
    Undeclared(&'static str),
}

/// A unique key.
pub(super) struct Key {
    /// The constraint's name.
    pub(super) name: String,
    /// Its columns.
    pub(super) columns: Vec<usize>,
    /// The rows that have a value, committed or not.
    entries: HashMap<Vec<Value>, Vec<RowId>>,
}

/// A row's place: what all see of it, and what the transaction sees that writes it.
#[derive(Clone, Default)]
pub(super) struct Slot {
    pub(super) committed: Option<Row>,
    /// The transaction, and the row as it leaves it: `None` is deleted.
    pub(super) pending: Option<(TxId, Option<Row>)>,
}

impl Slot {
    /// What a transaction sees.
    pub(super) fn visible(&self, tx: Option<TxId>) -> Option<&Row> {
        match &self.pending {
            Some((writer, row)) if Some(*writer) == tx => row.as_ref(),
            _ => self.committed.as_ref(),
        }
    }

    /// Another transaction that writes the row.
    pub(super) fn rival(&self, tx: TxId) -> Option<TxId> {
        self.pending.as_ref().map(|(writer, _)| *writer).filter(|writer| *writer != tx)
    }

    /// The forms that the row has, for whomever.
    pub(super) fn versions(&self) -> impl Iterator<Item = &Row> {
        let pending = self.pending.as_ref().and_then(|(_, row)| row.as_ref());
        self.committed.iter().chain(pending)
    }
}

/// Whether a mark of deletion of this type is a flag, and not a time.
pub(super) fn is_flag(ty: &Type) -> bool {
    match ty.kind() {
        Kind::Domain(base) => is_flag(base),
        _ => *ty == Type::BOOL,
    }
}

/// A field of a row.
pub(super) fn field(row: &[Option<Bytes>], column: usize) -> Option<&Bytes> {
    row.get(column).and_then(Option::as_ref)
}

impl Table {
    /// A table without columns.
    pub(super) fn new() -> Self {
        let (columns, keys, checks) = (Vec::new(), Vec::new(), Vec::new());
        Table { columns, keys, checks, rows: BTreeMap::new(), next_row: 0 }
    }

    /// The position of the column called so.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The key over exactly these columns, in whatever order.
    pub(super) fn key(&self, columns: &[usize]) -> Option<usize> {
        let same = |key: &Key| key.columns.len() == columns.len() && columns.iter().all(|c| key.columns.contains(c));
        self.keys.iter().position(same)
    }

    /// Adds a unique key; the number of a value that rows have twice is no matter of this place.
    pub(super) fn add_key(&mut self, name: String, columns: Vec<usize>) {
        let mut key = Key { name, columns, entries: HashMap::new() };
        for (&id, slot) in &self.rows {
            slot.versions().for_each(|row| key.enter(&self.columns, id, row));
        }
        self.keys.push(key);
    }

    /// The value of a field, by its column's equality.
    pub(super) fn value(&self, column: usize, bytes: &Bytes) -> Value {
        Value::of(&self.columns[column].ty, bytes)
    }

    /// The values of these columns of a row; `None` if one is NULL.
    pub(super) fn values(&self, columns: &[usize], row: &[Option<Bytes>]) -> Option<Vec<Value>> {
        columns.iter().map(|&column| Some(self.value(column, field(row, column)?))).collect()
    }

    /// Whether a column has another value in two rows (`IS DISTINCT FROM`).
    pub(super) fn differs(&self, column: usize, one: &[Option<Bytes>], other: &[Option<Bytes>]) -> bool {
        match (field(one, column), field(other, column)) {
            (Some(one), Some(other)) => one != other && self.value(column, one) != self.value(column, other),
            (one, other) => one.is_some() != other.is_some(),
        }
    }

    /// The rows that have this value of a key, committed or not.
    pub(super) fn with_key(&self, key: usize, value: &[Value]) -> impl Iterator<Item = (RowId, &Slot)> {
        let ids = self.keys[key].entries.get(value).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| Some((*id, self.rows.get(id)?)))
    }

    /// The row with this value of a key that a transaction sees.
    pub(super) fn find(&self, key: usize, value: &[Value], tx: Option<TxId>) -> Option<(RowId, &Slot, &Row)> {
        let columns = &self.keys[key].columns;
        self.with_key(key, value).find_map(|(id, slot)| {
            let row = slot.visible(tx)?;
            (self.values(columns, row).as_deref() == Some(value)).then_some((id, slot, row))
        })
    }

    /// Whether a row is not marked as deleted; `mark` is the column that tells, if there is one.
    pub(super) fn is_live(&self, mark: Option<usize>, row: &[Option<Bytes>]) -> bool {
        mark.is_none_or(|mark| match (is_flag(&self.columns[mark].ty), field(row, mark)) {
            (true, flag) => flag.is_some_and(|flag| flag[..] == [0]),
            (false, time) => time.is_none(),
        })
    }

    /// All rows that a transaction sees, in the order in which they were inserted.
    pub(super) fn visible(&self, tx: Option<TxId>) -> impl Iterator<Item = &Row> {
        self.rows.values().filter_map(move |slot| slot.visible(tx))
    }

    /// All rows' places.
    pub(super) fn slots(&self) -> impl Iterator<Item = (RowId, &Slot)> {
        self.rows.iter().map(|(id, slot)| (*id, slot))
    }

    /// A place for a new row.
    pub(super) fn reserve(&mut self) -> RowId {
        self.next_row += 1;
        self.next_row
    }

    /// A row's place as it is.
    pub(super) fn slot(&self, id: RowId) -> Slot {
        self.rows.get(&id).cloned().unwrap_or_default()
    }

    /// Puts a row's place as it is to be, and the keys with it. An empty one is gone.
    pub(super) fn put(&mut self, id: RowId, slot: Slot) {
        let before = self.rows.remove(&id).unwrap_or_default();
        for key in &mut self.keys {
            before.versions().for_each(|row| key.leave(&self.columns, id, row));
            slot.versions().for_each(|row| key.enter(&self.columns, id, row));
        }
        if slot.committed.is_some() || slot.pending.is_some() {
            self.rows.insert(id, slot);
        }
    }
}

impl Key {
    fn value(&self, columns: &[Column], row: &[Option<Bytes>]) -> Option<Vec<Value>> {
        self.columns.iter().map(|&column| Some(Value::of(&columns[column].ty, field(row, column)?))).collect()
    }

    fn enter(&mut self, columns: &[Column], id: RowId, row: &Row) {
        let Some(value) = self.value(columns, row) else { return };
        let ids = self.entries.entry(value).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }

    fn leave(&mut self, columns: &[Column], id: RowId, row: &Row) {
        let Some(value) = self.value(columns, row) else { return };
        if let Some(ids) = self.entries.get_mut(&value) {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                self.entries.remove(&value);
            }
        }
    }
}
