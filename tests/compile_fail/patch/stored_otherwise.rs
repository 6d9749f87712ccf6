use batchkit::{BatchModel, BatchPatch};

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    #[batch(json)]
    tags: Vec<String>,
    #[batch(as = "i64")]
    stock: u32,
    #[batch(as = "i64")]
    ordered: u32,
    name: String,
}

#[derive(BatchPatch)]
#[batch(model = "Product")]
struct NewTags {
    id: i64,
    tags: Vec<String>,
    stock: u32,
    #[batch(as = "i32")]
    ordered: u32,
    #[batch(json)]
    name: String,
}

fn main() {}
