//! One statement: rows are inserted, updated or deleted, and what they break is found as the server finds it.

use std::collections::HashSet;
use std::sync::Arc;

use batchkit::backend::{ErrorBuilder, RawRow, Resolved};
use batchkit::{Error, ErrorKind, Outcome};
use bytes::Bytes;

use super::defaults::{next_version, number, time, uuid};
use super::state::{Mapped, OnDelete, State, config};
use super::table::{Fill, OnUpdate, Row, RowId, TxId, field, is_flag};
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
    /// The row with this key is deleted, for real or by its mark, if it can have one.
    Delete(Vec<usize>, Removal),
}

/// How rows are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// They are marked, where the model has a mark.
    Marked,
    /// They are gone, be they marked or not.
    Hard,
}

/// Why a statement did not get through. What it wrote has to be taken back.
pub(super) enum Stop {
    /// These of its rows give another version than the stored one.
    Stale(Vec<usize>),
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

/// What columns of the table are set to.
type Set = Vec<(usize, Option<Bytes>)>;

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
        let (mut done, mut stale) = (Vec::with_capacity(rows.len()), Vec::new());
        for (number, row) in rows.iter().enumerate() {
            match self.one(verb, row) {
                Ok(one) => done.push(one),
                Err(Stop::Stale(_)) => stale.push(number),
                Err(stop) => return Err(stop),
            }
        }
        if !stale.is_empty() {
            return Err(Stop::Stale(stale));
        }
        self.check_references()?;
        Ok(done)
    }

    fn one(&mut self, verb: &Verb, row: &RawRow) -> Result<Done, Stop> {
        match verb {
            Verb::Insert(given) => self.insert(given, row),
            Verb::Update(names, if_changed) => self.update(names, *if_changed, row),
            Verb::Upsert(names, if_changed) => match self.find_or_wait(&names.key, &names.given, row)? {
                None => self.insert(&names.given, row),
                Some((id, old)) => {
                    // A default is drawn before it is known that the row is not new.
                    self.new_row(&names.given, row)?;
                    self.upsert_known(id, &old, names, *if_changed, row)
                }
            },
            Verb::Delete(key, removal) => self.delete(key, *removal, row),
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
                _ if given.contains(&position) => {}
                Fill::Expression(expression) => {
                    let what = format!("`{expression}` is known to a server only: declare it with .default_with(…)");
                    return Err(config(self.mapped.model, &what, Some(name)));
                }
                _ if !column.not_null => {}
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
                Fill::Null | Fill::Computed(_) | Fill::Expression(_) | Fill::Undeclared { .. } => None,
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

    /// The column that marks rows as deleted.
    fn mark(&self) -> Option<usize> {
        self.mapped.mark()
    }

    fn update(&mut self, names: &Resolved, if_changed: bool, row: &RawRow) -> Result<Done, Stop> {
        let set = self.chosen(names, row);
        let Some((id, old)) = self.find(&names.key, &names.given, row)? else { return Ok((Outcome::Missing, None)) };
        // What is marked as deleted is found only to change the mark.
        let mark = self.mark().filter(|mark| set.iter().all(|(at, _)| at != mark));
        if !self.table().is_live(mark, &old) {
            return Ok((Outcome::Missing, None));
        }
        self.refuse_stale(names, &old, row)?;
        if if_changed && !self.differs(&old, &set) {
            return Ok((Outcome::Unchanged, Some(old)));
        }
        let new = self.changed(id, &old, set)?;
        Ok((Outcome::Updated, Some(new)))
    }

    /// An upsert of a row whose key is taken.
    fn upsert_known(
        &mut self,
        id: RowId,
        old: &Row,
        names: &Resolved,
        if_changed: bool,
        row: &RawRow,
    ) -> Result<Done, Stop> {
        let mut set = self.chosen(names, row);
        // A row that is marked as deleted comes back, unless the caller's row has a mark too.
        if let Some(mark) = self.mark().filter(|mark| set.iter().all(|(at, _)| at != mark)) {
            let given = names.given.iter().position(|&column| self.mapped.columns[column] == mark);
            let own = given.filter(|_| !self.table().is_live(Some(mark), old)).and_then(|at| row.get(at));
            let unmarked = is_flag(&self.table().columns[mark].ty).then(|| Bytes::from_static(&[0]));
            set.push((mark, own.map_or(unmarked, Option::clone)));
        }
        self.refuse_stale(names, old, row)?;
        // Where there is nothing to set, a row is touched only to bring it back.
        let only_revives = names.set.is_empty() && names.version.is_none() && !set.is_empty();
        let touches =
            !set.is_empty() || names.version.is_some() || self.table().columns.iter().any(|c| c.on_update.is_some());
        let compares = if_changed && !set.is_empty() || only_revives;
        if !touches || compares && !self.differs(old, &set) {
            return Ok((Outcome::Unchanged, Some(Arc::clone(old))));
        }
        let new = self.changed(id, old, set)?;
        Ok((Outcome::Updated, Some(new)))
    }

    fn delete(&mut self, key: &[usize], removal: Removal, row: &RawRow) -> Result<Done, Stop> {
        let Some((id, old)) = self.find(key, key, row)? else { return Ok((Outcome::Missing, None)) };
        let Some(mark) = self.mark().filter(|_| removal == Removal::Marked) else {
            self.write(self.mapped.table, id, Some(Arc::clone(&old)), None);
            return Ok((Outcome::Deleted, Some(old)));
        };
        if !self.table().is_live(Some(mark), &old) {
            return Ok((Outcome::Missing, None));
        }
        let ty = &self.table().columns[mark].ty;
        let value = if is_flag(ty) { Some(Bytes::from_static(&[1])) } else { time(ty, self.state.began(self.tx)) };
        let new = self.changed(id, &old, vec![(mark, value)])?;
        Ok((Outcome::Deleted, Some(new)))
    }

    /// What the row sets by itself.
    fn chosen(&self, names: &Resolved, row: &RawRow) -> Set {
        let given = names.given.iter().zip(row).filter(|(column, _)| names.set.contains(column));
        given.map(|(&column, value)| (self.mapped.columns[column], value.clone())).collect()
    }

    /// Refuses a row that gives another version than the stored one.
    fn refuse_stale(&self, names: &Resolved, old: &Row, row: &RawRow) -> Result<(), Stop> {
        let Some(version) = names.version else { return Ok(()) };
        let at = self.mapped.columns[version];
        let read = names.given.iter().position(|&column| column == version).and_then(|at| row.get(at)?.as_ref());
        let same = field(old, at).zip(read).is_some_and(|(old, read)| old == read);
        if same { Ok(()) } else { Err(Stop::Stale(Vec::new())) }
    }

    fn differs(&self, old: &Row, set: &Set) -> bool {
        let mut new: RawRow = old.to_vec();
        new.resize(self.table().columns.len().max(new.len()), None);
        set.iter().for_each(|(at, value)| new[*at].clone_from(value));
        set.iter().any(|(at, _)| self.table().differs(*at, old, &new))
    }

    /// Sets columns of a stored row; its version is counted on, and what has an expression is set by it.
    fn changed(&mut self, id: RowId, old: &Row, mut set: Set) -> Result<Row, Stop> {
        let mapped = self.mapped;
        if let Some(version) = mapped.model.version() {
            let at = mapped.columns[version];
            let column = &self.table().columns[at];
            let next = field(old, at).map(|version| {
                let too_large =
                    || ErrorBuilder::new(ErrorKind::Database, "the server refused").sqlstate("22003").build();
                next_version(&column.ty, version).ok_or_else(too_large)
            });
            set.push((at, next.transpose()?));
        }
        let began = self.state.began(self.tx);
        for (at, column) in self.table().columns.iter().enumerate() {
            if set.iter().any(|(set, _)| *set == at) {
                continue;
            }
            let value = match &column.on_update {
                None => continue,
                Some(OnUpdate::Now) => time(&column.ty, began),
                Some(OnUpdate::Rule(rule)) => rule(old)?,
                Some(OnUpdate::Undeclared(expression)) => {
                    let what = format!("`{expression}` is known to a server only: declare it with .on_update(…)");
                    return Err(Stop::Failed(config(mapped.model, &what, Some(&column.name))));
                }
            };
            set.push((at, value));
        }
        let mut new: RawRow = old.to_vec();
        new.resize(self.table().columns.len().max(new.len()), None);
        set.into_iter().for_each(|(at, value)| new[at] = value);
        let new = self.settled(mapped.table, Some(id), new.into())?;
        self.write(mapped.table, id, Some(Arc::clone(old)), Some(Arc::clone(&new)));
        Ok(new)
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
