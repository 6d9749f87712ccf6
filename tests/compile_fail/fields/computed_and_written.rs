use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    id: i64,
    #[batch(key, computed)]
    key: i64,
    #[batch(auto, computed)]
    auto: i64,
    #[batch(computed, on_update = "now()")]
    on_update: i64,
}

fn main() {}
