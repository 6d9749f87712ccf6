//! One statement: rows are inserted, updated or deleted, and what they break is found as the server finds it.

use std::collections::HashSet;
use std::sync::Arc;

use batchkit::backend::{ErrorBuilder, RawRow, Resolved};
use batchkit::{Error, ErrorKind, Outcome};
use bytes::Bytes;

use super::defaults::{number, time, uuid};
use super::state::{Mapped, OnDelete, State, config};
use super::table::{Fill, OnUpdate, Row, RowId, TxId, field};
use super::value::Value;

/// What is done with each row. Columns are the model's.
#[derive(Debug, Clone)]
pub(super) enum Verb {
    /// The row, which gives these columns, is inserted.
    Insert(Vec<usize>),
    /// The row with its key is updated, perhaps only if it changes.
    Update(Resolved, bool),
    /// It is inserted, or the row with its key is updated, perhaps only if it changes.
    Upsert(Resolved, bool),
    /// The row with this key is deleted.
    Delete(Vec<usize>),
}

/// Why a statement did not get through. What it wrote has to be taken back.
pub(super) enum Stop {
    /// Another transaction writes what it needs.
    Wait(TxId),
    /// It was refused.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// What became of a row, and the stored row.
pub(super) type Done = (Outcome, Option<Row>);

/// A statement of a transaction on a model's table.
pub(super) struct Statement<'s> {
    state: &'s mut State,
    tx: TxId,
    mapped: &'s Mapped,
    /// The table and the forms of each row that was written: before and after.
    written: Vec<(usize, Option<Row>, Option<Row>)>,
}

impl<'s> Statement<'s> {
    pub(super) fn new(state: &'s mut State, tx: TxId, mapped: &'s Mapped) -> Self {
        Statement { state, tx, mapped, written: Vec::new() }
    }

    /// Does it with all of these rows.
    pub(super) fn run(mut self, verb: &Verb, rows: &[RawRow]) -> Result<Vec<Done>, Stop> {
        self.refuse_incomplete(verb)?;
        let done = rows.iter().map(|row| self.one(verb, row)).collect::<Result<Vec<Done>, Stop>>()?;
        self.check_references()?;
        Ok(done)
    }

    fn one(&mut self, verb: &Verb, row: &RawRow) -> Result<Done, Stop> {
        match verb {
            Verb::Insert(given) => self.insert(given, row),
            Verb::Update(names, if_changed) => match self.find(&names.key, &names.given, row)? {
                None => Ok((Outcome::Missing, None)),
                Some((id, old)) => self.update(id, &old, names, *if_changed, row),
            },
            Verb::Upsert(names, if_changed) => match self.find_or_wait(&names.key, &names.given, row)? {
                None => self.insert(&names.given, row),
                Some((id, old)) => {
                    // A default is drawn before it is known that the row is not new.
                    self.new_row(&names.given, row)?;
                    let sets = !names.set.is_empty() || self.table().columns.iter().any(|c| c.on_update.is_some());
                    if sets {
                        self.update(id, &old, names, *if_changed, row)
                    } else {
                        Ok((Outcome::Unchanged, Some(old)))
                    }
                }
            },
            Verb::Delete(key) => match self.find(key, key, row)? {
                None => Ok((Outcome::Missing, None)),
                Some((id, old)) => {
                    self.write(self.mapped.table, id, Some(Arc::clone(&old)), None);
                    Ok((Outcome::Deleted, Some(old)))
                }
            },
        }
    }

    fn table(&self) -> &super::table::Table {
        &self.state.tables[self.mapped.table]
    }

    fn write(&mut self, table: usize, id: RowId, old: Option<Row>, new: Option<Row>) {
        self.state.write(self.tx, table, id, new.clone());
        self.written.push((table, old, new));
    }

