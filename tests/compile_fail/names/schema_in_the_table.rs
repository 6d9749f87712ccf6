use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "shop.products")]
struct Product {
    #[batch(key)]
    id: i64,
}

fn main() {}
