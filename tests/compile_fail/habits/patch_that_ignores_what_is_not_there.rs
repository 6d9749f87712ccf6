use batchkit::{BatchModel, BatchPatch};

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    price: i64,
}

#[derive(BatchPatch)]
#[batch(model = "Product", ignore_version)]
struct NewPrice {
    id: i64,
    price: i64,
}

fn main() {}
