//! The relations that a caller asked for, looked up: which of each level, and which below them.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Association, Model, RelationPaths};

/// Relations of one model, and those below each.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// The numbers of the relations, each once, in the order in which they were named first.
    pub(crate) branches: Vec<(usize, Tree)>,
}

impl Tree {
    /// Looks up the relations on these paths; an unknown name is an error that lists the known ones.
    pub(crate) fn of<M>(model: &'static Model, paths: &RelationPaths<M>) -> Result<Tree> {
        let mut tree = Tree::default();
        for path in paths.as_slice() {
            let mut place = (&mut tree, model);
            for name in path.split('.') {
                let (tree, model) = place;
                let number = number(model, name, path)?;
                place = (tree.branch(number), (model.associations[number].target)());
            }
        }
        Ok(tree)
    }

    fn branch(&mut self, number: usize) -> &mut Tree {
        let at = match self.branches.iter().position(|(known, _)| *known == number) {
            Some(at) => at,
            None => {
                self.branches.push((number, Tree::default()));
                self.branches.len() - 1
            }
        };
        &mut self.branches[at].1
    }

    /// How many levels there are.
    pub(crate) fn depth(&self) -> usize {
        self.branches.iter().map(|(_, below)| 1 + below.depth()).max().unwrap_or(0)
    }

    /// All models that are asked about, `model` among them, each once.
    pub(crate) fn models(&self, model: &'static Model) -> Vec<&'static Model> {
        let mut models = vec![model];
        self.collect(model, &mut models);
        models
    }

    fn collect(&self, model: &'static Model, models: &mut Vec<&'static Model>) {
        for (number, below) in &self.branches {
            let association: &Association = &model.associations[*number];
            let target = (association.target)();
            let through = association.through.map(|through| (through.model)());
            for found in through.into_iter().chain([target]) {
                if !models.iter().any(|known| known.is(found)) {
                    models.push(found);
                }
            }
            below.collect(target, models);
        }
    }
}

fn number(model: &Model, name: &str, path: &str) -> Result<usize> {
    model.associations.iter().position(|association| association.name == name).ok_or_else(|| {
        let known: Vec<&str> = model.associations.iter().map(|association| association.name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let whole = if path == name { String::new() } else { format!(" (in {path:?})") };
        let what = format!("`{}` has no relation {name:?}{whole}; it has {known}", model.name);
        Error::new(ErrorKind::UnknownRelation, what).in_table(model.display_name())
    })
}
