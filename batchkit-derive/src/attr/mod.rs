//! What `#[batch(…)]` says, on a struct and on a field.

mod entry;
mod names;
mod relation;

use syn::{Attribute, Ident, LitStr, Path, Type};

use crate::case::Case;
use crate::errors::Errors;
use entry::{Entry, entries};
pub(crate) use names::Place;
pub(crate) use relation::{RelationAttr, Relationship};

/// What `#[batch(…)]` says on a struct.
pub(crate) struct ContainerAttrs {
    pub(crate) table: Option<LitStr>,
    pub(crate) schema: Option<LitStr>,
    pub(crate) rename_all: Option<Case>,
    pub(crate) new: Option<Ident>,
    pub(crate) new_derive: Option<(Ident, Vec<Path>)>,
    pub(crate) write_only: Option<Ident>,
    pub(crate) model: Option<Path>,
    pub(crate) ignore_version: Option<Ident>,
    pub(crate) krate: Option<Path>,
    /// Whether all entries could be read. What is missing otherwise may be what could not be read.
    pub(crate) legible: bool,
}

/// What `#[batch(…)]` says on a field. The identifiers are the attributes' own names.
pub(crate) struct FieldAttrs {
    pub(crate) key: Option<Ident>,
    pub(crate) unique: Vec<UniqueAttr>,
    pub(crate) auto: Option<Ident>,
    pub(crate) computed: Option<Ident>,
    pub(crate) version: Option<Ident>,
    pub(crate) soft_delete: Option<Ident>,
    pub(crate) on_insert: Option<LitStr>,
    pub(crate) on_update: Option<LitStr>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) skip: Option<Ident>,
    pub(crate) pg_type: Option<LitStr>,
    pub(crate) json: Option<Ident>,
    pub(crate) stored_as: Option<(Ident, Type)>,
    pub(crate) field: Option<LitStr>,
    pub(crate) parent: Option<Ident>,
    pub(crate) relation: Option<RelationAttr>,
}

/// One unique key that the field is in: its own, or a group's.
pub(crate) struct UniqueAttr {
    pub(crate) name: Ident,
    pub(crate) group: Option<LitStr>,
}

impl ContainerAttrs {
    pub(crate) fn read(attributes: &[Attribute], place: Place, errors: &mut Errors) -> Self {
        let (entries, legible) = entries(attributes, place, errors);
        let mut attrs = ContainerAttrs {
            table: None,
            schema: None,
            rename_all: None,
            new: None,
            new_derive: None,
            write_only: None,
            model: None,
            ignore_version: None,
            krate: None,
            legible,
        };
        let mistakes = errors.count();
        for entry in entries {
            match entry.name.to_string().as_str() {
                names::TABLE => entry.once(&mut attrs.table, Entry::text, errors),
                names::SCHEMA => entry.once(&mut attrs.schema, Entry::text, errors),
                names::RENAME_ALL => entry.once(&mut attrs.rename_all, |entry| case(&entry.text()?), errors),
                names::NEW => entry.once(&mut attrs.new, Entry::quoted, errors),
                names::NEW_DERIVE => {
                    let derives = |entry: &Entry| Ok((entry.name.clone(), entry.list(Path::parse_mod_style)?));
                    entry.once(&mut attrs.new_derive, derives, errors);
                }
                names::WRITE_ONLY => entry.once(&mut attrs.write_only, Entry::flag, errors),
                names::MODEL => entry.once(&mut attrs.model, Entry::quoted, errors),
                names::IGNORE_VERSION => entry.once(&mut attrs.ignore_version, Entry::flag, errors),
                names::CRATE => entry.once(&mut attrs.krate, Entry::quoted, errors),
                // `entries` lets through what the place knows, and these are all.
                _ => {}
            }
        }
        attrs.legible &= errors.count() == mistakes;
        attrs
    }
}

