use batchkit::{BatchModel, Related};

#[derive(BatchModel)]
#[batch(table = "makers")]
struct Maker {
    #[batch(key)]
    name: String,
    #[batch(key)]
    place: i32,
    #[batch(has_many(key = "maker"))]
    products: Related<Vec<Product>>,
}

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    maker: String,
    #[batch(belongs_to(key = "maker"))]
    made_by: Related<Maker>,
}

fn main() {}
