use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", tabel = "x")]
struct Product {
    #[batch(key, primary)]
    id: i64,
    #[batch(json, as = "i64")]
    a: i64,
    #[batch(skip, auto)]
    b: i64,
    #[batch(computed, on_update = "now()")]
    c: i64,
}

fn main() {}
