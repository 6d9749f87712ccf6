//! Rows below others, for a store that hands keys down by itself.

use std::sync::Arc;

use super::encode::{RawRow, raw_rows};
use crate::error::Result;
use crate::model::{Association, Child, GraphRows, Model};
use crate::relation::Tree;
use crate::source::{ChildLayout, ChildLayouts, Layout, Wiring, is_recursive};
use crate::wire::{Below, ColumnType};

/// The types of all columns of a model.
pub(super) type TypesOf<'t> = dyn FnMut(&'static Model) -> Result<Arc<[ColumnType]>> + 't;

/// The kinds of rows below a call's rows.
#[derive(Debug, Clone)]
pub struct RawGraph(pub(super) Arc<Layout>);

impl RawGraph {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.below.is_empty()
    }

    /// The relations whose fields stored rows below fill in, so many levels of them.
    pub(super) fn tree(&self, model: &'static Model, levels: usize) -> Tree {
        tree(&self.0.below, model, levels)
    }
}

fn tree(kinds: &[ChildLayout], model: &'static Model, levels: usize) -> Tree {
    let mut branches = Vec::new();
    for kind in kinds.iter().filter(|kind| levels > 0 && kind.association.through.is_none()) {
        let number = model.associations.iter().position(|known| known.name == kind.association.name);
        branches.extend(number.map(|number| (number, tree(kind.below.kinds(kinds), kind.model, levels - 1))));
    }
    Tree { branches }
}

/// How the rows below rows of `above` are encoded.
pub(super) fn layouts(
    above: GraphRows,
    types_of: &mut TypesOf<'_>,
    ancestors: &mut Vec<GraphRows>,
) -> Result<Vec<ChildLayout>> {
    let layout = |child: &Child| {
        let rows = (child.rows)();
        let recursive = is_recursive(&above, &rows, ancestors)?;
        let (above_types, types) = (types_of(above.model)?, types_of(rows.model)?);
        let association = &above.model.associations[child.association];
        let wiring =
            Wiring::of(association, above.model, &rows, |key| above_types.get(key), |column| types.get(column))?;
        let below = if recursive {
            ChildLayouts::Recursive
        } else {
            ancestors.push(above);
            let below = layouts(rows, types_of, ancestors)?;
            ancestors.pop();
            ChildLayouts::Kinds(below)
        };
        let chosen = wiring.columns.iter().filter_map(|&column| types.get(column).cloned()).collect();
        Ok(ChildLayout::new(association, &rows, wiring, chosen, below))
    };
    above.children.iter().map(layout).collect()
}

/// Rows of one kind below others.
#[derive(Clone, Copy)]
pub struct RawBelow<'c> {
    layout: &'c ChildLayout,
    /// The kinds of rows next to these.
    kinds: &'c [ChildLayout],
    rows: &'c Below,
}

// Never prints a value.
impl std::fmt::Debug for RawBelow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawBelow").field("relation", &self.layout.association.label).finish_non_exhaustive()
    }
}

impl<'c> RawBelow<'c> {
    pub(super) fn of(kinds: &'c [ChildLayout], below: &'c [Below]) -> Vec<Self> {
        kinds.iter().zip(below).map(|(layout, rows)| RawBelow { layout, kinds, rows }).collect()
    }

    /// The relation that leads to the rows.
    #[must_use]
    pub fn association(&self) -> &'static Association {
        self.layout.association
    }

    /// The rows' model: the relation's target, or the link between the two.
    #[must_use]
    pub fn model(&self) -> &'static Model {
        self.layout.model
    }

    /// The positions in the model of the columns of the rows' fields.
    #[must_use]
    pub fn columns(&self) -> &'c [usize] {
        &self.layout.columns
    }

    /// Which of the fields are the key of the row above, each with that column's position in the model above. A row
    /// that names its owner by itself gives them; otherwise they are NULL and for the store to fill in.
    #[must_use]
    pub fn handed_down(&self) -> &'c [(usize, usize)] {
        &self.layout.handed_down
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> Vec<RawRow> {
        raw_rows(&self.rows.rows)
    }

    /// The position among the rows above of the one that each row is below, ascending.
    #[must_use]
    pub fn owners(&self) -> &'c [usize] {
        &self.rows.owners
    }

    /// What is below these rows.
    #[must_use]
    pub fn below(&self) -> Vec<RawBelow<'c>> {
        RawBelow::of(self.layout.below.kinds(self.kinds), self.rows.rows.below())
    }
}
