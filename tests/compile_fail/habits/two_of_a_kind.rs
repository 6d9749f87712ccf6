use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    #[batch(version)]
    version: i32,
    #[batch(version)]
    changes: i64,
    #[batch(soft_delete)]
    deleted: bool,
    #[batch(soft_delete)]
    gone: bool,
}

fn main() {}
