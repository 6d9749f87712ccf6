use batchkit::BatchModel;

// The table is given, though not so that it can be read: that is one mistake, not two.
#[derive(BatchModel)]
#[batch(tabel = "products")]
struct Product {
    id: i64,
}

fn main() {}
