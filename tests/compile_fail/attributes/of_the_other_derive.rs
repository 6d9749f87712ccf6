use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", model = "X")]
struct Product {
    #[batch(key)]
    id: i64,
}

fn main() {}
