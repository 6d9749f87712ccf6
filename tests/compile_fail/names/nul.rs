use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "pro\0ducts")]
struct Product {
    #[batch(key)]
    id: i64,
}

fn main() {}
