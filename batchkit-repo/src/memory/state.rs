//! The tables of a database in memory, and its open transactions.
//!
//! A row that a transaction writes has its new form beside the committed one until the transaction ends: others go
//! on seeing the latter, and wait if they want to write the row too. So there is one writer of a row at a time, and
//! an undo list per transaction is all that a rollback needs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use batchkit::backend::{ErrorBuilder, declared_type};
use batchkit::model::{Column as ModelColumn, ColumnKind, Model, UniqueKey};
use batchkit::wire::ColumnType;
use batchkit::{Error, ErrorKind, Result};
use postgres_types::Type;
use tokio::sync::watch;

use super::defaults::{fill_of, on_update_of};
use super::table::{Column, Fill, Row, RowId, Slot, Table, TxId, field};

/// All that a database in memory holds.
pub(super) struct State {
    pub(super) tables: Vec<Table>,
    pub(super) references: Vec<Reference>,
    pub(super) clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    models: HashMap<usize, Arc<Mapped>>,
    places: HashMap<(String, String), usize>,
    transactions: HashMap<TxId, Transaction>,
    next_transaction: TxId,
}

/// A model's place among the tables.
pub(super) struct Mapped {
    pub(super) model: &'static Model,
    /// The table.
    pub(super) table: usize,
    /// The table's column of each of the model's.
    pub(super) columns: Vec<usize>,
    /// The types of the model's columns.
    pub(super) types: Vec<ColumnType>,
}

impl Mapped {
    /// The table's column that marks rows as deleted.
    pub(super) fn mark(&self) -> Option<usize> {
        self.model.soft_delete().map(|column| self.columns[column])
    }
}

/// A foreign key.
pub(super) struct Reference {
    pub(super) name: String,
    /// The table that refers, and its columns in the order of the other's key.
    pub(super) child: usize,
    pub(super) columns: Vec<usize>,
    /// The table that is referred to, and its key.
    pub(super) parent: usize,
    pub(super) key: usize,
    pub(super) on_delete: OnDelete,
}

/// What becomes of rows whose referenced row is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDelete {
    /// The delete is refused: `NO ACTION`, PostgreSQL's own default.
    #[default]
    Refuse,
    /// They are deleted too: `CASCADE`.
    Cascade,
    /// Their reference becomes NULL: `SET NULL`.
    SetNull,
}

/// An open transaction.
struct Transaction {
    /// What every row's place was before, in the order of the writes.
    undo: Vec<(usize, RowId, Slot)>,
    began: SystemTime,
    waits_for: Option<TxId>,
    /// Gone with the transaction, which those who wait for it see.
    ended: watch::Sender<()>,
}

impl State {
    pub(super) fn new() -> Self {
        State {
            tables: Vec::new(),
            references: Vec::new(),
            clock: Arc::new(SystemTime::now),
            models: HashMap::new(),
            places: HashMap::new(),
            transactions: HashMap::new(),
            next_transaction: 0,
        }
    }

    /// The place of a model's table, which is made at its first use. `types` are those that were declared.
    pub(super) fn mapped(&mut self, model: &'static Model, types: &[(usize, Type)]) -> Result<Arc<Mapped>> {
        let address = std::ptr::from_ref(model).addr();
        if let Some(mapped) = self.models.get(&address) {
            return match types.iter().find(|(column, ty)| mapped.types[*column].ty() != ty) {
                None => Ok(Arc::clone(mapped)),
                Some((column, _)) => {
                    let what = "the column's type is declared before the table is used";
                    Err(config(model, what, Some(model.columns[*column].name)))
                }
            };
        }
        let place = (model.schema.unwrap_or("public").to_owned(), model.table.to_owned());
        let known = self.places.get(&place).copied();
        let mut made = Table::new();
        let number = known.unwrap_or(self.tables.len());
        let table = if known.is_some() { &mut self.tables[number] } else { &mut made };
        let (columns, types) = adopt(table, model, types)?;
        for key in model.keys() {
            let columns: Vec<usize> = key.columns.iter().map(|&column| columns[column]).collect();
            if table.key(&columns).is_none() {
                table.add_key(constraint_name(model, key), columns);
            }
        }
        if known.is_none() {
            self.tables.push(made);
            self.places.insert(place, number);
        }
        let mapped = Arc::new(Mapped { model, table: number, columns, types });
        self.models.insert(address, Arc::clone(&mapped));
        Ok(mapped)
    }

