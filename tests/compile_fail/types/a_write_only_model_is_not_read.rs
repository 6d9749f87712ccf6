use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", write_only)]
struct Product<'a> {
    #[batch(key)]
    id: i64,
    name: &'a str,
}

async fn get(products: batchkit::BatchOperations<Product<'static>>) {
    let _ = products.batch_get([1i64]).await;
}

fn main() {}
