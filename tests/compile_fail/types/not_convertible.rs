use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    #[batch(as = "i64")]
    text: String,
}

fn main() {}