    /// Refuses rows that lack a column which the table requires and nobody else sets.
    fn refuse_incomplete(&self, verb: &Verb) -> Result<(), Error> {
        let (Verb::Insert(given) | Verb::Upsert(Resolved { given, .. }, _)) = verb else { return Ok(()) };
        let given: Vec<usize> = given.iter().map(|&column| self.mapped.columns[column]).collect();
        let mut mismatches = Vec::new();
        for (position, column) in self.table().columns.iter().enumerate() {
            let name = &column.name;
            match column.fill {
                _ if given.contains(&position) || !column.not_null => {}
                Fill::Null => mismatches
                    .push(format!("column {name:?} is NOT NULL and has no default, but the rows do not give it")),
                Fill::Undeclared { computed } => {
                    let how = if computed { "computed(…)" } else { "default(…)" };
                    mismatches.push(format!(
                        "what the server puts into column {name:?} is not known: declare it with .{how}"
                    ));
                }
                _ => {}
            }
        }
        if mismatches.is_empty() {
            return Ok(());
        }
        let what = "the model does not match the table";
        let table = self.mapped.model.display_name();
        Err(ErrorBuilder::new(ErrorKind::Schema, what).table(table).mismatches(mismatches).build())
    }

    /// The row's values of a key, in the order of the key's columns in the table.
    fn key_value(&self, key: usize, given: &[usize], row: &RawRow) -> Option<Vec<Value>> {
        let table = self.table();
        let part = |&column: &usize| {
            let at = given.iter().position(|&given| self.mapped.columns[given] == column)?;
            Some(table.value(column, row.get(at)?.as_ref()?))
        };
        table.keys[key].columns.iter().map(part).collect()
    }

    fn key(&self, columns: &[usize]) -> Result<usize, Error> {
        let columns: Vec<usize> = columns.iter().map(|&column| self.mapped.columns[column]).collect();
        self.table().key(&columns).ok_or_else(|| config(self.mapped.model, "the table has no such key", None))
    }

    /// The stored row with a key; one that another transaction writes has to be waited for.
    fn find(&self, key: &[usize], given: &[usize], row: &RawRow) -> Result<Option<(RowId, Row)>, Stop> {
        let key = self.key(key)?;
        let Some(value) = self.key_value(key, given, row) else { return Ok(None) };
        let Some((id, slot, found)) = self.table().find(key, &value, Some(self.tx)) else { return Ok(None) };
        match slot.rival(self.tx) {
            Some(rival) => Err(Stop::Wait(rival)),
            None => Ok(Some((id, Arc::clone(found)))),
        }
    }

    /// The same; a row that another transaction inserts has to be waited for too.
    fn find_or_wait(&self, columns: &[usize], given: &[usize], row: &RawRow) -> Result<Option<(RowId, Row)>, Stop> {
        let key = self.key(columns)?;
        if let Some(value) = self.key_value(key, given, row)
            && let Some(rival) = self.table().with_key(key, &value).find_map(|(_, slot)| slot.rival(self.tx))
        {
            return Err(Stop::Wait(rival));
        }
        self.find(columns, given, row)
    }

    fn insert(&mut self, given: &[usize], row: &RawRow) -> Result<Done, Stop> {
        let new: Row = self.new_row(given, row)?.into();
        let new = self.settled(self.mapped.table, None, new)?;
        let id = self.state.tables[self.mapped.table].reserve();
        self.write(self.mapped.table, id, None, Some(Arc::clone(&new)));
        Ok((Outcome::Inserted, Some(new)))
    }

