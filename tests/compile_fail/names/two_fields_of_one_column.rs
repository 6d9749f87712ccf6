use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    name: String,
    #[batch(rename = "name")]
    title: String,
}

fn main() {}
