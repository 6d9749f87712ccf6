//! Rows with others below them: which tables a call writes to, in which order, and how keys are handed down.

use std::sync::Arc;

use super::engine::{Engine, Target};
use super::insert::Insert;
use super::verb::Verb;
use crate::catalog::Table;
use crate::config::Transport;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Association, Child, GraphRows, Model};
use crate::relation::Tree;
use crate::session::{ChildWork, Within};
use crate::source::{ChildLayout, ChildLayouts};
use crate::sql::Form;
use crate::wire::{ColumnType, base};

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
    table: Arc<Table>,
    /// The columns that are encoded.
    columns: Vec<usize>,
    /// Which fields are the key of the row above: each with the position of that column in the model above.
    handed_down: Vec<(usize, usize)>,
    /// `None` where rows of the same kinds as these are below them.
    below: Option<Graph>,
}

impl Graph {
    /// Looks up what is below rows of `model`, and asks the catalogue about the tables.
    pub(super) async fn of(
        engine: &Engine,
        mut within: Option<Within<'_>>,
        model: &'static Model,
        table: &Table,
        children: &'static [Child],
    ) -> Result<Graph> {
        let top = GraphRows { model, columns: &[], children };
        Graph::below(engine, &mut within, table, top, &mut Vec::new()).await
    }

    async fn below(
        engine: &Engine,
        within: &mut Option<Within<'_>>,
        above: &Table,
        rows: GraphRows,
        ancestors: &mut Vec<GraphRows>,
    ) -> Result<Graph> {
        let mut kinds = Vec::with_capacity(rows.children.len());
        for child in rows.children {
            let below = (child.rows)();
            let same = |other: &GraphRows| other.model.is(below.model) && other.columns == below.columns;
            let recursive = !rows.columns.is_empty() && same(&rows);
            if !recursive && ancestors.iter().any(same) {
                let what = format!(
                    "rows of `{}` are below rows of `{}`, and these below those",
                    rows.model.name, below.model.name
                );
                return Err(Error::new(ErrorKind::Config, what));
            }
            let table = engine.table(below.model, within.as_mut().map(Within::lend)).await?;
            let kind = Kind::new(child.association, rows.model, above, below, table)?;
            let graph = if recursive {
                None
            } else {
                ancestors.push(rows);
                let graph = Box::pin(Graph::below(engine, within, &kind.table, below, ancestors)).await?;
                ancestors.pop();
                Some(graph)
            };
            kinds.push(Kind { below: graph, ..kind });
        }
        Ok(Graph { kinds })
    }

    /// How the rows are encoded.
    pub(super) fn layouts(&self) -> Vec<ChildLayout> {
        let layout = |kind: &Kind| ChildLayout {
            association: kind.association,
            model: kind.rows.model,
            columns: kind.columns.clone(),
            given: kind.rows.columns,
            types: kind.types(),
            below: kind.below.as_ref().map_or(ChildLayouts::Recursive, |below| ChildLayouts::Kinds(below.layouts())),
        };
        self.kinds.iter().map(layout).collect()
    }

    /// What is done with the rows, where the call asks for `form`.
    pub(super) fn works(&self, asked: Transport, form: Form) -> Result<Vec<ChildWork>> {
        let work = |kind: &Kind| {
            let below = kind.below.as_ref();
            // Keys have to come back where there are rows that take them.
            let takes_keys = below.is_none_or(|below| !below.kinds.is_empty());
            let form = if takes_keys { Form::Rows } else { form };
            let target = Target {
                model: kind.rows.model,
                table: &kind.table,
                columns: &kind.columns,
                rejects: false,
                writes: true,
            };
            let verb = Insert::of_columns(kind.columns.clone());
            verb.refuse(kind.rows.model, &kind.table)?;
            let (work, _) =
                target.work(&verb, asked, form, below.map_or(Ok(Vec::new()), |below| below.works(asked, form))?)?;
            Ok(ChildWork {
                name: kind.association.name,
                label: kind.association.label,
                table: kind.rows.model.display_name(),
                handed_down: kind.handed_down.clone(),
                work,
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

    /// The models below and their tables.
    pub(super) fn tables(&self) -> Vec<(&'static Model, Arc<Table>)> {
        let mut tables = Vec::new();
        for kind in &self.kinds {
            tables.push((kind.rows.model, Arc::clone(&kind.table)));
            tables.extend(kind.below.iter().flat_map(Graph::tables));
        }
        tables
    }

    /// The columns that each relation's rows are found by: the fields of a stored row, and the columns above.
    pub(super) fn keys(&self) -> Vec<(&'static str, Vec<usize>)> {
        let mut keys = Vec::new();
        for kind in &self.kinds {
            let columns = kind.handed_down.iter().map(|&(field, _)| kind.columns[field]).collect();
            keys.push((kind.association.label, columns));
            keys.extend(kind.below.iter().flat_map(Graph::keys));
        }
        keys
    }
}

impl Kind {
    fn new(
        number: usize,
        above_model: &'static Model,
        above: &Table,
        rows: GraphRows,
        table: Arc<Table>,
    ) -> Result<Kind> {
        let association = &above_model.associations[number];
        let named_by = match &association.through {
            Some(through) => (through.columns)(),
            None => (association.target_columns)(),
        };
        let given = rows.columns.iter().copied();
        let columns: Vec<usize> =
            given.chain(named_by.iter().copied().filter(|column| !rows.columns.contains(column))).collect();
        let mut handed_down = Vec::with_capacity(named_by.len());
        for (&column, &key) in named_by.iter().zip(association.columns) {
            let (name, key_name) = (rows.model.columns[column].name, above_model.columns[key].name);
            let types = (table.column(name), above.column(key_name));
            let is_same = matches!(types, (Some(one), Some(other)) if base(&one.ty) == base(&other.ty));
            if !is_same {
                let what = format!(
                    "column {name:?} has another type than {key_name:?} of {:?}, whose value it takes",
                    above.name
                );
                return Err(Error::schema(&rows.model.display_name(), vec![what]));
            }
            handed_down.extend(columns.iter().position(|&known| known == column).map(|field| (field, key)));
        }
        Ok(Kind { number, association, rows, table, columns, handed_down, below: None })
    }

    fn types(&self) -> Vec<ColumnType> {
        let found = self.columns.iter().filter_map(|&column| {
            let column = &self.rows.model.columns[column];
            let found = self.table.column(column.name)?;
            Some(ColumnType::new(found.ty.clone(), found.not_null, |ty| column.accepts(ty)))
        });
        found.collect()
    }
}