    /// A new row with what it gives and the defaults of the rest.
    fn new_row(&mut self, given: &[usize], row: &RawRow) -> Result<RawRow, Error> {
        let began = self.state.began(self.tx);
        let mapped = self.mapped;
        let table = &mut self.state.tables[mapped.table];
        let mut new: RawRow = vec![None; table.columns.len()];
        let mut is_given = vec![false; new.len()];
        for (&column, value) in given.iter().zip(row) {
            let at = mapped.columns[column];
            new[at].clone_from(value);
            is_given[at] = true;
        }
        for (at, column) in table.columns.iter_mut().enumerate().filter(|(at, _)| !is_given[*at]) {
            new[at] = match &mut column.fill {
                Fill::Null | Fill::Computed(_) | Fill::Undeclared { .. } => None,
                Fill::Uuid => Some(uuid()),
                Fill::Now => time(&column.ty, began),
                Fill::Default(value) => value()?,
                Fill::Sequence(next) => {
                    let drawn = number(&column.ty, *next).ok_or_else(|| {
                        ErrorBuilder::new(ErrorKind::Database, "the server refused").sqlstate("2200H").build()
                    })?;
                    *next += 1;
                    Some(drawn)
                }
            };
        }
        Ok(new)
    }

    fn update(&mut self, id: RowId, old: &Row, names: &Resolved, if_changed: bool, row: &RawRow) -> Result<Done, Stop> {
        let mapped = self.mapped;
        let mut new: RawRow = old.to_vec();
        new.resize(self.table().columns.len().max(new.len()), None);
        let set: Vec<usize> = names.set.iter().map(|&column| mapped.columns[column]).collect();
        for (value, &column) in row.iter().zip(&names.given) {
            let at = mapped.columns[column];
            if set.contains(&at) {
                new[at].clone_from(value);
            }
        }
        if if_changed && !set.is_empty() && set.iter().all(|&at| !self.table().differs(at, old, &new)) {
            return Ok((Outcome::Unchanged, Some(Arc::clone(old))));
        }
        let began = self.state.began(self.tx);
        for (at, column) in self.table().columns.iter().enumerate().filter(|(at, _)| !set.contains(at)) {
            match &column.on_update {
                None => {}
                Some(OnUpdate::Now) => new[at] = time(&column.ty, began),
                Some(OnUpdate::Rule(rule)) => new[at] = rule(old)?,
                Some(OnUpdate::Undeclared(expression)) => {
                    let what = format!("`{expression}` is known to a server only: declare it with .on_update(…)");
                    return Err(Stop::Failed(config(mapped.model, &what, Some(&column.name))));
                }
            }
        }
        let new = self.settled(mapped.table, Some(id), new.into())?;
        self.write(mapped.table, id, Some(Arc::clone(old)), Some(Arc::clone(&new)));
        Ok((Outcome::Updated, Some(new)))
    }

    /// The row with its computed columns, if nothing of the table's own refuses it: `id` is its place, if it has
    /// one already.
    fn settled(&self, table: usize, id: Option<RowId>, row: Row) -> Result<Row, Stop> {
        let table = &self.state.tables[table];
        let mut new: Vec<Option<Bytes>> = row.to_vec();
        for (at, column) in table.columns.iter().enumerate() {
            if let Fill::Computed(rule) = &column.fill {
                new[at] = rule(&row)?;
            }
        }
        let new: Row = new.into();
        for (at, column) in table.columns.iter().enumerate() {
            if column.not_null && field(&new, at).is_none() {
                let error = ErrorBuilder::refusal(ErrorKind::NotNullViolation).column(column.name.as_str());
                return Err(Stop::Failed(error.build()));
            }
        }
        for (name, rule) in &table.checks {
            if !rule(&new)? {
                let error = ErrorBuilder::refusal(ErrorKind::CheckViolation).constraint(name.as_str());
                return Err(Stop::Failed(error.build()));
            }
        }
        for (number, key) in table.keys.iter().enumerate() {
            let Some(value) = table.values(&key.columns, &new) else { continue };
            for (_, slot) in table.with_key(number, &value).filter(|(other, _)| Some(*other) != id) {
                if let Some(rival) = slot.rival(self.tx) {
                    return Err(Stop::Wait(rival));
                }
                let taken = slot.visible(Some(self.tx)).and_then(|row| table.values(&key.columns, row));
                if taken.as_deref() == Some(&value[..]) {
                    let error = ErrorBuilder::refusal(ErrorKind::UniqueViolation).constraint(key.name.as_str());
                    return Err(Stop::Failed(error.build()));
                }
            }
        }
        Ok(new)
    }

