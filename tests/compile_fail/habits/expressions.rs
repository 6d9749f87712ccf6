use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key, on_insert = " ")]
    id: i64,
    #[batch(computed, on_insert = "1")]
    total: i64,
    #[batch(on_insert)]
    name: String,
}

fn main() {}
