use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(table = "x")]
    id: i64,
}

fn main() {}
