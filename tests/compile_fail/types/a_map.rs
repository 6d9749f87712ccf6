use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    map: std::collections::HashMap<String, String>,
}

fn main() {}
