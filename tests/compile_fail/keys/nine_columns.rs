use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    a: i64,
    #[batch(key)]
    b: i64,
    #[batch(key)]
    c: i64,
    #[batch(key)]
    d: i64,
    #[batch(key)]
    e: i64,
    #[batch(key)]
    f: i64,
    #[batch(key)]
    g: i64,
    #[batch(key)]
    h: i64,
    #[batch(key)]
    i: i64,
}

fn main() {}
