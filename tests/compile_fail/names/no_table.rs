use batchkit::BatchModel;

#[derive(BatchModel)]
struct Product {
    id: i64,
}

fn main() {}
