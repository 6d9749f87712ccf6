//! The tables as diesel knows them.

diesel::table! {
    product (id) {
        id -> Int8,
        sku -> Text,
        name -> Text,
        price -> Float8,
        qty -> Int4,
        active -> Bool,
        cat -> Int8,
        upd -> Timestamptz,
    }
}

diesel::table! {
    review (id) {
        id -> Int8,
        product_id -> Int8,
        stars -> Int4,
        body -> Text,
    }
}
