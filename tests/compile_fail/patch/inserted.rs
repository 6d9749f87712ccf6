use batchkit::{BatchModel, BatchPatch};

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    price: i64,
    #[batch(json)]
    tags: Vec<String>,
    #[batch(computed)]
    total: Option<i64>,
}

#[derive(BatchPatch)]
#[batch(model = "Product")]
struct Patch {
    id: i64,
    price: i64,
}

async fn insert(products: batchkit::BatchOperations<Product>) {
    let _ = products.batch_insert([Patch { id: 1, price: 1 }]).await;
}

fn main() {}
