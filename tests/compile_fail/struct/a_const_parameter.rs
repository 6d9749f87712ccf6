use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product<const N: usize> {
    id: i64,
    value: [i32; N],
}

fn main() {}
