use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", tabel = "x")]
struct Product {
    #[batch(key)]
    id: i64,
}

fn main() {}
