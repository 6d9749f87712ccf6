use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    #[batch(version)]
    version: String,
    #[batch(soft_delete)]
    deleted_at: std::time::SystemTime,
}

fn main() {}
