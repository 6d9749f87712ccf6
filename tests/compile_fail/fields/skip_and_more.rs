use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    #[batch(skip, unique)]
    a: i64,
}

fn main() {}
