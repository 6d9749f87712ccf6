use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "moods")]
enum Mood {
    Happy,
}

fn main() {}
