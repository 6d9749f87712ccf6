//! What a call knows of its table: how its rows are encoded, which way they travel, and what they may break.

use std::sync::Arc;

use super::equal::Input;
use super::graph::Keys;
use super::insert::Insert;
use super::known::{Kind, Known};
use super::verb::{Unique, Verb};
use crate::catalog::{RelationKind, TableKey, Trigger};
use crate::config::Transport;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{self, ByRows, Choice, Facts, Size};
use crate::reject::{KeyColumn, KeyShape};
use crate::session::{
    Carrier, ChildWork, Draw, Foreknown, INSERTED, JOINED, Matching, Place, Probe, Suspect, Suspects, Way, Ways, Work,
};
use crate::settings::Plans;
use crate::source::{ChildLayout, Layout};
use crate::sql::{self, Foretold, Form, Source, TableSql};
use crate::wire::{Fault, RowType};

/// The table, and the columns that are encoded, in their order.
#[derive(Clone, Copy)]
pub(super) struct Target<'t> {
    pub(super) known: &'t Known,
    pub(super) columns: &'t [usize],
    /// Whether the call writes.
    pub(super) writes: bool,
}

impl Target<'_> {
    /// What the rows are encoded to: their own types as they are sent, and which fields are the key.
    pub(super) fn layout(&self, verb: &dyn Verb, below: Vec<ChildLayout>) -> Layout {
        let types = self.known.types_of(self.columns);
        let given = |key: &&[usize]| !key.is_empty() && key.iter().all(|column| self.columns.contains(column));
        let unique = verb.unique().map(|unique| unique.columns);
        let declared = self.known.model.keys().map(|key| key.columns);
        let key = unique.as_deref().into_iter().chain(declared).find(given).unwrap_or_default();
        let columns = key.iter().map(|&column| {
            let field = self.field(column);
            KeyColumn { name: self.known.model.columns[column].name, ty: types[field].ty().clone(), field }
        });
        let key = KeyShape::new(columns.collect());
        Layout { columns: self.columns.to_vec(), types, forms: ByRows::default(), key, below }
    }

    /// How rows with others below them are sent: the keys of these are drawn first, where that can be.
    pub(super) fn graph_ways(&self, verb: &Arc<dyn Verb>, asked: Transport, keys: &Keys) -> Result<Arc<Ways>> {
        if keys.draw().is_none() {
            return self.keyed_ways(verb, asked, keys);
        }
        let sent = Target { columns: &keys.columns, ..*self };
        let insert: Arc<dyn Verb> = Arc::new(Insert::of_columns(keys.columns.clone()));
        sent.keyed_ways(&insert, asked, keys)
    }

    /// How rows with these keys are sent: as a call like this one was before, or else these are drawn first.
    pub(super) fn keyed_ways(&self, verb: &Arc<dyn Verb>, asked: Transport, keys: &Keys) -> Result<Arc<Ways>> {
        let Some(draw) = keys.draw() else {
            let plan = self.known.plan(Kind { verb, columns: self.columns, asked, form: keys.form })?;
            return Ok(Arc::clone(&plan.ways));
        };
        let mut ways = self.ways(&**verb, asked, keys.form)?;
        ways.draw(&draw);
        Ok(Arc::new(ways))
    }

    /// What is done with each chunk.
    pub(super) fn work(
        &self,
        verb: &dyn Verb,
        ways: Arc<Ways>,
        form: Form,
        rejects: bool,
        below: Vec<ChildWork>,
    ) -> Work {
        Work {
            ways,
            form,
            reading: verb.reading(),
            unanswered: verb.unanswered(),
            // Asked about where bad rows are turned away, or are to be told of a graph.
            suspects: match rejects || !below.is_empty() {
                true => self.suspects(verb),
                false => Suspects::default(),
            },
            writes: verb.writes(),
            writes_elsewhere: verb.writes()
                && (self.known.table.is_foreign || below.iter().any(|child| child.work.writes_elsewhere)),
            turns_away: rejects,
            below,
            decode: None,
            along: Arc::new([]),
        }
    }

    /// Chooses the transports, and writes down their statements.
    pub(super) fn ways(&self, verb: &dyn Verb, asked: Transport, form: Form) -> Result<Ways> {
        let Known { model, table, sql: table_sql, .. } = self.known;
        let given_names: Vec<&str> = self.columns.iter().map(|&c| model.columns[c].name).collect();
        let given = |name: &str| given_names.contains(&name);
        let rows_possible = table.columns.iter().all(|column| !column.refuses_null || given(&column.name));
        let layout = sql::columns_layout(table_sql, self.columns);
        // Without the lock, the table may become another one behind what was found out about it.
        let can_foretell = form.has_rows() && verb.plain_insert() && self.lock().is_some();
        let answered = table_sql.answered(form);
        let foretold = can_foretell.then(|| sql::foretell(model, table, table_sql, self.columns, &answered)).flatten();
        let facts = Facts {
            plain_insert: verb.plain_insert(),
            takes_copy: table.takes_copy() && (table.rights.select || self.lock().is_some()),
            may_stage: table.rights.temp,
            rows_possible,
            columns_possible: !self.columns.is_empty() && (rows_possible || layout.whole.is_empty()),
            columns_alone: !self.columns.is_empty() && layout.whole.is_empty(),
            numbered: numbers(verb, table_sql, Source::Columns, form),
            gives_columns: !self.columns.is_empty(),
            matchable: verb.matchable(model, table_sql),
            triggered: table_sql.triggered,
            fills_in: verb.inserts() && table_sql.filled_in(self.columns).next().is_some(),
            narrow: is_narrow(table_sql, self.columns),
            foretold: foretold.is_some(),
            updates: verb.updates(),
            counts_each: form == Form::Count && verb.counts_each(table_sql),
            form,
        };
        let way = |choice: Choice, below: usize| {
            if let Some(foretold) = foretold.as_ref().filter(|_| choice.into_target) {
                return self.foretelling_way(choice, foretold, &answered);
            }
            let carrier = self.carrier(choice, verb, &facts);
            let size = Size::of(choice, below);
            let carrier_source = carrier.source();
            let matching = carrier_source.and_then(|source| verb.matching(table_sql, source, size, form));
            let matching = matching.unwrap_or(Matching::Ordinal);
            Way {
                transport: choice.transport,
                reason: choice.reason,
                sql: verb.sql(model, table_sql, carrier_source, size, form).into(),
                carrier,
                statement: if verb.inserts() { INSERTED } else { JOINED },
                draw: None,
                shape: form.has_rows().then(|| matching.shape(self.known.answered_types(form))),
                foretold: None,
                matching,
                planned_as_few: self.planned_as_few(verb, carrier_source, form),
            }
        };
        Ok(Ways(plan::by_rows(asked, &facts)?.map(|below, choice| way(*choice, below))))
    }

    /// The way of rows of which what will be stored is known before they are sent: COPY of what they give and of what
    /// was drawn.
    fn foretelling_way(&self, choice: Choice, foretold: &Foretold, answered: &[usize]) -> Way {
        let sent = &foretold.columns;
        let (sql, lock) = (sql::draw(&foretold.drawn, Some(&foretold.holds)), self.lock());
        let mut drawn = (0..foretold.drawn.len()).map(Place::Drawn);
        let place = |column| match self.columns.contains(column) {
            true => Some(Place::Given),
            false => drawn.next(),
        };
        let places = sent.iter().filter_map(place).collect();
        let field = |column: &usize| sent.iter().position(|sent| sent == column);
        let draw = Some(Draw { sql, lock, places });
        Way {
            transport: choice.transport,
            reason: choice.reason,
            sql: sql::copy_from(&self.known.sql, sent).into(),
            shape: None,
            foretold: Some(match answered == sent {
                true => Foreknown::Whole,
                false => Foreknown::Fields(answered.iter().filter_map(field).collect()),
            }),
            carrier: Carrier::CopyInto(self.probe(sent)),
            statement: INSERTED,
            draw,
            matching: Matching::Ordinal,
            planned_as_few: Plans::FEW,
        }
    }

    fn carrier(&self, choice: Choice, verb: &dyn Verb, facts: &Facts) -> Carrier {
        match choice.transport {
            Transport::Copy if choice.into_target => Carrier::CopyInto(self.probe(self.columns)),
            Transport::Copy => {
                let ordinals = numbers(verb, &self.known.sql, Source::Stage, facts.form);
                let create = sql::stage_create(&self.known.sql, self.columns, ordinals);
                Carrier::Stage { probe: self.probe(self.columns), create, ordinals }
            }
            Transport::UnnestColumns => self.columns_carrier(self.columns),
            Transport::Single if facts.columns_alone || !facts.rows_possible => {
                Carrier::Single(Box::new(self.columns_carrier(self.columns)))
            }
            Transport::Single => Carrier::Single(Box::new(Carrier::Rows(self.row_type(self.columns)))),
            Transport::UnnestRows | Transport::Auto => Carrier::Rows(self.row_type(self.columns)),
        }
    }

    /// What is asked in front of a COPY of these columns.
    fn probe(&self, columns: &[usize]) -> Probe {
        let sees = self.known.table.rights.select;
        let lock = if sees { None } else { self.lock() };
        Probe::new(sql::probe(&self.known.sql, columns, sees), self.known.types_of(columns).into(), lock)
    }

    /// One array per column of `given`.
    pub(super) fn columns_carrier(&self, given: &[usize]) -> Carrier {
        let layout = sql::columns_layout(&self.known.sql, given);
        let oid =
            |c: usize| self.known.table.column(self.known.model.columns[c].name).map_or(0, |found| found.type_oid);
        let single = layout.single.iter().map(|&c| (self.field(c), oid(c))).collect();
        let whole = (!layout.whole.is_empty()).then(|| self.row_type(&layout.whole));
        Carrier::Columns { single, whole }
    }

    /// The table's row type with the columns of `given` filled in.
    fn row_type(&self, given: &[usize]) -> RowType {
        let field_of =
            |name: &str| given.iter().find(|&&c| self.known.model.columns[c].name == name).map(|&c| self.field(c));
        let columns = self.known.table.columns.iter().map(|column| (column.type_oid, field_of(&column.name))).collect();
        RowType { oid: self.known.table.row_type, columns, lock: self.lock() }
    }

    /// Up to how many rows a verb's statement has plans that are made for few.
    fn planned_as_few(&self, verb: &dyn Verb, source: Option<Source>, form: Form) -> usize {
        let Known { model, table, sql, .. } = self.known;
        let looked_up = source.and_then(|source| verb.looks_up(sql, source, form));
        let has_index = |column: usize| table.keys.iter().any(|key| key.is_alone(model.columns[column].name));
        // Partitions are not left out by a list that is not known yet, and under row security the index may have to wait
        // until that was asked.
        let is_plain = table.kind == RelationKind::Table && !table.row_security;
        match looked_up.filter(|&column| is_plain && has_index(column)) {
            Some(_) => Plans::few_of(table.rows.unwrap_or(0)),
            None => Plans::FEW,
        }
    }

    /// The lock that the statement itself will take, where the current user may ask for it by name.
    fn lock(&self) -> Option<String> {
        let rights = self.known.table.rights;
        let may = if self.writes { rights.insert || rights.update || rights.delete } else { rights.select };
        let is_table = matches!(self.known.table.kind, RelationKind::Table | RelationKind::Partitioned);
        (may && is_table).then(|| sql::lock(&sql::table_name(self.known.model), self.writes))
    }

    /// Whether the table has a unique key that only the server can work out.
    pub(super) fn has_expression_keys(&self) -> bool {
        self.known.table.keys.iter().any(|key| key.columns.iter().any(Option::is_none))
    }

    /// The table's unique keys that the rows give wholly; the partial ones too.
    pub(super) fn given_keys(&self) -> Vec<Vec<usize>> {
        self.known.table.keys.iter().filter_map(|key| self.columns_of(key)).collect()
    }

    /// The columns of a unique key, if the rows give all of them.
    fn columns_of(&self, key: &TableKey) -> Option<Vec<usize>> {
        key.columns.iter().map(|name| self.given(name.as_deref()?)).collect()
    }

    /// The column called so, if the rows give it.
    fn given(&self, name: &str) -> Option<usize> {
        self.columns.iter().copied().find(|&c| self.known.model.columns[c].name == name)
    }

    /// Whether NULL equals NULL in the unique key of these columns.
    pub(super) fn takes_null(&self, key: &[usize]) -> bool {
        self.known.sql.takes_null(key)
    }

    /// The rows with a NULL in a key that refuses it, each with its error.
    pub(super) fn null_keys(&self, unique: &Unique, input: &Input<'_>) -> Vec<(usize, Error)> {
        let mut refused = Vec::new();
        if !unique.refuses_null || self.takes_null(&unique.columns) {
            return refused;
        }
        for &column in &unique.columns {
            let (name, field) = (self.known.model.columns[column].name, self.field(column));
            if input.rows.values(field).is_some() {
                continue;
            }
            let null = |row: &usize| input.rows.field(*row, field).is_none();
            let error = |row: usize| Some((row, Error::invalid_row(input.positions.get(row)?, name, Fault::NullKey)));
            refused.extend((0..input.rows.len()).filter(null).filter_map(error));
        }
        refused.sort_by_key(|(row, _)| *row);
        refused.dedup_by_key(|(row, _)| *row);
        refused
    }

    /// The constraints that these rows may break and that can be asked about: those whose columns are given. None where
    /// a trigger may change a row before its constraints are checked.
    pub(super) fn suspects(&self, verb: &dyn Verb) -> Suspects {
        let changes_rows = |trigger: &Trigger| {
            let runs = (verb.inserts() && trigger.insert) || (verb.updates() && trigger.update);
            trigger.before && trigger.row && runs
        };
        if self.known.table.triggers.iter().any(changes_rows) {
            return Suspects::new(Vec::new(), false);
        }
        let table_sql = &self.known.sql;
        let positions = |names: &[&str]| names.iter().map(|name| self.given(name)).collect::<Option<Vec<usize>>>();
        let suspect = |constraint: &str, kind, code, columns: &[usize], sql| Suspect {
            constraint: constraint.to_owned(),
            kind,
            code,
            sql,
            carrier: self.columns_carrier(columns),
        };
        let mut all = Vec::new();
        let plain = |key: &&TableKey| key.predicate.is_none() && key.valid && !key.nulls_not_distinct;
        // A key of which the rows give nothing is drawn by the server.
        let is_given =
            |key: &&TableKey| key.columns.iter().any(|name| name.as_deref().is_none_or(|n| self.given(n).is_some()));
        let keys = self.known.table.keys.iter().filter(is_given);
        let keys: Option<Vec<Vec<usize>>> = keys.map(|key| self.columns_of(key).filter(|_| plain(&key))).collect();
        let keys = keys.filter(|_| self.known.table.rights.select);
        // A row may reference another one of its own chunk: only the server can tell.
        for key in self.known.table.foreign_keys.iter().filter(|key| key.visible && !key.to_itself) {
            let names: Vec<&str> = key.columns.iter().map(String::as_str).collect();
            let Some(columns) = positions(&names) else { continue };
            let Some(written) = verb.written(&columns, keys.as_deref()) else { continue };
            let mut given = columns.clone();
            given.extend(written.columns());
            given.sort_unstable();
            given.dedup();
            let (to, referenced) = (key.references.as_str(), &key.referenced_columns[..]);
            let reference = sql::Reference { columns: &columns, to, referenced };
            let sql = sql::dangling(table_sql, &given, &reference, &written);
            all.push(suspect(&key.name, ErrorKind::ForeignKeyViolation, "23503", &given, sql));
        }
        let mut all_keys = self.known.table.foreign_keys.iter().all(|key| !key.to_itself);
        for key in self.known.table.keys.iter().filter(|_| verb.plain_insert()) {
            let names: Option<Vec<&str>> = key.columns.iter().map(Option::as_deref).collect();
            if names.as_ref().is_some_and(|names| names.iter().all(|name| self.given(name).is_none())) {
                // The server draws it.
                continue;
            }
            let columns =
                names.filter(|_| plain(&key) && self.known.table.rights.select).and_then(|names| positions(&names));
            match columns {
                Some(columns) => {
                    let sql = sql::taken(table_sql, &columns);
                    all.push(suspect(&key.name, ErrorKind::UniqueViolation, "23505", &columns, sql));
                }
                None => all_keys = false,
            }
        }
        for check in self.known.table.checks.iter().filter(|_| verb.inserts() && !self.columns.is_empty()) {
            let sql = sql::unchecked(table_sql, self.columns, &check.expression);
            all.push(suspect(&check.name, ErrorKind::CheckViolation, "23514", self.columns, sql));
        }
        Suspects::new(all, all_keys)
    }

    /// Where the column is among the encoded fields.
    pub(super) fn field(&self, column: usize) -> usize {
        self.columns.iter().position(|&c| c == column).unwrap_or(usize::MAX)
    }
}

/// Whether a verb's statement numbers the rows of this source: what it answers of each has to find it, or, in an upsert
/// that cannot ask whether a row is new, what was written is joined with what was sent.
pub(super) fn numbers(verb: &dyn Verb, table: &TableSql, source: Source, form: Form) -> bool {
    let joins = table.hides_xmax && verb.inserts() && verb.updates();
    (form != Form::Count || joins) && verb.matching(table, source, Size::Many, form).is_none()
}

pub(super) fn is_narrow(table: &TableSql, columns: &[usize]) -> bool {
    columns.len() * 2 <= table.row_type.len() && columns.iter().all(|&c| !table.columns[c].taken_apart)
}

/// The FROM item of a transport.
pub(super) fn source_of(choice: Choice, facts: &Facts) -> Option<Source> {
    match choice.transport {
        Transport::Copy if choice.into_target => None,
        Transport::Copy => Some(Source::Stage),
        Transport::UnnestColumns => Some(Source::Columns),
        Transport::Single if facts.columns_alone || !facts.rows_possible => Some(Source::Columns),
        Transport::Auto | Transport::UnnestRows | Transport::Single => Some(Source::Rows),
    }
}
