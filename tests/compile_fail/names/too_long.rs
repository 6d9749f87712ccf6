use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")]
struct Product {
    #[batch(key)]
    id: i64,
}

fn main() {}
