use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key, json)]
    id: i64,
    #[batch(unique = "by_tags", json)]
    tags: Vec<String>,
}

fn main() {}
