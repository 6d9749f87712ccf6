use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "")]
struct Product {
    #[batch(key)]
    id: i64,
}

fn main() {}
