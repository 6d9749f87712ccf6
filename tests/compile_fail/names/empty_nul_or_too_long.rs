use batchkit::BatchModel;

#[derive(BatchModel)]
#[batch(table = "", schema = "a\0b", rename_all = "UPPERCASE")]
struct Product {
    #[batch(rename = "a name of more than sixty-three bytes, which PostgreSQL would cut")]
    id: i64,
    a_name_of_more_than_sixty_three_bytes_which_postgresql_would_cut: i64,
    #[batch(on_update = "", pg_type = " ")]
    at: i64,
}

fn main() {}
