use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", write_only)]
struct Product {
    id: i64,
    #[batch(computed)]
    total: i64,
}

fn main() {}
