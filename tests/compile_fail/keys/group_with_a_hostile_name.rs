use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    #[batch(unique = "a b")]
    a: i64,
}

fn main() {}
