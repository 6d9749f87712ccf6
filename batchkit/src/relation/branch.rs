//! Some rows of one model, and the relations of theirs that are loaded: the only place that knows their types.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::answers::Answers;
use super::tree::Tree;
use crate::error::{Error, Result};
use crate::model::{Association, Model, ReadRow, Related, RelatedValue, ToMany, ToOne};
use crate::operation::{decode, unreadable};
use crate::wire::{ColumnType, EncodedRows, RowsBuilder, Start, decoding};

/// The question of one relation of one level: which rows are related to these keys.
pub(crate) struct Question {
    /// The model whose rows ask.
    pub(crate) model: &'static Model,
    /// The relation.
    pub(crate) association: &'static Association,
    /// The keys that are asked about, each once, none with a NULL: the values of `association.columns`.
    pub(crate) keys: EncodedRows,
    /// Starts to decode the related rows.
    pub(crate) decode: Start,
}

/// How the columns of each model are encoded and decoded.
pub(crate) type TypesOf<'a> = dyn Fn(&'static Model) -> Result<Arc<[ColumnType]>> + 'a;

/// Some rows of a type that only this knows.
pub(crate) trait Level: Send {
    /// The questions that these rows have, one for each relation that is loaded.
    fn ask(&mut self, types: &TypesOf<'_>) -> Result<Vec<Question>>;

    /// Takes the answers, in the order of the questions.
    fn take(&mut self, answers: Vec<Answers>, types: &TypesOf<'_>) -> Result<()>;

    /// The related rows, which have questions of their own.
    fn below(&mut self) -> Vec<&mut dyn Level>;

    /// Fills in the fields, from the deepest level upwards.
    fn fill(&mut self);
}

/// Rows of `M`, and the relations of theirs that are loaded.
pub(crate) struct Node<M> {
    pub(crate) rows: Vec<M>,
    wanted: Vec<Wanted<M>>,
}

/// A relation that is loaded.
struct Wanted<M> {
    association: &'static Association,
    branch: Box<dyn Branch<M>>,
    below: Tree,
    /// How many keys were asked about.
    keys: usize,
    /// Which of them each row has.
    key_of: Vec<Option<usize>>,
}

impl<M: ReadRow> Node<M> {
    /// Rows of which these relations are loaded.
    pub(crate) fn new(rows: Vec<M>, tree: Tree) -> Self {
        let wanted = tree.branches.into_iter().filter_map(|(number, below)| {
            let association = M::MODEL.associations.get(number)?;
            Some(Wanted { association, branch: M::branch(number)?, below, keys: 0, key_of: Vec::new() })
        });
        Node { rows, wanted: wanted.collect() }
    }
}

impl<M: ReadRow> Level for Node<M> {
    fn ask(&mut self, types: &TypesOf<'_>) -> Result<Vec<Question>> {
        let Node { rows, wanted } = self;
        let mut questions = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let (keys, key_of) = keys(rows, wanted.association, types)?;
            (wanted.keys, wanted.key_of) = (keys.len(), key_of);
            let decode = wanted.branch.decode();
            questions.push(Question { model: M::MODEL, association: wanted.association, keys, decode });
        }
        Ok(questions)
    }

    fn take(&mut self, answers: Vec<Answers>, types: &TypesOf<'_>) -> Result<()> {
        for (wanted, answers) in self.wanted.iter_mut().zip(answers) {
            let below = std::mem::take(&mut wanted.below);
            wanted.branch.take(wanted.association, answers, below, types)?;
        }
        Ok(())
    }

    fn below(&mut self) -> Vec<&mut dyn Level> {
        self.wanted.iter_mut().filter_map(|wanted| wanted.branch.level()).collect()
    }

    fn fill(&mut self) {
        for wanted in &mut self.wanted {
            wanted.branch.fill(&mut self.rows, &wanted.key_of, wanted.keys);
        }
    }
}

/// How rows are decoded that are related to those of `M` by the relations of this tree, each with its relation.
pub(crate) fn decodings<M: ReadRow>(tree: &Tree) -> Vec<(&'static Association, Start)> {
    let decoding = |(number, _): &(usize, Tree)| {
        let association = M::MODEL.associations.get(*number)?;
        Some((association, M::branch(*number)?.decode()))
    };
    tree.branches.iter().filter_map(decoding).collect()
}

/// The keys of these rows, each once, and which of them each row has: none where a part is NULL.
fn keys<M: ReadRow>(
    rows: &[M],
    association: &Association,
    types: &TypesOf<'_>,
) -> Result<(EncodedRows, Vec<Option<usize>>)> {
    let types = types(M::MODEL)?;
    let types: Vec<ColumnType> = association.columns.iter().filter_map(|&column| types.get(column).cloned()).collect();
    let mut builder = RowsBuilder::default();
    for (position, row) in rows.iter().enumerate() {
        let written = builder.push(&types, |part, out| row.write(association.columns[part], out));
        written.map_err(|(part, fault)| {
            let column = M::MODEL.columns[association.columns[part]].name;
            Error::invalid_row(position, column, fault).in_table(M::MODEL.display_name())
        })?;
    }
    let all = builder.finish();
    let mut known: HashMap<&[u8], usize, RandomState> =
        HashMap::with_capacity_and_hasher(all.len(), RandomState::default());
    let mut firsts = Vec::new();
    let key_of = (0..all.len()).map(|row| {
        if all.row(row).any(|field| field.is_none()) {
            return None;
        }
        Some(*known.entry(all.fields(row)).or_insert_with(|| {
            firsts.push(row);
            firsts.len() - 1
        }))
    });
    let key_of = key_of.collect();
    Ok((all.subset(&firsts), key_of))
}

/// One relation of rows of `M`.
#[doc(hidden)]
#[allow(private_interfaces, reason = "generated code hands it on and looks into nothing")]
pub trait Branch<M>: Send {
    /// Starts to decode related rows.
    fn decode(&self) -> Start;

