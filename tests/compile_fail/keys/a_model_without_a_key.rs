use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "log")]
struct Line {
    text: String,
}

async fn update(lines: batchkit::BatchOperations<Line>) {
    let _ = lines.batch_update([Line { text: String::new() }]).await;
}

fn main() {}
