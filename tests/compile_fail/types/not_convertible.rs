use batchkit::BatchModel;

struct Status;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    id: i64,
    #[batch(as = "i64")]
    status: Status,
    #[batch(as = "i64")]
    previous: Option<Status>,
    #[batch(as = "u64")]
    stock: i64,
}

fn main() {}
