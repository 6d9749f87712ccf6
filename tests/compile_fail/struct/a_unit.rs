use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product;

fn main() {}
