use batchkit::{BatchModel, Related};

#[derive(BatchModel)]
#[batch(table = "lines")]
struct Line {
    #[batch(key)]
    id: i64,
    order_id: i64,
    #[batch(belongs_to)]
    one: Related<Line>,
    #[batch(belongs_to(kye = "order_id"))]
    two: Related<Line>,
    #[batch(has_many(key))]
    three: Related<Vec<Line>>,
    #[batch(many_to_many(key = "order_id"))]
    four: Related<Vec<Line>>,
    #[batch(belongs_to(key = "order_id"), rename = "five")]
    five: Related<Line>,
    #[batch(belongs_to(key = "order_id"), has_one(key = "order_id"))]
    six: Related<Line>,
    #[batch(belongs_to(key = "nothing"))]
    seven: Related<Line>,
    #[batch(has_many(key = "order_id", new = "NewLine"))]
    eight: Related<Vec<Line>>,
    #[batch(parent)]
    nine: i64,
}

#[derive(BatchModel)]
#[batch(table = "log")]
struct Log {
    text: String,
    #[batch(has_many(key = "order_id"))]
    lines: Related<Vec<Line>>,
}

fn main() {}
