use batchkit::BatchModel;

struct Settings;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    id: i64,
    #[batch(json)]
    settings: Settings,
}

fn main() {}
