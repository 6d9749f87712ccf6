use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(unique = "by place")]
    shelf: i64,
    #[batch(unique = "key")]
    row: i64,
    #[batch(unique = "shelf")]
    place: i64,
    #[batch(unique)]
    sku: String,
    #[batch(unique = "sku")]
    name: String,
    #[batch(unique("pair", "pair"))]
    pair_of: i64,
}

fn main() {}
