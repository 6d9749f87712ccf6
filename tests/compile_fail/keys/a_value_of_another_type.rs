use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
}

async fn get(products: batchkit::BatchOperations<Product>) {
    let _ = products.batch_get(["one"]).await;
}

fn main() {}
