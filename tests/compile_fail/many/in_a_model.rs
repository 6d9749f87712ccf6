use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "shop.products", write_onli, rename_all = "camel")]
struct Product {
    #[batch(key, on_update = "now()")]
    id: i64,
    #[batch(json, as = "i64", uniqe)]
    sku: String,
    #[batch(computed, auto)]
    total: i64,
    #[batch(skip, key)]
    cache: Vec<u8>,
    #[batch(rename = "id")]
    other: i64,
}

fn main() {}
