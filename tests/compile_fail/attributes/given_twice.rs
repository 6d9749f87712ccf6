use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", table = "goods")]
struct Product {
    #[batch(key, key)]
    id: i64,
    #[batch(rename = "a")]
    #[batch(rename = "b")]
    name: String,
    #[batch(unique, unique)]
    sku: String,
}

fn main() {}
