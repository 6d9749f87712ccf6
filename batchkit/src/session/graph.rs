//! Rows below others: sent behind those, in the same transaction, with the keys that these were given.

use std::collections::BTreeMap;

use super::client::Session;
use super::run::{ChunkAnswer, Work, send_rows};
use super::stored::{RowAnswer, StoredRow};
use crate::error::{Error, ErrorKind, Result};
use crate::report::Outcome;
use crate::wire::{Below, EncodedRows, RawFields, RowsBuilder};

/// What is done with one kind of rows below others.
#[derive(Debug)]
pub(crate) struct ChildWork {
    /// The relation's name.
    pub(crate) name: &'static str,
    /// The same with the model's in front.
    pub(crate) label: &'static str,
    /// The table, for messages.
    pub(crate) table: String,
    /// Which of their fields are the key of the row above, and where it is found.
    pub(crate) handed_down: Vec<(usize, Above)>,
    /// What is done with them.
    pub(crate) work: Work,
    /// Whether rows of the same kinds as these are below them, instead of what their work says.
    pub(crate) recursive: bool,
}

/// Where a column of the row above is found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Above {
    /// Among the fields that were sent.
    Sent(usize),
    /// Among the columns of the stored row.
    Stored(usize),
}

/// What became of the rows below others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    /// By the relation that leads to them.
    pub(crate) kinds: BTreeMap<&'static str, Kind>,
    /// How many levels there are.
    pub(crate) depth: usize,
}

/// The rows of one kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kind {
    /// How many were inserted.
    pub(crate) inserted: u64,
    /// The stored rows, where they are wanted.
    pub(crate) stored: Vec<StoredRow>,
}

impl Graph {
    /// Takes in what became of others.
    pub(crate) fn merge(&mut self, other: Graph) {
        self.depth = self.depth.max(other.depth);
        for (label, kind) in other.kinds {
            let known = self.kinds.entry(label).or_default();
            known.inserted += kind.inserted;
            known.stored.extend(kind.stored);
        }
    }
}

/// Sends all rows below these, which are stored by now.
pub(super) async fn send_below(
    session: &Session<'_>,
    works: &[ChildWork],
    rows: &EncodedRows,
    answered: &[RowAnswer],
) -> Result<Graph> {
    let mut graph = Graph::default();
    for (below, child) in rows.below().iter().zip(works) {
        if below.rows.is_empty() {
            continue;
        }
        let (sent, numbers) = hand_down(child, below, rows, answered)?;
        if sent.is_empty() {
            continue;
        }
        let works = if child.recursive { works } else { &child.work.below };
        let ChunkAnswer { counts, rows: stored, graph: deeper, .. } =
            Box::pin(send_rows(session, &child.work, works, &sent))
                .await
                .map_err(|error| error.met_below(child.name, |row| numbers.get(row).map(|&row| below.owners[row])))
                .map_err(|error| error.in_table(&child.table))?;
        let kind = Kind {
            inserted: counts.of(Outcome::Inserted),
            stored: stored.into_each().into_iter().filter_map(|(_, stored)| stored).collect(),
        };
        let depth = deeper.depth + 1;
        graph.merge(Graph { kinds: BTreeMap::from([(child.label, kind)]), depth });
        graph.merge(deeper);
    }
    Ok(graph)
}

/// The rows below stored ones, with those's keys; and which of all these are. What is below a row that was not
/// stored is not sent.
fn hand_down(
    child: &ChildWork,
    below: &Below,
    above: &EncodedRows,
    answered: &[RowAnswer],
) -> Result<(EncodedRows, Vec<usize>)> {
    let mut builder = RowsBuilder::default();
    let mut sent = Vec::with_capacity(below.owners.len());
    let mut fields: Vec<Option<&[u8]>> = Vec::new();
    for (row, &owner) in below.owners.iter().enumerate() {
        let stored = answered.get(owner).and_then(|(_, stored)| stored.as_ref());
        // Where only numbers are told, all rows are in: nothing there can leave one out.
        let is_stored = answered.get(owner).is_none_or(|(outcome, _)| *outcome == Outcome::Inserted);
        if !is_stored {
            continue;
        }
        fields.clear();
        fields.extend(below.rows.row(row));
        for &(field, place) in &child.handed_down {
            let key = match place {
                Above::Sent(field) => above.field(owner, field),
                Above::Stored(column) => {
                    stored.and_then(|stored| RawFields::new(stored.fields()).nth(column)).flatten()
                }
            };
            if fields[field].is_some() && fields[field] != key {
                let number = row - below.of(owner..owner + 1).start;
                let what = "the row names another one than it is below: leave that out with #[batch(parent)]";
                let error = Error::new(ErrorKind::InvalidRow, what).in_table(&child.table);
                return Err(error.of_chunk_row(owner).below(format!("{}[{number}]", child.name)));
            }
            fields[field] = key;
        }
        builder.push_raw(fields.iter().copied());
        sent.push(row);
    }
    Ok((builder.finish().with_below(&below.rows.subset(&sent)), sent))
}
