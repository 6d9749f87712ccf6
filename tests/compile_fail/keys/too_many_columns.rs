use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    k0: i64,
    #[batch(key)]
    k1: i64,
    #[batch(key)]
    k2: i64,
    #[batch(key)]
    k3: i64,
    #[batch(key)]
    k4: i64,
    #[batch(key)]
    k5: i64,
    #[batch(key)]
    k6: i64,
    #[batch(key)]
    k7: i64,
    #[batch(key)]
    k8: i64,
}

fn main() {}
