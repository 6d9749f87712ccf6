//! The names of all attributes, where each belongs, and what is said of one that does not belong there.

use Place::{Model, ModelField, Patch, PatchField};

/// Where an attribute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Model,
    ModelField,
    Patch,
    PatchField,
}

pub(crate) const AS: &str = "as";
pub(crate) const AUTO: &str = "auto";
pub(crate) const BELONGS_TO: &str = "belongs_to";
pub(crate) const COMPUTED: &str = "computed";
pub(crate) const CRATE: &str = "crate";
pub(crate) const FIELD: &str = "field";
pub(crate) const HAS_MANY: &str = "has_many";
pub(crate) const HAS_ONE: &str = "has_one";
pub(crate) const IGNORE_VERSION: &str = "ignore_version";
pub(crate) const JSON: &str = "json";
pub(crate) const KEY: &str = "key";
pub(crate) const MANY_TO_MANY: &str = "many_to_many";
pub(crate) const MODEL: &str = "model";
pub(crate) const NEW: &str = "new";
pub(crate) const NEW_DERIVE: &str = "new_derive";
pub(crate) const ON_INSERT: &str = "on_insert";
pub(crate) const ON_UPDATE: &str = "on_update";
pub(crate) const ORDER: &str = "order";
pub(crate) const PARENT: &str = "parent";
pub(crate) const PG_TYPE: &str = "pg_type";
pub(crate) const REFERENCES: &str = "references";
pub(crate) const RENAME: &str = "rename";
pub(crate) const RENAME_ALL: &str = "rename_all";
pub(crate) const SCHEMA: &str = "schema";
pub(crate) const SKIP: &str = "skip";
pub(crate) const SOFT_DELETE: &str = "soft_delete";
pub(crate) const TABLE: &str = "table";
pub(crate) const TARGET_KEY: &str = "target_key";
pub(crate) const THROUGH: &str = "through";
pub(crate) const UNIQUE: &str = "unique";
pub(crate) const VERSION: &str = "version";
pub(crate) const WRITE_ONLY: &str = "write_only";

/// One attribute: its name, how it is written, and the places that it belongs to.
struct Known(&'static str, &'static str, &'static [Place]);

/// In the order in which messages list them.
const ALL: &[Known] = &[
    Known(TABLE, "table = \"products\"", &[Model]),
    Known(SCHEMA, "schema = \"shop\"", &[Model]),
    Known(RENAME_ALL, "rename_all = \"camelCase\"", &[Model]),
    Known(NEW, "new = \"NewProduct\"", &[Model]),
    Known(NEW_DERIVE, "new_derive(Debug, Clone)", &[Model]),
    Known(WRITE_ONLY, "write_only", &[Model]),
    Known(MODEL, "model = \"Product\"", &[Patch]),
    Known(IGNORE_VERSION, "ignore_version", &[Patch]),
    Known(CRATE, "crate = \"batchkit\"", &[Model, Patch]),
    Known(KEY, "key", &[ModelField]),
    Known(UNIQUE, "unique`, `unique = \"group\"` or `unique(\"group\", \"other\")", &[ModelField]),
    Known(AUTO, "auto", &[ModelField]),
    Known(COMPUTED, "computed", &[ModelField]),
    Known(VERSION, "version", &[ModelField]),
    Known(SOFT_DELETE, "soft_delete", &[ModelField]),
    Known(ON_INSERT, "on_insert = \"gen_random_uuid()\"", &[ModelField]),
    Known(ON_UPDATE, "on_update = \"now()\"", &[ModelField]),
    Known(RENAME, "rename = \"column\"", &[ModelField]),
    Known(FIELD, "field = \"price\"", &[PatchField]),
    Known(PG_TYPE, "pg_type = \"citext\"", &[ModelField]),
    Known(JSON, "json", &[ModelField, PatchField]),
    Known(AS, "as = \"i64\"", &[ModelField, PatchField]),
    Known(SKIP, "skip", &[ModelField, PatchField]),
    Known(PARENT, "parent", &[ModelField]),
    Known(BELONGS_TO, "belongs_to(key = \"category_id\")", &[ModelField]),
    Known(HAS_ONE, "has_one(key = \"product_id\")", &[ModelField]),
    Known(HAS_MANY, "has_many(key = \"product_id\")", &[ModelField]),
    Known(
        MANY_TO_MANY,
        "many_to_many(through = \"ProductTag\", key = \"product_id\", target_key = \"tag_id\")",
        &[ModelField],
    ),
];

/// What the relations take inside of their parentheses.
const OF_RELATIONS: &[(&str, &[&str])] = &[
    (BELONGS_TO, &[KEY, REFERENCES]),
    (HAS_ONE, &[KEY, REFERENCES, ORDER, NEW]),
    (HAS_MANY, &[KEY, REFERENCES, ORDER, NEW]),
    (MANY_TO_MANY, &[THROUGH, KEY, TARGET_KEY, REFERENCES, ORDER, NEW]),
];

/// Whether the relation takes this inside of its parentheses.
pub(super) fn relation_knows(relation: &str, name: &str) -> bool {
    OF_RELATIONS.iter().any(|(known, names)| *known == relation && names.contains(&name))
}

/// What to say of a name that the relation does not take.
pub(super) fn unknown_in_relation(relation: &str, name: &str) -> String {
    let known = OF_RELATIONS.iter().find(|(known, _)| *known == relation).map_or(&[][..], |(_, names)| names);
    format!("`{relation}` has no `{name}`; it takes `{}`", known.join("`, `"))
}

impl Place {
    pub(crate) fn knows(self, name: &str) -> bool {
        ALL.iter().any(|Known(known, _, places)| *known == name && places.contains(&self))
    }

    fn description(self) -> &'static str {
        match self {
            Model => "the struct of a `#[derive(BatchModel)]`",
            ModelField => "a field of a `#[derive(BatchModel)]`",
            Patch => "the struct of a `#[derive(BatchPatch)]`",
            PatchField => "a field of a `#[derive(BatchPatch)]`",
        }
    }
}

/// How an attribute is written.
pub(crate) fn form(name: &str) -> &'static str {
    ALL.iter().find(|Known(known, ..)| *known == name).map_or("", |Known(_, form, _)| form)
}

/// What to say of an attribute that `place` does not know.
pub(crate) fn misplaced(name: &str, place: Place) -> String {
    let here = place.description();
    let known: Vec<_> = ALL.iter().filter(|Known(_, _, places)| places.contains(&place)).map(|k| k.0).collect();
    let known = known.join("`, `");
    match ALL.iter().find(|Known(known, ..)| *known == name) {
        Some(Known(_, _, places)) => {
            let there: Vec<_> = places.iter().map(|place| place.description()).collect();
            format!("`{name}` belongs on {}; {here} takes `{known}`", there.join(" or "))
        }
        None => format!("unknown attribute `{name}`; {here} takes `{known}`"),
    }
}
