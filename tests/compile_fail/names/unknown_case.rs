use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", rename_all = "CamelCase")]
struct Product {
    id: i64,
}

fn main() {}
