use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch = "products"]
struct Product {
    #[batch]
    id: i64,
}

fn main() {}
