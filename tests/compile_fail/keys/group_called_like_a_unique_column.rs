use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    #[batch(unique)]
    sku: String,
    #[batch(unique = "sku")]
    a: i64,
    #[batch(unique = "sku")]
    b: i64,
}

fn main() {}
