use batchkit::BatchPatch;

struct Stock;

#[derive(BatchPatch)]
#[batch(model = "Stock")]
struct NewPrice {
    id: i64,
    price: i64,
}

fn main() {}
