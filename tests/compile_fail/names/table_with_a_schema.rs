use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "shop.products")]
struct Product {
    id: i64,
}

fn main() {}
