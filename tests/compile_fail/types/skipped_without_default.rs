use batchkit::BatchModel;

struct Cache;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    id: i64,
    #[batch(skip)]
    cache: Cache,
}

fn main() {}
