use batchkit::{BatchModel, BatchPatch};

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    #[batch(computed)]
    total: i64,
}

#[derive(BatchPatch)]
#[batch(model = "Product")]
struct NewTotal {
    id: i64,
    total: i64,
}

fn main() {}
