// A mistake in a model is one error: the code that uses it is checked as if there were none.
use batchkit::{BatchModel, BatchPatch, InsertRow, KeyFor, PatchRow, ReadRow};

#[derive(BatchModel)]
#[batch(table = "shop.products", new = "NewProduct")]
struct Product {
    #[batch(key, auto)]
    id: i64,
    #[batch(unique)]
    sku: String,
    price: u64,
}

#[derive(BatchPatch)]
#[batch(model = "Product")]
struct NewSku {
    id: i64,
    sku: String,
}

fn uses<M: ReadRow, R: InsertRow<M>, P: PatchRow<M>, K: KeyFor<M::Key>>(_: R, _: P, _: K) {}

fn main() {
    let _ = (Product::FIELDS.price, Product::KEYS.sku);
    let new = NewProduct { sku: String::new(), price: 1 };
    uses::<Product, _, _, i64>(new, NewSku { id: 1, sku: String::new() }, 1);
}
