use batchkit::{BatchModel, BatchPatch};

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    price: i64,
}

#[derive(BatchPatch)]
#[batch(model = "Product")]
enum NewPrice {
    Price(i64),
}

#[derive(BatchPatch)]
#[batch(model = "Product")]
struct Nothing {}

fn main() {}