impl FieldAttrs {
    pub(crate) fn read(attributes: &[Attribute], place: Place, errors: &mut Errors) -> Self {
        let mut attrs = FieldAttrs {
            key: None,
            unique: Vec::new(),
            auto: None,
            computed: None,
            version: None,
            soft_delete: None,
            on_insert: None,
            on_update: None,
            rename: None,
            skip: None,
            pg_type: None,
            json: None,
            stored_as: None,
            field: None,
            parent: None,
            relation: None,
        };
        for entry in entries(attributes, place, errors).0 {
            match entry.name.to_string().as_str() {
                names::KEY => entry.once(&mut attrs.key, Entry::flag, errors),
                names::UNIQUE => match entry.texts() {
                    Ok(groups) => attrs.unique(&entry, groups, errors),
                    Err(error) => errors.push(error),
                },
                names::AUTO => entry.once(&mut attrs.auto, Entry::flag, errors),
                names::COMPUTED => entry.once(&mut attrs.computed, Entry::flag, errors),
                names::VERSION => entry.once(&mut attrs.version, Entry::flag, errors),
                names::SOFT_DELETE => entry.once(&mut attrs.soft_delete, Entry::flag, errors),
                names::ON_INSERT => entry.once(&mut attrs.on_insert, Entry::text, errors),
                names::ON_UPDATE => entry.once(&mut attrs.on_update, Entry::text, errors),
                names::RENAME => entry.once(&mut attrs.rename, Entry::text, errors),
                names::SKIP => entry.once(&mut attrs.skip, Entry::flag, errors),
                names::PG_TYPE => entry.once(&mut attrs.pg_type, Entry::text, errors),
                names::JSON => entry.once(&mut attrs.json, Entry::flag, errors),
                names::AS => {
                    let stored = |entry: &Entry| Ok((entry.name.clone(), entry.quoted()?));
                    entry.once(&mut attrs.stored_as, stored, errors);
                }
                names::FIELD => entry.once(&mut attrs.field, Entry::text, errors),
                names::PARENT => entry.once(&mut attrs.parent, Entry::flag, errors),
                names::BELONGS_TO | names::HAS_ONE | names::HAS_MANY | names::MANY_TO_MANY => {
                    attrs.relate(&entry, errors);
                }
                // `entries` lets through what the place knows, and these are all.
                _ => {}
            }
        }
        attrs
    }

    /// A field is one relation.
    fn relate(&mut self, entry: &Entry, errors: &mut Errors) {
        match RelationAttr::read(entry, errors) {
            Some(_) if self.relation.is_some() => errors.at(&entry.name, "a field is one relation: keep one"),
            Some(relation) => self.relation = Some(relation),
            None => {}
        }
    }

    /// A field may be in several groups, but in each of them once.
    fn unique(&mut self, entry: &Entry, groups: Vec<LitStr>, errors: &mut Errors) {
        if groups.is_empty() {
            if self.unique.iter().any(|unique| unique.group.is_none()) {
                return entry.twice(errors);
            }
            self.unique.push(UniqueAttr { name: entry.name.clone(), group: None });
        }
        for group in groups {
            let same = |unique: &UniqueAttr| unique.group.as_ref().is_some_and(|other| other.value() == group.value());
            if self.unique.iter().any(same) {
                errors.at(&group, format!("the field is in the group {:?} already: keep one", group.value()));
            } else {
                self.unique.push(UniqueAttr { name: entry.name.clone(), group: Some(group) });
            }
        }
    }
}

fn case(name: &LitStr) -> syn::Result<Case> {
    let wanted = name.value();
    let found = Case::NAMES.iter().find(|(known, _)| *known == wanted);
    found.map(|(_, case)| *case).ok_or_else(|| {
        let known: Vec<&str> = Case::NAMES.iter().map(|(known, _)| *known).collect();
        syn::Error::new(name.span(), format!("unknown case `{wanted}`; there are `{}`", known.join("`, `")))
    })
}
