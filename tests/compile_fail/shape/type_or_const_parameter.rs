use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "rows")]
struct Row<T, const N: usize> {
    value: T,
    bytes: [u8; N],
}

fn main() {}