    /// Opens a transaction.
    pub(super) fn begin(&mut self) -> TxId {
        self.next_transaction += 1;
        let began = (self.clock)();
        let transaction = Transaction { undo: Vec::new(), began, waits_for: None, ended: watch::Sender::new(()) };
        self.transactions.insert(self.next_transaction, transaction);
        self.next_transaction
    }

    /// When a transaction began.
    pub(super) fn began(&self, tx: TxId) -> SystemTime {
        self.transactions.get(&tx).map_or(SystemTime::UNIX_EPOCH, |transaction| transaction.began)
    }

    /// A point of a transaction to come back to.
    pub(super) fn mark(&self, tx: TxId) -> usize {
        self.transactions.get(&tx).map_or(0, |transaction| transaction.undo.len())
    }

    /// Takes back what a transaction wrote since.
    pub(super) fn undo_to(&mut self, tx: TxId, mark: usize) {
        let Some(transaction) = self.transactions.get_mut(&tx) else { return };
        let undone = transaction.undo.split_off(mark.min(transaction.undo.len()));
        for (table, row, slot) in undone.into_iter().rev() {
            self.tables[table].put(row, slot);
        }
    }

    /// Ends a transaction; what it wrote is in, or gone.
    pub(super) fn end(&mut self, tx: TxId, commit: bool) {
        if !commit {
            self.undo_to(tx, 0);
        }
        let Some(transaction) = self.transactions.remove(&tx) else { return };
        for (table, row, _) in transaction.undo {
            let slot = self.tables[table].slot(row);
            // A row that was written more than once is settled by now.
            if let Some((_, committed)) = slot.pending.filter(|(writer, _)| *writer == tx) {
                self.tables[table].put(row, Slot { committed, pending: None });
            }
        }
    }

    /// Writes a row; `None` deletes it. No rival writes it.
    pub(super) fn write(&mut self, tx: TxId, table: usize, row: RowId, new: Option<Row>) {
        let before = self.tables[table].slot(row);
        self.tables[table].put(row, Slot { committed: before.committed.clone(), pending: Some((tx, new)) });
        if let Some(transaction) = self.transactions.get_mut(&tx) {
            transaction.undo.push((table, row, before));
        }
    }

    /// Has a transaction wait for another one's end.
    pub(super) fn wait(&mut self, tx: TxId, rival: TxId) -> Result<watch::Receiver<()>> {
        let mut next = Some(rival);
        while let Some(waiting) = next {
            if waiting == tx {
                let what = "the server refused: deadlock detected";
                return Err(ErrorBuilder::new(ErrorKind::Database, what).sqlstate("40P01").build());
            }
            next = self.transactions.get(&waiting).and_then(|transaction| transaction.waits_for);
        }
        let ended = self.transactions.get(&rival).map(|rival| rival.ended.subscribe());
        if let Some(transaction) = self.transactions.get_mut(&tx) {
            transaction.waits_for = Some(rival);
        }
        // One that has ended already is waited for no longer: its channel is closed.
        Ok(ended.unwrap_or_else(|| watch::Sender::new(()).subscribe()))
    }

    /// The transaction waits no longer.
    pub(super) fn stop_waiting(&mut self, tx: TxId) {
        if let Some(transaction) = self.transactions.get_mut(&tx) {
            transaction.waits_for = None;
        }
    }
}

