//! What the derives say of a struct. That the SQL and the bytes made of it are right is tested in the suite.

use std::borrow::Cow;
use std::collections::HashMap;

use batchkit::model::{ColumnKind, ColumnRole, Encoding, FieldNames, Fields, UniqueKey};
use batchkit::{BatchModel, BatchPatch, InsertRow, KeyFor, PatchRow, ReadRow, WriteRow};
use postgres_types::Type;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "products", schema = "shop", new = "NewProduct")]
struct Product {
    #[batch(key, auto)]
    id: i64,
    #[batch(unique)]
    sku: String,
    #[batch(unique = "by_place", pg_type = "citext")]
    shelf: String,
    #[batch(unique("by_place", "by_type"))]
    place: i32,
    #[batch(unique = "by_type")]
    r#type: Option<String>,
    #[batch(json)]
    settings: HashMap<String, String>,
    #[batch(as = "i64")]
    stock: u32,
    #[batch(rename = "weight in kg")]
    weight: Option<f64>,
    #[batch(skip)]
    seen: bool,
    #[batch(computed)]
    total: Option<i64>,
    #[batch(auto, on_update = "now()")]
    updated_at: std::time::SystemTime,
}

fn keys(keys: &[UniqueKey]) -> Vec<(&'static str, &'static [usize])> {
    keys.iter().map(|key| (key.name, key.columns)).collect()
}

fn names<M: BatchModel>() -> Vec<&'static str> {
    M::MODEL.columns.iter().map(|column| column.name).collect()
}

fn inserts<M: BatchModel, R: InsertRow<M>>() -> &'static [usize] {
    R::COLUMNS
}

fn patches<M: BatchModel, R: PatchRow<M>>() -> &'static [usize] {
    R::COLUMNS
}

fn is_key<M: BatchModel>(_: &impl KeyFor<M::Key>) {}

fn is_read<M: ReadRow>() {}

#[test]
fn a_model_is_named_as_the_struct_says() {
    let model = Product::MODEL;
    assert_eq!((model.name, model.schema, model.table), ("Product", Some("shop"), "products"));
    let fields: Vec<_> = model.columns.iter().map(|column| column.field).collect();
    let expected = ["id", "sku", "shelf", "place", "type", "settings", "stock", "weight", "total", "updated_at"];
    assert_eq!(fields, expected);
    assert_eq!(names::<Product>()[7], "weight in kg");
    let types: Vec<_> = model.columns.iter().map(|column| column.rust_type).collect();
    assert_eq!(types[4..7], ["Option<String>", "HashMap<String, String>", "u32"]);
}

#[test]
fn columns_know_who_sets_them() {
    let columns = Product::MODEL.columns;
    let kinds: Vec<_> = columns.iter().map(|column| column.kind).collect();
    assert_eq!(kinds[0], ColumnKind::Auto);
    assert_eq!(kinds[1..8], [ColumnKind::Plain; 7]);
    assert_eq!(kinds[8..], [ColumnKind::Computed, ColumnKind::Auto]);
    let encodings: Vec<_> = columns[4..8].iter().map(|column| column.encoding).collect();
    assert_eq!(encodings, [Encoding::Plain, Encoding::Json, Encoding::Converted, Encoding::Plain]);
    assert_eq!((columns[9].on_update, columns[1].on_update), (Some("now()"), None));
    assert_eq!((columns[2].pg_type, columns[1].pg_type), (Some("citext"), None));
}

