//! Relations: which rows are related to keys, among those that are stored or that were just inserted.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use batchkit::Result;
use batchkit::backend::{RawRow, RelatedKeys, RelatedRows};
use batchkit::model::{Model, RelationOrder, Relationship};
use batchkit::wire::ColumnType;

use super::Memory;
use super::graph::Inserted;
use super::state::{Mapped, State};
use super::table::{Row, TxId, field};
use super::value::Value;

/// All rows that a transaction sees.
pub(super) struct Relatives<'m> {
    pub(super) memory: &'m Memory,
    pub(super) tx: Option<TxId>,
    /// Whether rows that are marked as deleted are among them.
    pub(super) with_deleted: bool,
}

/// The rows that were inserted below others.
pub(super) struct Children<'m> {
    pub(super) memory: &'m Memory,
    pub(super) inserted: &'m Inserted,
}

/// The positions of keys by their values; a value may be that of several.
type Owners = HashMap<Vec<Value>, Vec<usize>>;

#[async_trait]
impl RelatedRows for Relatives<'_> {
    fn types(&self, model: &'static Model) -> Result<Arc<[ColumnType]>> {
        types(self.memory, model)
    }

    async fn related(&mut self, asked: RelatedKeys) -> Result<Vec<(usize, RawRow)>> {
        let state = &mut *self.memory.lock();
        let of = asked.association;
        let target = state.mapped((of.target)(), &[])?;
        let mut owners = owners(state, &asked)?;
        if let Some(through) = &of.through {
            let link = state.mapped((through.model)(), &[])?;
            let mut linked = Owners::new();
            for row in self.visible(state, &link) {
                if let Some(keys) = values(&link, (through.columns)(), row).and_then(|value| owners.get(&value))
                    && let Some(value) = values(&link, through.target_columns, row)
                {
                    linked.entry(value).or_default().extend(keys);
                }
            }
            owners = linked;
        }
        Ok(answer(&asked, &target, owned(self.visible(state, &target), &asked, &target, &owners)))
    }
}

impl Relatives<'_> {
    fn visible<'s>(&self, state: &'s State, mapped: &Mapped) -> impl Iterator<Item = &'s Row> {
        let mark = mapped.mark().filter(|_| !self.with_deleted);
        let table = &state.tables[mapped.table];
        table.visible(self.tx).filter(move |row| table.is_live(mark, row))
    }
}

#[async_trait]
impl RelatedRows for Children<'_> {
    fn types(&self, model: &'static Model) -> Result<Arc<[ColumnType]>> {
        types(self.memory, model)
    }

    async fn related(&mut self, asked: RelatedKeys) -> Result<Vec<(usize, RawRow)>> {
        let state = &mut *self.memory.lock();
        let of = asked.association;
        let target = state.mapped((of.target)(), &[])?;
        let owners = owners(state, &asked)?;
        // They stay in the order in which they were given.
        Ok(raw(&target, owned(self.inserted.rows(of).iter(), &asked, &target, &owners)))
    }
}

fn types(memory: &Memory, model: &'static Model) -> Result<Arc<[ColumnType]>> {
    Ok(memory.lock().mapped(model, &[])?.types.as_slice().into())
}

fn owners(state: &mut State, asked: &RelatedKeys) -> Result<Owners> {
    let own = state.mapped(asked.model, &[])?;
    let mut owners = Owners::new();
    for (position, key) in asked.keys.iter().enumerate() {
        let parts = asked.association.columns.iter().zip(key);
        let value = parts.map(|(&column, part)| Some(Value::of(own.types[column].ty(), part.as_ref()?)));
        if let Some(value) = value.collect::<Option<Vec<_>>>() {
            owners.entry(value).or_default().push(position);
        }
    }
    Ok(owners)
}

/// The values of these of the model's columns in a row; `None` if one is NULL.
fn values(mapped: &Mapped, columns: &[usize], row: &Row) -> Option<Vec<Value>> {
    let value = |&column: &usize| Some(Value::of(mapped.types[column].ty(), field(row, mapped.columns[column])?));
    columns.iter().map(value).collect()
}

/// Those of these rows that belong to keys, each with the key's position.
fn owned<'r>(
    rows: impl Iterator<Item = &'r Row>,
    asked: &RelatedKeys,
    target: &Mapped,
    owners: &Owners,
) -> Vec<(usize, Row)> {
    let columns = (asked.association.target_columns)();
    let keys = |row| values(target, columns, row).and_then(|value| owners.get(&value)).into_iter().flatten();
    rows.flat_map(|row| keys(row).map(|&key| (key, Arc::clone(row)))).collect()
}

/// The rows in the relation's order; of several without one, in that of their key.
fn answer(asked: &RelatedKeys, target: &Mapped, mut found: Vec<(usize, Row)>) -> Vec<(usize, RawRow)> {
    let of = asked.association;
    let by_key: Vec<RelationOrder>;
    let order = match of.order {
        [] if matches!(of.relationship, Relationship::HasMany | Relationship::ManyToMany) => {
            let key = target.model.key.map_or(&[][..], |key| key.columns);
            by_key = key.iter().map(|&column| RelationOrder { column, descending: false }).collect();
            &by_key[..]
        }
        order => order,
    };
    let place = |row: &Row| -> Vec<(Option<_>, Option<Reverse<_>>)> {
        let part = |by: &RelationOrder| {
            let bytes = field(row, target.columns[by.column]);
            let value = bytes.map(|bytes| Value::of(target.types[by.column].ty(), bytes));
            // NULL is above all values.
            let value = (value.is_none(), value);
            if by.descending { (None, Some(Reverse(value))) } else { (Some(value), None) }
        };
        order.iter().map(part).collect()
    };
    found.sort_by_cached_key(|(_, row)| place(row));
    raw(target, found)
}

fn raw(target: &Mapped, found: Vec<(usize, Row)>) -> Vec<(usize, RawRow)> {
    let fields = |row: &Row| target.columns.iter().map(|&column| field(row, column).cloned()).collect();
    found.into_iter().map(|(key, row)| (key, fields(&row))).collect()
}
