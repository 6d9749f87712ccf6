use batchkit::{BatchModel, BatchPatch};

#[derive(BatchModel)]
#[batch(table = "events")]
struct Event {
    name: String,
}

#[derive(BatchPatch)]
#[batch(model = "Event")]
struct NewName {
    name: String,
}

fn main() {}
