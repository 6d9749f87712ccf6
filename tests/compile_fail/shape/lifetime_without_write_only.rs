use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "rows")]
struct Row<'a> {
    name: &'a str,
}

#[derive(BatchModel)]
#[batch(table = "rows")]
struct Constant {
    name: &'static str,
}

fn main() {}
