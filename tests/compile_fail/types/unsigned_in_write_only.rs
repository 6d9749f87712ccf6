use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", write_only)]
struct Product {
    #[batch(key)]
    id: i64,
    stock: u64,
}

fn main() {}
