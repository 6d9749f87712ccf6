use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product(i64);

fn main() {}
