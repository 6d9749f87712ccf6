use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    id: i64,
    #[batch(json, as = "i64")]
    stock: u64,
}

fn main() {}
