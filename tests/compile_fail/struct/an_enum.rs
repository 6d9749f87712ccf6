use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "moods")]
enum Mood {
    Sad,
}

fn main() {}
