use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", shema = "shop")]
struct Product {
    #[batch(primary_key)]
    id: i64,
}

fn main() {}
