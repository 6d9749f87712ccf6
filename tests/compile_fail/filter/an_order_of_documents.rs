use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    name: Option<String>,
    #[batch(json)]
    size: (u8, u8),
}

fn main() {
    let f = Product::FIELDS;
    let _ = f.size.lt((1, 2));
}
