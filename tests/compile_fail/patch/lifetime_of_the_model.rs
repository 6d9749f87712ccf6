use batchkit::{BatchModel, BatchPatch};

#[derive(BatchModel)]
#[batch(table = "rows", write_only)]
struct Row<'a> {
    #[batch(key)]
    id: i64,
    name: &'a str,
}

#[derive(BatchPatch)]
#[batch(model = "Row<'a>")]
struct NewName<'a> {
    id: i64,
    name: &'a str,
}

fn main() {}
