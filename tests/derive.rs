//! What the derives make of a struct: the description, the new form, the patch.
#![deny(warnings, missing_docs, unreachable_pub, clippy::pedantic)]

use batchkit::model::{ColumnKind, Encoding, FieldNames, Fields, WriteRow};
use batchkit::{BatchModel, InsertRow, PatchRow};
use serde::Deserialize;

/// Everything at once.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "Order lines", schema = "shop", rename_all = "camelCase")]
#[batch(new = "NewOrderLine", new_derive(Debug, PartialEq, Deserialize))]
pub struct OrderLine {
    /// The order.
    #[batch(key)]
    pub order_id: i64,
    #[batch(skip)]
    cached: Option<String>,
    #[batch(key, auto)]
    pub(crate) line_number: i32,
    #[batch(unique, rename = "SKU", pg_type = "citext")]
    sku: String,
    #[batch(unique = "slot", unique = "bin")]
    #[serde(rename = "where")]
    r#type: String,
    #[batch(unique = "slot")]
    slot_number: i16,
    #[batch(json)]
    details: Vec<Option<u8>>,
    #[batch(as = "i64", on_update = "now()")]
    amount: u64,
    #[batch(computed)]
    total: Option<i64>,
}

/// A patch in another order than the model's.
#[derive(batchkit::BatchPatch)]
#[batch(model = "OrderLine", crate = "::batchkit")]
pub struct Repriced<'a> {
    #[batch(as = "i64")]
    amount: u64,
    line_number: i32,
    sku: &'a str,
    order_id: i64,
    #[batch(skip)]
    _note: &'a str,
}

fn insertable<R: InsertRow<OrderLine>>() {}
fn patches<R: PatchRow<OrderLine>>() {}

#[test]
fn the_description_is_what_the_struct_says() {
    let model = OrderLine::MODEL;
    assert_eq!((model.name, model.schema, model.table), ("OrderLine", Some("shop"), "Order lines"));
    let columns: Vec<(&str, &str, ColumnKind)> = model.columns.iter().map(|c| (c.field, c.name, c.kind)).collect();
    let expected = [
        ("order_id", "orderId", ColumnKind::Plain),
        ("line_number", "lineNumber", ColumnKind::Auto),
        ("sku", "SKU", ColumnKind::Plain),
        ("type", "type", ColumnKind::Plain),
        ("slot_number", "slotNumber", ColumnKind::Plain),
        ("details", "details", ColumnKind::Plain),
        ("amount", "amount", ColumnKind::Plain),
        ("total", "total", ColumnKind::Computed),
    ];
    assert_eq!(columns, expected);
    assert_eq!(model.key.unwrap().columns, [0, 1]);
    let unique: Vec<(&str, &[usize])> = model.unique.iter().map(|key| (key.name, key.columns)).collect();
    assert_eq!(unique, [("sku", [2].as_slice()), ("slot", &[3, 4]), ("bin", &[3])]);
    assert_eq!((model.columns[2].pg_type, model.columns[6].on_update), (Some("citext"), Some("now()")));
    let encodings: Vec<Encoding> = model.columns[4..].iter().map(|column| column.encoding).collect();
    assert_eq!(encodings, [Encoding::Plain, Encoding::Json, Encoding::Converted, Encoding::Plain]);
    assert!(model.columns[7].writes.is_none() && model.columns[7].reads.is_some());
    assert_eq!(model.columns[5].rust_type.replace(' ', ""), "Vec<Option<u8>>");
    assert_eq!(model.column_named("line_number"), model.column_named("lineNumber"));
}

#[test]
fn names_are_typed() {
    let (f, k) = (OrderLine::FIELDS, OrderLine::KEYS);
    assert_eq!((f.r#type.position(), f.total.position()), (3, 7));
    assert_eq!(
        (k.sku.key().columns, k.slot.key().columns, k.bin.key().name),
        ([2].as_slice(), [3, 4].as_slice(), "bin")
    );
    let position = FieldNames::Position;
    assert_eq!(Fields::<OrderLine>::names((f.sku, f.amount)), [position(2), position(6)]);
    let name = |name: &str| FieldNames::Name(name.to_owned());
    assert_eq!(Fields::<OrderLine>::names(["sku", "amount"]), [name("sku"), name("amount")]);
    assert_eq!(Fields::<OrderLine>::names((f.sku, "amount")), [position(2), name("amount")]);
}

#[test]
fn the_new_form_lacks_what_the_server_sets() {
    let json = r#"{"order_id": 1, "sku": "a", "where": "b", "slot_number": 2, "details": [null, 3], "amount": 4}"#;
    let new: NewOrderLine = serde_json::from_str(json).unwrap();
    let expected = NewOrderLine {
        order_id: 1,
        sku: "a".to_owned(),
        r#type: "b".to_owned(),
        slot_number: 2,
        details: vec![None, Some(3)],
        amount: 4,
    };
    assert_eq!(new, expected);
    assert_eq!(<NewOrderLine as WriteRow<OrderLine>>::COLUMNS, [0, 2, 3, 4, 5, 6]);
    assert_eq!(<OrderLine as WriteRow<OrderLine>>::COLUMNS, [0, 1, 2, 3, 4, 5, 6]);
    insertable::<OrderLine>();
    insertable::<NewOrderLine>();
}

#[test]
fn a_patch_gives_its_columns_in_the_models_order() {
    assert_eq!(<Repriced<'_> as WriteRow<OrderLine>>::COLUMNS, [0, 1, 2, 6]);
    patches::<Repriced<'static>>();
    patches::<OrderLine>();
}
