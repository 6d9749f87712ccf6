use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    id: i64,
    #[batch(skip, rename = "n")]
    note: String,
}

fn main() {}
