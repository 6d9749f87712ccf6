use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", key)]
struct Product {
    #[batch(schema = "shop")]
    id: i64,
}

fn main() {}
