//! Rows with others below them: which tables a call writes to, in which order, and how keys are handed down.

use std::sync::Arc;

use super::engine::Engine;
use super::insert::Insert;
use super::known::Known;
use super::target::Target;
use super::verb::Verb;
use crate::config::Transport;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Association, Child, GraphRows, Model};
use crate::relation::Tree;
use crate::session::{Above, ChildWork, Draw, Place, Within};
use crate::source::{ChildLayout, ChildLayouts, Wiring, is_recursive};
use crate::sql::{self, Form};
use crate::wire::ColumnType;

/// The kinds of rows below a call's rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    kinds: Vec<Kind>,
}

/// One kind of rows below others.
#[derive(Debug, Clone)]
struct Kind {
    /// The relation's position in the model above.
    number: usize,
    association: &'static Association,
    rows: GraphRows,
    known: Arc<Known>,
    wiring: Wiring,
    /// `None` where rows of the same kinds as these are below them.
    below: Option<Graph>,
}

impl Graph {
    /// Looks up what is below rows of this table, and asks the catalogue about the tables.
    pub(super) async fn of(
        engine: &Engine,
        mut within: Option<Within<'_>>,
        known: &Known,
        children: &'static [Child],
    ) -> Result<Graph> {
        let top = GraphRows { model: known.model, columns: &[], children };
        Graph::below(engine, &mut within, known, top, &mut Vec::new()).await
    }

    async fn below(
        engine: &Engine,
        within: &mut Option<Within<'_>>,
        above: &Known,
        rows: GraphRows,
        ancestors: &mut Vec<GraphRows>,
    ) -> Result<Graph> {
        let mut kinds = Vec::with_capacity(rows.children.len());
        for child in rows.children {
            let below = (child.rows)();
            let recursive = is_recursive(&rows, &below, ancestors)?;
            let known = engine.known(below.model, within.as_mut().map(Within::lend)).await?;
            let kind = Kind::new(child.association, above, below, known)?;
            let graph = if recursive {
                None
            } else {
                ancestors.push(rows);
                let graph = Box::pin(Graph::below(engine, within, &kind.known, below, ancestors)).await?;
                ancestors.pop();
                Some(graph)
            };
            kinds.push(Kind { below: graph, ..kind });
        }
        Ok(Graph { kinds })
    }

    /// How the rows are encoded.
    pub(super) fn layouts(&self) -> Vec<ChildLayout> {
        let layout = |kind: &Kind| {
            let below = kind.below.as_ref();
            let below = below.map_or(ChildLayouts::Recursive, |below| ChildLayouts::Kinds(below.layouts()));
            ChildLayout::new(kind.association, &kind.rows, kind.wiring.clone(), kind.types(), below)
        };
        self.kinds.iter().map(layout).collect()
    }

    /// What is done with the rows, where the call asks for `form`; `above` are the keys of the rows above them.
    pub(super) fn works(&self, asked: Transport, form: Form, above: &Keys) -> Result<Vec<ChildWork>> {
        let work = |kind: &Kind| {
            let (model, below) = (kind.rows.model, kind.below.as_ref());
            let own = Keys::of(below.unwrap_or(self), &kind.known, &kind.wiring.columns, form);
            // Their own rows below find their keys where these do.
            if below.is_none() && (own.form, &own.columns) != (above.form, &above.columns) {
                let what = format!("rows of `{}` below others of it give other columns than those", model.name);
                return Err(Error::new(ErrorKind::Config, what));
            }
            let target = Target { known: &kind.known, columns: &own.columns, writes: true };
            let verb: Arc<dyn Verb> = Arc::new(Insert::of_columns(own.columns.clone()));
            verb.refuse(model, &kind.known.table)?;
            let works = below.map_or(Ok(Vec::new()), |below| below.works(asked, form, &own))?;
            let ways = target.keyed_ways(&verb, asked, &own)?;
            Ok(ChildWork {
                name: kind.association.name,
                label: kind.association.label,
                table: model.display_name(),
                handed_down: kind
                    .wiring
                    .handed_down
                    .iter()
                    .map(|&(field, column)| (field, above.place(column)))
                    .collect(),
                work: target.work(&*verb, ways, own.form, false, works),
                recursive: below.is_none(),
            })
        };
        self.kinds.iter().map(work).collect()
    }

