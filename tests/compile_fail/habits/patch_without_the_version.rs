use batchkit::{BatchModel, BatchPatch};

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    price: i64,
    #[batch(version)]
    version: i32,
}

#[derive(BatchPatch)]
#[batch(model = "Product")]
struct NewPrice {
    id: i64,
    price: i64,
}

fn main() {}
