use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    id: i64,
    #[batch(computed)]
    total: u64,
}

fn main() {}
