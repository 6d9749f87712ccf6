use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", rename_all = "dromedaryCase")]
struct Product {
    #[batch(key)]
    id: i64,
}

fn main() {}
