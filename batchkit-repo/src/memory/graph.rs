//! Rows below others: inserted behind those, level by level, with the keys that these were given.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use batchkit::backend::{ErrorBuilder, RawBelow, RawRow};
use batchkit::model::Association;
use batchkit::{ErrorKind, Result};

use super::state::{Mapped, State};
use super::statement::{Statement, Stop, Verb};
use super::table::{Row, TxId, field};

/// Rows of one kind below others.
pub(super) struct Below {
    association: &'static Association,
    /// The rows' table.
    mapped: Arc<Mapped>,
    /// The model's columns of their fields.
    columns: Vec<usize>,
    /// Which fields are the key of the row above, and the column of that model.
    handed_down: Vec<(usize, usize)>,
    rows: Vec<RawRow>,
    /// The row above of each, ascending.
    owners: Vec<usize>,
    below: Vec<Below>,
}

impl Below {
    /// The rows of a chunk's graph.
    pub(super) fn of(state: &mut State, graph: &[RawBelow<'_>]) -> Result<Vec<Self>> {
        let below = |raw: &RawBelow<'_>| {
            Ok(Below {
                association: raw.association(),
                mapped: state.mapped(raw.model(), &[])?,
                columns: raw.columns().to_vec(),
                handed_down: raw.handed_down().to_vec(),
                rows: raw.rows(),
                owners: raw.owners().to_vec(),
                below: Below::of(state, &raw.below())?,
            })
        };
        graph.iter().map(below).collect()
    }

    /// The row with the key of the one above it.
    fn handed_down(&self, number: usize, above: &Mapped, owner: &Row) -> Result<RawRow, ErrorBuilder> {
        let mut row = self.rows[number].clone();
        for &(at, column) in &self.handed_down {
            let key = field(owner, above.columns[column]);
            if row[at].is_some() && row[at].as_ref() != key {
                let what = "the row names another one than it is below: leave that out with #[batch(parent)]";
                return Err(ErrorBuilder::new(ErrorKind::InvalidRow, what));
            }
            row[at] = key.cloned();
        }
        Ok(row)
    }
}

/// What was inserted below rows.
#[derive(Default)]
pub(super) struct Inserted {
    rows: HashMap<&'static str, (&'static Association, Vec<Row>)>,
    /// How many levels there are.
    pub(super) levels: usize,
}

impl Inserted {
    /// The rows that a relation leads to.
    pub(super) fn rows(&self, of: &Association) -> &[Row] {
        self.rows.get(of.label).map_or(&[], |(_, rows)| rows)
    }

    /// How many rows each relation leads to.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static Association, usize)> {
        self.rows.values().map(|(association, rows)| (*association, rows.len()))
    }

    pub(super) fn merge(&mut self, other: Inserted) {
        self.levels = self.levels.max(other.levels);
        for (label, (association, rows)) in other.rows {
            self.rows.entry(label).or_insert((association, Vec::new())).1.extend(rows);
        }
    }
}

/// Inserts all that is below these rows of `above`, which are stored by now; they have these positions.
pub(super) fn insert_below(
    state: &mut State,
    tx: TxId,
    above: &Mapped,
    stored: &BTreeMap<usize, Row>,
    kinds: &[Below],
) -> Result<Inserted, Stop> {
    let mut inserted = Inserted::default();
    for kind in kinds {
        let mut next = BTreeMap::new();
        let name = kind.association.name;
        let failed = |error: ErrorBuilder, number: usize, path: &str| {
            let error = error.table(kind.mapped.model.display_name()).rows(std::iter::once(number..number + 1));
            Stop::Failed(error.met_below(path, &kind.owners).build())
        };
        for (&owner, above_row) in stored {
            let first = kind.owners.partition_point(|known| *known < owner);
            for number in (first..).take_while(|&number| kind.owners.get(number) == Some(&owner)) {
                let row = kind
                    .handed_down(number, above, above_row)
                    .map_err(|error| failed(error, number, &format!("{name}[{}]", number - first)))?;
                let verb = Verb::Insert(kind.columns.clone());
                let done = Statement::new(state, tx, &kind.mapped).run(&verb, &[row]).map_err(|stop| match stop {
                    Stop::Failed(error) => failed(error.into(), number, name),
                    stop => stop,
                })?;
                next.extend(done.into_iter().filter_map(|(_, row)| Some((number, row?))));
            }
        }
        if next.is_empty() {
            continue;
        }
        let deeper = insert_below(state, tx, &kind.mapped, &next, &kind.below).map_err(|stop| match stop {
            Stop::Failed(error) => Stop::Failed(ErrorBuilder::from(error).met_below(name, &kind.owners).build()),
            stop => stop,
        })?;
        let rows = (kind.association, next.into_values().collect());
        let own = Inserted { rows: HashMap::from([(kind.association.label, rows)]), levels: deeper.levels + 1 };
        inserted.merge(own);
        inserted.merge(deeper);
    }
    Ok(inserted)
}
