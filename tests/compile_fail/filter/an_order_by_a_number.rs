use batchkit::{BatchModel, BatchOperations, Filter};

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
}

fn order(products: BatchOperations<Product>) {
    let _ = products.list(Filter::all()).order_by(1);
}

fn main() {}
