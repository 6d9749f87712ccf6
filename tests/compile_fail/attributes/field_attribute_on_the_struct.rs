use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", key)]
struct Product {
    #[batch(key)]
    id: i64,
}

fn main() {}
