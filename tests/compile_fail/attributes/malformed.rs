use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table(products), new = NewProduct, write_only = true, rename_all = 1)]
struct Product {
    #[batch(key = "id")]
    id: i64,
    #[batch(as = i64)]
    stock: u64,
    #[batch(on_update)]
    at: i64,
    #[batch(as = "Vec<")]
    list: u64,
    #[batch(unique())]
    sku: String,
    #[batch("rename", auto)]
    name: String,
}

fn main() {}
