use batchkit::{BatchModel, BatchOperations, Related};

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
    order_id: i64,
    #[batch(belongs_to(key = "order_id"))]
    order: Related<Order>,
}

async fn read(orders: BatchOperations<Order>) {
    let _ = orders.batch_get([1]).load_relations(Order::RELATIONS.liness).await;
    let _ = orders.batch_get([1]).load_relations(Line::RELATIONS.order).await;
    let _ = orders.batch_get([1]).load_relations(Order::RELATIONS.lines.then(Order::RELATIONS.lines)).await;
}

fn main() {}
