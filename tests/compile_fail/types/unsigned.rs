use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", new = "NewProduct")]
struct Product {
    #[batch(key)]
    id: i64,
    stock: u64,
    counts: Option<Vec<u16>>,
}

fn main() {}