    /// Takes the related rows, and the relations of theirs that are loaded.
    fn take(&mut self, of: &'static Association, answers: Answers, below: Tree, types: &TypesOf<'_>) -> Result<()>;

    /// The level of the related rows.
    fn level(&mut self) -> Option<&mut dyn Level>;

    /// Fills in the field of each row, which has this one of so many keys.
    fn fill(&mut self, rows: &mut [M], key_of: &[Option<usize>], keys: usize);
}

/// A relation, if there is one with that number.
#[doc(hidden)]
pub type Branched<M> = Option<Box<dyn Branch<M>>>;

/// A relation to one row at the most. Used by generated code.
#[doc(hidden)]
pub fn to_one<M: ReadRow + 'static, V: ToOne<Target: ReadRow>>(field: fn(&mut M) -> &mut Related<V>) -> Branched<M> {
    Some(Box::new(Field { field, label: "", node: None, owners: Vec::new() }))
}

/// A relation to several rows. Used by generated code.
#[doc(hidden)]
pub fn to_many<M: ReadRow + 'static, V: ToMany<Target: ReadRow>>(field: fn(&mut M) -> &mut Related<V>) -> Branched<M> {
    Some(Box::new(Field { field, label: "", node: None, owners: Vec::new() }))
}

/// The field of a relation, and the related rows of all rows together.
struct Field<M, V: RelatedValue> {
    field: fn(&mut M) -> &mut Related<V>,
    label: &'static str,
    node: Option<Node<V::Target>>,
    /// Which key each related row belongs to.
    owners: Vec<usize>,
}

impl<M: ReadRow, V: RelatedValue<Target: ReadRow>> Branch<M> for Field<M, V> {
    fn decode(&self) -> Start {
        decoding::<V::Target>
    }

    fn take(&mut self, of: &'static Association, answers: Answers, below: Tree, types: &TypesOf<'_>) -> Result<()> {
        self.label = of.label;
        let types = types((of.target)())?;
        let count = answers.iter().map(|block| block.rows.len()).sum();
        let mut rows = Vec::with_capacity(count);
        self.owners.reserve(count);
        for block in &answers {
            let mut decoded = block.rows.take_all_decoded();
            let read = |row, decoded: Option<std::result::Result<V::Target, _>>| match decoded {
                Some(decoded) => decoded.map_err(unreadable::<V::Target>),
                None => decode(block.rows.fields(row), &types),
            };
            if let Some(owners) = block.in_step().filter(|owners| owners.len() == decoded.len()) {
                self.owners.extend_from_slice(owners);
                for (row, decoded) in decoded.into_rows().enumerate() {
                    rows.push(read(row, decoded)?);
                }
                continue;
            }
            for (owner, row) in block.iter() {
                self.owners.push(owner);
                rows.push(read(row, decoded.take(row))?);
            }
        }
        self.node = Some(Node::new(rows, below));
        Ok(())
    }

    fn level(&mut self) -> Option<&mut dyn Level> {
        self.node.as_mut().map(|node| node as &mut dyn Level)
    }

    fn fill(&mut self, rows: &mut [M], key_of: &[Option<usize>], keys: usize) {
        let mut sizes = vec![0; keys];
        for &owner in &self.owners {
            if let Some(size) = sizes.get_mut(owner) {
                *size += 1;
            }
        }
        let mut groups: Vec<Vec<V::Target>> = sizes.into_iter().map(Vec::with_capacity).collect();
        if let Some(mut node) = self.node.take() {
            node.fill();
            for (owner, row) in self.owners.drain(..).zip(node.rows) {
                if let Some(group) = groups.get_mut(owner) {
                    group.push(row);
                }
            }
        }
        let related = |rows| V::gather(rows).map_or(Related::dangling(self.label), Related::new);
        let none = related(Vec::new());
        let related: Vec<Related<V>> = groups.into_iter().map(related).collect();
        for (row, key) in rows.iter_mut().zip(key_of) {
            let value = key.and_then(|key| related.get(key)).unwrap_or(&none);
            *(self.field)(row) = value.clone();
        }
    }
}
