use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key, on_update = "1")]
    id: i64,
}

fn main() {}
