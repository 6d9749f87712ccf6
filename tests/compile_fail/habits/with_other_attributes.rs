use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "products")]
struct Keys {
    #[batch(key, version)]
    id: i64,
    #[batch(unique = "by_name", soft_delete)]
    gone: bool,
    #[batch(unique = "by_name")]
    name: String,
}

#[derive(BatchModel)]
#[batch(table = "products")]
struct Values {
    #[batch(version, auto, on_insert = "1", on_update = "t.version + 1")]
    version: i64,
    #[batch(soft_delete, computed)]
    gone: bool,
    #[batch(skip, on_insert = "''")]
    name: String,
}

#[derive(BatchModel)]
#[batch(table = "products")]
struct Storages {
    #[batch(version, as = "i32")]
    version: i64,
    #[batch(soft_delete, json)]
    gone: bool,
}

#[derive(BatchModel)]
#[batch(table = "products")]
struct Both {
    #[batch(version, soft_delete)]
    version: i64,
}

fn main() {}