/// Takes a model's columns into the table: each has to fit what is known of it.
fn adopt(table: &mut Table, model: &Model, declared: &[(usize, Type)]) -> Result<(Vec<usize>, Vec<ColumnType>)> {
    let (mut columns, mut types, mut mismatches) = (Vec::new(), Vec::new(), Vec::new());
    let mut added = Vec::new();
    for (position, column) in model.columns.iter().enumerate() {
        let said = declared.iter().find(|(declared, _)| *declared == position).map(|(_, ty)| ty.clone());
        let known = table.column(column.name);
        let of = said.or_else(|| known.map(|known| table.columns[known].ty.clone()));
        let ty = match of {
            None => declared_type(model, column)?,
            Some(ty) if !column.accepts(&ty) => {
                let (name, field, rust) = (column.name, column.field, column.rust_type);
                mismatches.push(format!("column {name:?} is {ty}, which field `{field}: {rust}` does not fit"));
                continue;
            }
            Some(ty) => {
                let not_null = column.nullable.is_some_and(|nullable| !nullable(&ty));
                ColumnType::new(ty, not_null, |ty| column.accepts(ty))
            }
        };
        let holds_null = |known: usize| {
            table.slots().any(|(_, slot)| slot.visible(None).is_some_and(|row| field(row, known).is_none()))
        };
        if ty.not_null() && known.is_none_or(|known| !table.columns[known].not_null) {
            let known = known.unwrap_or(table.columns.len() + added.len());
            if holds_null(known) {
                let (name, field, rust) = (column.name, column.field, column.rust_type);
                mismatches.push(format!("column {name:?} holds NULL, but field `{field}: {rust}` is no Option"));
                continue;
            }
        }
        let at = known.unwrap_or_else(|| {
            added.push(new_column(model, column, position, &ty));
            table.columns.len() + added.len() - 1
        });
        columns.push(at);
        types.push(ty);
    }
    if !mismatches.is_empty() {
        let what = "the model does not match the table";
        let error = ErrorBuilder::new(ErrorKind::Schema, what).table(model.display_name()).mismatches(mismatches);
        return Err(error.build());
    }
    table.columns.extend(added);
    for ((&at, ty), column) in columns.iter().zip(&types).zip(model.columns) {
        let known = &mut table.columns[at];
        known.not_null |= ty.not_null();
        // A model that leaves a column to the server says more of it than one that gives it.
        let says = column.kind != ColumnKind::Plain || column.insert_expression().is_some();
        if says && matches!(known.fill, Fill::Null) {
            known.fill = new_column(model, column, usize::MAX, ty).fill;
        }
        if known.on_update.is_none() {
            known.on_update = column.on_update.map(on_update_of);
        }
    }
    Ok((columns, types))
}

fn new_column(model: &Model, column: &ModelColumn, position: usize, ty: &ColumnType) -> Column {
    let in_key = model.keys().any(|key| key.columns.contains(&position));
    Column {
        name: column.name.to_owned(),
        ty: ty.ty().clone(),
        not_null: ty.not_null(),
        fill: fill_of(column, ty, in_key),
        on_update: column.on_update.map(on_update_of),
    }
}

/// The name that PostgreSQL gives to a key's constraint.
fn constraint_name(model: &Model, key: &UniqueKey) -> String {
    if model.key.is_some_and(|primary| primary.columns == key.columns) {
        return format!("{}_pkey", model.table);
    }
    let columns: Vec<&str> = key.columns.iter().map(|&column| model.columns[column].name).collect();
    format!("{}_{}_key", model.table, columns.join("_"))
}

/// A refusal of what is asked of a model's table.
pub(super) fn config(model: &Model, what: &str, column: Option<&str>) -> Error {
    let error = ErrorBuilder::new(ErrorKind::Config, what).table(model.display_name());
    match column {
        Some(column) => error.column(column).build(),
        None => error.build(),
    }
}
