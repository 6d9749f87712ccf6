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
struct NewPrice {
    id: i64,
    price: f64,
}

fn main() {}
