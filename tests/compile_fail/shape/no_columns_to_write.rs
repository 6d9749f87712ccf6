use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "empty")]
struct Empty {}

#[derive(BatchModel)]
#[batch(table = "skipped")]
struct Skipped {
    #[batch(skip)]
    id: i64,
}

#[derive(BatchModel)]
#[batch(table = "computed")]
struct Computed {
    #[batch(computed)]
    total: i64,
}

fn main() {}
