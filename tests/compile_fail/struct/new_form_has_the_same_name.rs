use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", new = "Product")]
struct Product {
    #[batch(key)]
    id: i64,
}

fn main() {}
