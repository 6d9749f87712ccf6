use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key, on_update = "now()")]
    id: i64,
}

fn main() {}
