use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", rename_all = "camelCase")]
struct Product {
    unit_price: i64,
    #[batch(rename = "unitPrice")]
    price: i64,
    r#type: i64,
    #[batch(skip)]
    skipped: i64,
    #[batch(rename = "type")]
    kind: i64,
}

fn main() {}
