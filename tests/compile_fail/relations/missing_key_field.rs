use batchkit::{BatchModel, Related};

#[derive(BatchModel)]
#[batch(table = "orders")]
struct Order {
    #[batch(key)]
    id: i64,
    #[batch(has_many(key = "ordr_id", order = "numbr"))]
    lines: Related<Vec<Line>>,
}

#[derive(BatchModel)]
#[batch(table = "lines")]
struct Line {
    #[batch(key)]
    id: i64,
    order_id: i64,
    number: i32,
    #[batch(belongs_to(key = "order"))]
    above: Related<Order>,
}

fn main() {}
