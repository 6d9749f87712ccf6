use batchkit::{BatchModel, BatchOperations};

#[derive(BatchModel)]
#[batch(table = "products", new = "NewProduct")]
struct Product {
    #[batch(key)]
    id: i64,
    price: i64,
    #[batch(version)]
    version: i32,
}

fn update(products: BatchOperations<Product>, rows: Vec<NewProduct>) {
    let _ = products.batch_update(rows);
}

fn main() {}
