use batchkit::{BatchModel, BatchPatch};

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    price: i64,
}

#[derive(BatchModel)]
#[batch(table = "stocks", model = "Product")]
struct Stock {
    id: i64,
}

#[derive(BatchPatch)]
#[batch(model = "Product")]
struct NewPrice {
    #[batch(key)]
    id: i64,
}

fn main() {}
