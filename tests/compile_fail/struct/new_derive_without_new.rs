use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", new_derive(Debug))]
struct Product {
    #[batch(key)]
    id: i64,
}

fn main() {}