#[test]
fn columns_know_their_types() {
    let columns = Product::MODEL.columns;
    let [id, r#type, settings, stock, total] = [0, 4, 5, 6, 8].map(|at| columns[at]);
    assert!(id.accepts(&Type::INT8) && !id.accepts(&Type::INT4));
    assert!(settings.accepts(&Type::JSONB) && settings.accepts(&Type::JSON) && !settings.accepts(&Type::TEXT));
    // As it is stored: a `u32` by itself would be an `oid`.
    assert!(stock.accepts(&Type::INT8) && !stock.accepts(&Type::OID));
    assert!(total.writes.is_none() && total.accepts(&Type::INT8));
    let nullable = [id, r#type, settings, stock].map(|column| column.nullable.unwrap()(&Type::TEXT));
    assert_eq!(nullable, [false, true, true, false]);
}

#[test]
fn keys_are_in_the_order_of_the_fields() {
    let model = Product::MODEL;
    assert_eq!(keys(&[model.key.unwrap()]), [("key", &[0][..])]);
    assert_eq!(keys(model.unique), [("sku", &[1][..]), ("by_place", &[2, 3]), ("by_type", &[3, 4])]);
    let typed = Product::KEYS;
    assert_eq!(keys(&[typed.sku.key(), typed.by_place.key(), typed.by_type.key()]), keys(model.unique));
    is_key::<Product>(&1_i64);
}

#[test]
fn names_of_fields_are_typed() {
    let fields = Product::FIELDS;
    assert_eq!([fields.id.position(), fields.r#type.position(), fields.total.position()], [0, 4, 8]);
    assert_eq!(fields.updated_at.position(), 9);
    let position = FieldNames::Position;
    assert_eq!(Fields::<Product>::names((fields.sku, fields.settings)), [position(1), position(5)]);
    let name = FieldNames::Name("sku".to_owned());
    assert_eq!(Fields::<Product>::names((fields.stock, "sku")), [position(6), name]);
    let named = ["weight", "weight in kg"].map(|name| Product::MODEL.column_named(name));
    assert_eq!(named, [Some(7), Some(7)]);
}

#[test]
fn versions_marks_and_expressions_are_the_servers() {
    #[derive(Debug, BatchModel)]
    #[batch(table = "orders", new = "NewOrder")]
    #[allow(dead_code)]
    struct Order {
        #[batch(key)]
        id: i64,
        #[batch(version)]
        version: i16,
        total: i64,
        #[batch(soft_delete)]
        deleted_at: Option<std::time::SystemTime>,
        #[batch(on_insert = "current_user")]
        made_by: String,
        #[batch(auto, on_insert = "'new'")]
        state: String,
    }
    #[derive(BatchPatch)]
    #[batch(model = "Order")]
    #[allow(dead_code)]
    struct Total {
        total: i64,
        id: i64,
        version: i16,
    }
    let columns = Order::MODEL.columns;
    let roles: Vec<_> = columns.iter().map(|column| column.role).collect();
    use ColumnRole::{Data, SoftDelete, Version};
    assert_eq!(roles, [Data, Version, Data, SoftDelete, Data, Data]);
    assert_eq!((Order::MODEL.version(), Order::MODEL.soft_delete()), (Some(1), Some(3)));
    let kinds: Vec<_> = columns.iter().map(|column| column.kind).collect();
    use ColumnKind::{Auto, Plain};
    assert_eq!(kinds, [Plain, Auto, Plain, Auto, Plain, Auto]);
    let expressions: Vec<_> = columns.iter().map(|column| column.insert_expression()).collect();
    assert_eq!(expressions, [None, Some("1"), None, Some("NULL"), Some("current_user"), Some("'new'")]);
    assert_eq!(inserts::<Order, NewOrder>(), [0, 2]);
    assert_eq!(inserts::<Order, Order>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(patches::<Order, Total>(), [0, 1, 2]);
    assert_eq!((Product::MODEL.version(), Product::MODEL.soft_delete()), (None, None));
}

#[test]
fn rows_give_what_they_have() {
    assert_eq!(inserts::<Product, Product>(), [0, 1, 2, 3, 4, 5, 6, 7, 9]);
    assert_eq!(patches::<Product, Product>(), inserts::<Product, Product>());
    // Without the key, which the server gives, it is no patch.
    assert_eq!(inserts::<Product, NewProduct>(), [1, 2, 3, 4, 5, 6, 7]);
    is_read::<Product>();
    let new = NewProduct {
        sku: "a".to_owned(),
        shelf: "b".to_owned(),
        place: 1,
        r#type: None,
        settings: HashMap::new(),
        stock: 2,
        weight: None,
    };
    assert!(format!("{:?}", new.clone()).starts_with("NewProduct"));
}

#[test]
fn column_names_follow_serdes_cases() {
    macro_rules! case {
        ($case:literal) => {{
            #[derive(BatchModel)]
            #[batch(table = "t", rename_all = $case)]
            struct Row {
                #[batch(key)]
                unit_price_2: i64,
                r#type: i64,
                #[batch(rename = "as_IS")]
                other: i64,
            }
            names::<Row>()
        }};
    }
    assert_eq!(case!("lowercase"), ["unit_price_2", "type", "as_IS"]);
    assert_eq!(case!("UPPERCASE"), ["UNIT_PRICE_2", "TYPE", "as_IS"]);
    assert_eq!(case!("PascalCase"), ["UnitPrice2", "Type", "as_IS"]);
    assert_eq!(case!("camelCase"), ["unitPrice2", "type", "as_IS"]);
    assert_eq!(case!("snake_case"), ["unit_price_2", "type", "as_IS"]);
    assert_eq!(case!("SCREAMING_SNAKE_CASE"), ["UNIT_PRICE_2", "TYPE", "as_IS"]);
    assert_eq!(case!("kebab-case"), ["unit-price-2", "type", "as_IS"]);
    assert_eq!(case!("SCREAMING-KEBAB-CASE"), ["UNIT-PRICE-2", "TYPE", "as_IS"]);
}

#[test]
fn a_key_may_have_several_columns_and_be_stored_otherwise() {
    #[derive(BatchModel)]
    #[batch(table = "stocks", new = "NewStock")]
    struct Stock {
        #[batch(key, as = "i64")]
        place: u64,
        amount: i64,
        #[batch(key)]
        sku: String,
    }
    assert_eq!(Stock::MODEL.key.unwrap().columns, [0, 2]);
    is_key::<Stock>(&(7_u64, "a"));
    // The new form has the whole key, so it may update as well.
    assert_eq!(patches::<Stock, NewStock>(), [0, 1, 2]);
}

#[test]
fn a_model_needs_no_key() {
    #[derive(BatchModel)]
    #[batch(table = "odd.name", schema = "a.b")]
    struct Event {
        name: String,
    }
    assert!(Event::MODEL.key.is_none() && Event::MODEL.unique.is_empty());
    assert_eq!((Event::MODEL.schema, Event::MODEL.table), (Some("a.b"), "odd.name"));
    assert_eq!(inserts::<Event, Event>(), [0]);
    assert_eq!(format!("{:?}", Event::KEYS), "EventKeys");
}

#[test]
fn a_write_only_model_borrows() {
    #[derive(BatchModel)]
    #[batch(table = "rows", write_only, new = "NewRow")]
    struct Row<'a, 'b: 'a>
    where
        'a: 'a,
    {
        #[batch(key, auto)]
        id: i64,
        name: &'a str,
        note: Option<Cow<'b, str>>,
        bytes: &'b [u8],
    }

    #[derive(BatchPatch)]
    #[batch(model = "Row<'_, '_>")]
    struct NewNote<'x> {
        note: Cow<'x, str>,
        id: i64,
    }

    assert!(Row::MODEL.columns.iter().all(|column| column.reads.is_none() && column.nullable.is_none()));
    assert_eq!(inserts::<Row<'_, '_>, NewRow<'_, '_>>(), [1, 2, 3]);
    assert_eq!(patches::<Row<'_, '_>, NewNote<'_>>(), [0, 2]);
    let name = String::from("short-lived");
    let new = NewRow { name: &name, note: Some(Cow::Borrowed("n")), bytes: &[1] };
    assert_eq!(new.name, name);
}

#[test]
fn a_patch_has_the_key_and_what_changes() {
    #[derive(BatchPatch)]
    #[batch(model = "Product")]
    struct Patch<'a> {
        #[batch(field = "shelf")]
        board: &'static str,
        #[batch(as = "i64")]
        stock: u32,
        #[batch(field = "type")]
        kind: &'a str,
        #[batch(json)]
        settings: &'a HashMap<String, String>,
        sku: Cow<'a, str>,
        weight: f64,
        id: &'a i64,
        #[batch(skip)]
        why: &'static str,
    }
    // Ascending, whatever the order of the fields.
    assert_eq!(patches::<Product, Patch<'_>>(), [0, 1, 2, 4, 5, 6, 7]);
    let settings = HashMap::new();
    let patch = Patch {
        board: "b",
        stock: 1,
        kind: "k",
        settings: &settings,
        sku: Cow::Borrowed("s"),
        weight: 1.5,
        id: &1,
        why: "restocked",
    };
    assert_eq!(patch.why, "restocked");
}

#[test]
fn the_new_form_keeps_what_serde_needs() {
    // The attributes are for the new form: the model itself derives nothing of serde.
    #[derive(BatchModel)]
    #[batch(table = "users", new = "NewUser", new_derive(Debug, PartialEq, serde::Deserialize))]
    #[serde(rename_all = "camelCase", bound = "")]
    struct User {
        #[batch(key, auto)]
        id: i64,
        first_name: String,
        #[serde(rename = "e-mail", default)]
        email: Option<String>,
    }
    let user: NewUser = serde_json::from_str(r#"{"firstName": "Ada", "e-mail": "a@b"}"#).unwrap();
    assert_eq!(user, NewUser { first_name: "Ada".to_owned(), email: Some("a@b".to_owned()) });
    let bare: NewUser = serde_json::from_str(r#"{"firstName": "Ada"}"#).unwrap();
    assert_eq!(bare.email, None);
}

#[test]
fn self_in_a_field_is_the_model() {
    #[derive(Debug, Clone, Serialize, Deserialize, BatchModel)]
    #[batch(table = "nodes", new = "NewNode")]
    struct Node {
        #[batch(key, auto)]
        id: i64,
        #[batch(json)]
        children: Vec<Self>,
    }
    let leaf = Node { id: 1, children: Vec::new() };
    let new = NewNode { children: vec![leaf] };
    assert_eq!(new.children[0].id, 1);
    assert_eq!(Node::MODEL.columns[1].rust_type, "Vec<Self>");
}

/// Where batchkit goes by another name.
mod renamed {
    mod batchkit {}

    mod kit {
        pub(super) use ::batchkit::*;
    }

    #[derive(kit::BatchModel)]
    #[batch(table = "things", crate = "crate::renamed::kit")]
    pub(super) struct Thing {
        #[batch(key)]
        id: i64,
        name: String,
    }

    #[derive(kit::BatchPatch)]
    #[batch(model = "Thing", crate = "kit")]
    pub(super) struct NewName {
        id: i64,
        name: String,
    }
}

#[test]
fn batchkit_may_have_another_name() {
    assert_eq!(patches::<renamed::Thing, renamed::NewName>(), [0, 1]);
}

/// Where every lint is on, and names of the language and of the derive are taken.
pub mod strict {
    #![deny(missing_docs, unused, warnings, unreachable_pub, unused_qualifications, unused_lifetimes)]
    #![deny(missing_debug_implementations, missing_copy_implementations, single_use_lifetimes, trivial_casts)]
    #![deny(clippy::all, clippy::pedantic, clippy::nursery)]

    use batchkit::{BatchModel, BatchPatch};

    /// Not the language's.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Result {
        /// Not the language's.
        Ok,
        /// Not the language's.
        Some,
    }

    /// Not the derive's.
    #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
    pub struct ThingFields {
        /// One.
        pub one: String,
    }

    /// A thing.
    #[derive(Debug, Clone, BatchModel)]
    #[batch(table = "things", new = "NewThing")]
    pub struct Thing {
        /// Its number.
        #[batch(key, auto)]
        pub id: i64,
        /// Its fields.
        #[batch(json)]
        pub fields: ThingFields,
        /// Not to be used.
        #[deprecated = "use `fields`"]
        pub old: i32,
        /// Sums them up.
        #[batch(computed)]
        pub total: i64,
        #[batch(unique)]
        out: Option<String>,
        #[batch(unique = "both", as = "i16")]
        row: u8,
        #[batch(unique = "both")]
        column: i32,
    }

    /// A change of it.
    #[derive(Debug, Clone, BatchPatch)]
    #[batch(model = "Thing")]
    pub struct NewOut {
        /// Its number.
        pub id: i64,
        out: String,
    }

    #[allow(non_snake_case, non_camel_case_types)]
    mod odd {
        #[derive(super::BatchModel)]
        #[batch(table = "odd", new = "new_row", new_derive())]
        pub(super) struct row {
            #[batch(key)]
            #[allow(dead_code)]
            pub(in super::super) Id: i64,
            pub(in super::super) r#fn: i32,
        }
    }

    #[test]
    fn odd_names_are_names() {
        let new = odd::new_row { Id: 1, r#fn: 2 };
        let positions = [odd::row::FIELDS.Id.position(), odd::row::FIELDS.r#fn.position()];
        assert_eq!((new.Id, new.r#fn, positions), (1, 2, [0, 1]));
    }
}

#[test]
fn strict_code_takes_generated_code() {
    use strict::{NewOut, NewThing, Result, Thing};
    assert_ne!(Result::Ok, Result::Some);
    assert_eq!(inserts::<Thing, NewThing>(), [1, 2, 4, 5, 6]);
    assert_eq!(patches::<Thing, NewOut>(), [0, 4]);
}

#[test]
fn references_give_what_their_rows_give() {
    assert_eq!(<&NewProduct as WriteRow<Product>>::COLUMNS, <NewProduct as WriteRow<Product>>::COLUMNS);
}
