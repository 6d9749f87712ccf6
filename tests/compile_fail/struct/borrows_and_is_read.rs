use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product<'a> {
    id: i64,
    name: &'a str,
}

fn main() {}