    /// Looks at all foreign keys of what was written, at the statement's end; what they delete or set to NULL is
    /// looked at too.
    fn check_references(&mut self) -> Result<(), Stop> {
        let mut looked_at = 0;
        while looked_at < self.written.len() {
            let written = self.written[looked_at..].to_vec();
            looked_at = self.written.len();
            written.iter().try_for_each(|row| self.check_child(row))?;
            for number in 0..self.state.references.len() {
                self.check_parents(number, &written)?;
            }
        }
        Ok(())
    }

    /// Refuses a row that refers to none.
    fn check_child(&self, (table, old, new): &(usize, Option<Row>, Option<Row>)) -> Result<(), Stop> {
        for (number, reference) in self.state.references.iter().enumerate() {
            if reference.child != *table {
                continue;
            }
            let (child, parent) = (&self.state.tables[*table], &self.state.tables[reference.parent]);
            let value = |row: &Option<Row>| child.values(&reference.columns, row.as_ref()?);
            let Some(wanted) = value(new).filter(|wanted| value(old).as_ref() != Some(wanted)) else { continue };
            let Some((_, slot, _)) = parent.find(reference.key, &wanted, Some(self.tx)) else {
                return Err(self.dangling(number));
            };
            // Another transaction may delete it, or take its key away.
            if let (Some(rival), Some((_, row))) = (slot.rival(self.tx), &slot.pending) {
                let key = &parent.keys[reference.key].columns;
                if row.as_ref().and_then(|row| parent.values(key, row)).as_ref() != Some(&wanted) {
                    return Err(Stop::Wait(rival));
                }
            }
        }
        Ok(())
    }

    /// Finds rows that refer to keys which are gone.
    fn check_parents(&mut self, number: usize, written: &[(usize, Option<Row>, Option<Row>)]) -> Result<(), Stop> {
        let reference = &self.state.references[number];
        let (child, parent) = (&self.state.tables[reference.child], &self.state.tables[reference.parent]);
        let key = &parent.keys[reference.key].columns;
        let (mut gone, mut moved) = (HashSet::new(), false);
        for (_, old, new) in written.iter().filter(|(table, ..)| *table == reference.parent) {
            let Some(value) = old.as_ref().and_then(|old| parent.values(key, old)) else { continue };
            if parent.find(reference.key, &value, Some(self.tx)).is_none() {
                gone.insert(value);
                moved |= new.is_some();
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let refers = |row: &Row| child.values(&reference.columns, row).is_some_and(|value| gone.contains(&value));
        let mut children = Vec::new();
        for (id, slot) in child.slots() {
            match slot.rival(self.tx) {
                Some(rival) if slot.versions().any(refers) => return Err(Stop::Wait(rival)),
                _ => {}
            }
            if let Some(row) = slot.visible(Some(self.tx)).filter(|row| refers(row)) {
                children.push((id, Arc::clone(row)));
            }
        }
        let (table, columns, on_delete) = (reference.child, reference.columns.clone(), reference.on_delete);
        if !children.is_empty() && (on_delete == OnDelete::Refuse || moved) {
            return Err(self.dangling(number));
        }
        for (id, old) in children {
            let new = match on_delete {
                OnDelete::SetNull => {
                    let mut new: RawRow = old.to_vec();
                    columns.iter().for_each(|&column| new[column] = None);
                    Some(self.settled(table, Some(id), new.into())?)
                }
                OnDelete::Refuse | OnDelete::Cascade => None,
            };
            self.write(table, id, Some(old), new);
        }
        Ok(())
    }

    fn dangling(&self, reference: usize) -> Stop {
        let name = self.state.references[reference].name.as_str();
        Stop::Failed(ErrorBuilder::refusal(ErrorKind::ForeignKeyViolation).constraint(name).build())
    }
}
