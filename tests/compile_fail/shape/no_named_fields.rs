use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "points")]
struct Point(i64, i64);

#[derive(BatchModel)]
#[batch(table = "nothing")]
struct Nothing;

#[derive(BatchModel)]
#[batch(table = "bits")]
union Bits {
    int: i64,
    float: f64,
}

fn main() {}
