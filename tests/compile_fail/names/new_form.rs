use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products", new = "Product")]
struct Product {
    id: i64,
}

#[derive(BatchModel)]
#[batch(table = "stocks", new_derive(Debug))]
struct Stock {
    id: i64,
}

#[derive(BatchModel)]
#[batch(table = "places", new = "New Place")]
struct Place {
    id: i64,
}

fn main() {}
