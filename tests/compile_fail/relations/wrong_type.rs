use batchkit::{BatchModel, Related};

#[derive(BatchModel)]
#[batch(table = "orders")]
struct Order {
    #[batch(key)]
    id: i64,
    #[batch(has_many(key = "order_id"))]
    lines: Related<Vec<Line>>,
}

#[derive(BatchModel)]
#[batch(table = "lines")]
struct Line {
    #[batch(key)]
    id: i64,
    order_id: String,
    #[batch(belongs_to(key = "order_id"))]
    order: Related<Option<Order>>,
}

fn main() {}
