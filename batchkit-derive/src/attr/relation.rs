//! What `belongs_to(…)`, `has_one(…)`, `has_many(…)` and `many_to_many(…)` say inside of their parentheses.

use syn::{Ident, LitStr, Path, Type};

use super::entry::{Entry, Value, nested};
use super::names;
use crate::errors::Errors;

/// How many rows belong to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relationship {
    BelongsTo,
    HasOne,
    HasMany,
    ManyToMany,
}

/// A relation as its attribute says it.
pub(crate) struct RelationAttr {
    /// The attribute's own name.
    pub(crate) name: Ident,
    pub(crate) relationship: Relationship,
    /// The columns that name the other row: of the side that has them.
    pub(crate) key: Vec<LitStr>,
    /// The columns that they name, if not the primary key.
    pub(crate) references: Vec<LitStr>,
    /// The model of the table between.
    pub(crate) through: Option<Path>,
    /// Its columns that name the related row.
    pub(crate) target_key: Vec<LitStr>,
    /// The columns of the related model to order by, with `-` in front for larger values first.
    pub(crate) order: Vec<LitStr>,
    /// The rows of a graph that are inserted with this one.
    pub(crate) new: Option<Type>,
}

impl RelationAttr {
    /// Reads the attribute; mistakes go to `errors`.
    pub(super) fn read(entry: &Entry, errors: &mut Errors) -> Option<Self> {
        let name = entry.name.clone();
        let relation = name.to_string();
        let relationship = match relation.as_str() {
            names::BELONGS_TO => Relationship::BelongsTo,
            names::HAS_ONE => Relationship::HasOne,
            names::HAS_MANY => Relationship::HasMany,
            _ => Relationship::ManyToMany,
        };
        let Value::List(tokens) = &entry.value else {
            errors.at(&name, format!("write it as in `{}`", names::form(&relation)));
            return None;
        };
        let mistakes = errors.count();
        let (mut key, mut references, mut target_key, mut order) = (None, None, None, None);
        let (mut through, mut new) = (None, None);
        for inner in nested(tokens, errors) {
            let inner_name = inner.name.to_string();
            if !names::relation_knows(&relation, &inner_name) {
                errors.at(&inner.name, names::unknown_in_relation(&relation, &inner_name));
                continue;
            }
            match inner_name.as_str() {
                names::KEY => inner.once(&mut key, Entry::named_texts, errors),
                names::REFERENCES => inner.once(&mut references, Entry::named_texts, errors),
                names::TARGET_KEY => inner.once(&mut target_key, Entry::named_texts, errors),
                names::ORDER => inner.once(&mut order, Entry::named_texts, errors),
                names::THROUGH => inner.once(&mut through, Entry::quoted, errors),
                names::NEW => inner.once(&mut new, Entry::quoted, errors),
                // `relation_knows` lets through what there is.
                _ => {}
            }
        }
        if errors.count() > mistakes {
            return None;
        }
        let mut missing = |what: &str| {
            errors.at(&name, format!("`{relation}` lacks `{what}`: write it as in `{}`", names::form(&relation)));
        };
        if key.is_none() {
            missing(names::KEY);
        }
        if relationship == Relationship::ManyToMany {
            if through.is_none() {
                missing(names::THROUGH);
            }
            if target_key.is_none() {
                missing(names::TARGET_KEY);
            }
        }
        (errors.count() == mistakes).then(|| RelationAttr {
            name,
            relationship,
            key: key.unwrap_or_default(),
            references: references.unwrap_or_default(),
            through,
            target_key: target_key.unwrap_or_default(),
            order: order.unwrap_or_default(),
            new,
        })
    }
}
