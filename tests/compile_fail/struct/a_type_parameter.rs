use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product<T> {
    id: i64,
    value: T,
}

fn main() {}
