use batchkit::{BatchModel, Related};

#[derive(BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    #[batch(many_to_many(through = "ProductTag", key = "product_id", target_key = "tag_id"))]
    tags: Related<Vec<Tag>>,
}

#[derive(BatchModel)]
#[batch(table = "tags")]
struct Tag {
    #[batch(key)]
    id: i64,
}

fn main() {}