    /// Whether rows that were encoded by these layouts are as these tables take them.
    pub(super) fn is_encoded_as(&self, layouts: &[ChildLayout]) -> bool {
        let names = |types: &[ColumnType]| types.iter().map(|ty| ty.ty().name().to_owned()).collect::<Vec<_>>();
        self.kinds.len() == layouts.len()
            && self.kinds.iter().zip(layouts).all(|(kind, layout)| {
                let below = match (&kind.below, &layout.below) {
                    (Some(below), ChildLayouts::Kinds(layouts)) => below.is_encoded_as(layouts),
                    (None, ChildLayouts::Recursive) => true,
                    _ => false,
                };
                below && names(&kind.types()) == names(&layout.types)
            })
    }

    /// Whether rows of some kind have others of it below them.
    pub(super) fn is_recursive(&self) -> bool {
        self.kinds.iter().any(|kind| kind.below.as_ref().is_none_or(Graph::is_recursive))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The relations whose fields the stored rows below fill in, so many levels of them.
    pub(super) fn tree(&self, depth: usize) -> Tree {
        let mut tree = Tree::default();
        if depth == 0 {
            return tree;
        }
        for kind in self.kinds.iter().filter(|kind| kind.association.through.is_none()) {
            let below = kind.below.as_ref().unwrap_or(self);
            tree.branches.push((kind.number, below.tree(depth - 1)));
        }
        tree
    }

    /// The models below, and how their rows are decoded.
    pub(super) fn types(&self) -> Vec<(&'static Model, Arc<[ColumnType]>)> {
        let mut tables = Vec::new();
        for kind in &self.kinds {
            tables.push((kind.rows.model, Arc::clone(&kind.known.types)));
            tables.extend(kind.below.iter().flat_map(Graph::types));
        }
        tables
    }

    /// The columns that each relation's rows are found by: the fields of a stored row, and the columns above.
    pub(super) fn keys(&self) -> Vec<(&'static str, Vec<usize>)> {
        let mut keys = Vec::new();
        for kind in &self.kinds {
            let columns = kind.wiring.handed_down.iter().map(|&(field, _)| kind.wiring.columns[field]).collect();
            keys.push((kind.association.label, columns));
            keys.extend(kind.below.iter().flat_map(Graph::keys));
        }
        keys
    }
}

/// What is known of the keys of rows before they are sent.
pub(super) struct Keys {
    /// The columns that are sent: those that are encoded, and those that are drawn.
    pub(super) columns: Vec<usize>,
    /// The expressions that draw the latter.
    drawn: Vec<String>,
    /// What is asked for: the stored rows where their keys come from there.
    pub(super) form: Form,
}

impl Keys {
    /// The keys of rows that give these columns, as far as the rows of `below` take them.
    pub(super) fn of(below: &Graph, known: &Known, given: &[usize], form: Form) -> Keys {
        let mut keys = Keys { columns: given.to_vec(), drawn: Vec::new(), form };
        if below.is_empty() {
            return keys;
        }
        let mut wanted: Vec<usize> = below.kinds.iter().flat_map(|kind| kind.association.columns).copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        for column in wanted.into_iter().filter(|column| !given.contains(column)) {
            keys.columns.push(column);
            keys.drawn.extend(known.sql.columns[column].sequence());
        }
        let is_known = keys.columns.len() == given.len() + keys.drawn.len();
        // A trigger may change any key on its way in. Where rows come back, their keys come with them.
        if is_known && !known.sql.triggered && form != Form::Rows {
            return keys;
        }
        Keys { columns: given.to_vec(), drawn: Vec::new(), form: Form::Rows }
    }

    /// How the keys are drawn.
    pub(super) fn draw(&self) -> Option<Draw> {
        if self.drawn.is_empty() {
            return None;
        }
        let given = self.columns.len() - self.drawn.len();
        let drawn = (0..self.drawn.len()).map(Place::Drawn);
        let places = std::iter::repeat_n(Place::Given, given).chain(drawn).collect();
        Some(Draw { sql: sql::draw(&self.drawn, None), lock: None, places })
    }

    /// Where the rows below find a column.
    fn place(&self, column: usize) -> Above {
        let sent = self.columns.iter().position(|&sent| sent == column).filter(|_| self.form != Form::Rows);
        sent.map_or(Above::Stored(column), Above::Sent)
    }
}

impl Kind {
    fn new(number: usize, above: &Known, rows: GraphRows, known: Arc<Known>) -> Result<Kind> {
        let association = &above.model.associations[number];
        let types = |column| known.types.get(column);
        let wiring = Wiring::of(association, above.model, &rows, |key| above.types.get(key), types)?;
        Ok(Kind { number, association, rows, known, wiring, below: None })
    }

    fn types(&self) -> Vec<ColumnType> {
        self.known.types_of(&self.wiring.columns)
    }
}
