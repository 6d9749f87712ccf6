//! What is refused: the same rows fail at every place, with the same error, and the same rows are in.

use batchkit::{
    BatchConfig, BatchModel, DuplicatePolicy, Error, ErrorKind, ExecutionStrategy, Filter, OnRowError, Outcome,
};

use super::model::{Category, NewProduct, NewReview, Product, Review, new, skus};
use super::places::Place;

/// Positions of rows.
type Ranges = Vec<std::ops::Range<usize>>;

/// Kind, SQLSTATE, constraint or column, rows, and what was written all the same.
fn told(error: &Error) -> (ErrorKind, Option<&str>, Option<&str>, Ranges, Ranges) {
    (
        error.kind(),
        error.sqlstate().map(|state| state.code()),
        error.constraint().or(error.column()),
        error.rows().to_vec(),
        error.report().unwrap().committed().to_vec(),
    )
}

pub(super) async fn a_chunk_fails_as_a_whole(place: &Place) {
    let repo = place.repository::<Product>();
    let mut rows: Vec<NewProduct> = (0..11).map(new).collect();
    rows[6].price = -1;
    let error = repo.batch_add(&rows).await.unwrap_err();
    let check = Some("products_price_check");
    assert_eq!(told(&error), (ErrorKind::CheckViolation, Some("23514"), check, vec![4..8], vec![0..4]));
    assert_eq!((error.table(), error.chunk()), (Some("products"), Some(1)));
    let report = error.report().unwrap();
    let counts = (report.inserted(), report.failed(), report.not_attempted(), report.chunks(), report.total());
    assert_eq!(counts, (4, 4, 3, 1, 11));
    assert_eq!(report.outcomes().unwrap()[3..5], [Outcome::Inserted, Outcome::Failed]);
    assert_eq!(skus(&repo.list(Filter::all()).await.unwrap()), ["sku 0", "sku 1", "sku 2", "sku 3"]);
    // The numbers that were drawn are gone.
    assert!(repo.add(new(20)).await.unwrap().unwrap().id > 4);

    let mut stored = repo.list(Filter::all()).await.unwrap();
    stored[4].price = -7;
    let error = repo.batch_update(&stored).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::CheckViolation, Some("23514"), check, vec![4..5], vec![0..4]));
    let mut rows: Vec<NewProduct> = (3..9).map(new).collect();
    rows[1].price = -1;
    let error = repo.batch_upsert(&rows).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::CheckViolation, Some("23514"), check, vec![0..4], vec![]));
    assert_eq!(repo.count(Filter::all()).await.unwrap(), 5);
}

pub(super) async fn unique_keys_are_kept(place: &Place) {
    let repo = place.repository::<Product>();
    let added = repo.batch_add((0..6).map(new)).await.unwrap();
    // Of another chunk, and of its own.
    for rows in [[7, 8, 9, 10, 3, 11], [7, 8, 9, 10, 12, 12]] {
        let error = repo.batch_add(rows.map(new)).await.unwrap_err();
        let key = Some("products_sku_key");
        assert_eq!(told(&error), (ErrorKind::UniqueViolation, Some("23505"), key, vec![4..6], vec![0..4]));
        let stored = repo.list(Product::FIELDS.price.ge(7)).await.unwrap();
        assert_eq!(skus(&stored), ["sku 7", "sku 8", "sku 9", "sku 10"]);
        repo.batch_remove(stored.iter().map(|product| product.id)).await.unwrap();
    }
    let error = repo.batch_add([Product { sku: "new".to_owned(), ..added[2].clone() }]).await.unwrap_err();
    let key = Some("products_pkey");
    assert_eq!(told(&error), (ErrorKind::UniqueViolation, Some("23505"), key, vec![0..1], vec![]));
    let error = repo.batch_update([Product { sku: "sku 3".to_owned(), ..added[2].clone() }]).await.unwrap_err();
    assert_eq!((error.kind(), error.constraint()), (ErrorKind::UniqueViolation, Some("products_sku_key")));
    // Its own key is not in its way, and what was deleted is free.
    assert_eq!(repo.batch_update(&added).await.unwrap(), 6);
    assert!(repo.remove(added[3].id).await.unwrap());
    assert_eq!(repo.batch_update([Product { sku: "sku 3".to_owned(), ..added[2].clone() }]).await.unwrap(), 1);
    assert_eq!(repo.batch_add([new(2)]).await.unwrap().len(), 1);
}

pub(super) async fn references_are_kept(place: &Place) {
    let (products, categories) = (place.repository::<Product>(), place.repository::<Category>());
    let reviews = place.repository::<Review>();
    let category = |id| Category { id, name: Some(format!("category {id}")) };
    categories.batch_add([category(1), category(2)]).await.unwrap();
    let of = |n: i64, category_id| NewProduct { category_id, ..new(n) };
    let error = products.batch_add([of(1, Some(1)), of(2, Some(3)), of(3, None)]).await.unwrap_err();
    let key = Some("products_category_id_fkey");
    assert_eq!(told(&error), (ErrorKind::ForeignKeyViolation, Some("23503"), key, vec![0..3], vec![]));
    let added = products.batch_add([of(1, Some(1)), of(3, None)]).await.unwrap();
    let error = products.batch_update([Product { category_id: Some(9), ..added[1].clone() }]).await.unwrap_err();
    assert_eq!((error.kind(), error.constraint()), (ErrorKind::ForeignKeyViolation, key));
    let error = categories.batch_remove([2, 1]).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::ForeignKeyViolation, Some("23503"), key, vec![0..2], vec![]));
    assert_eq!(categories.count(Filter::all()).await.unwrap(), 2);
    let review = NewReview { product_id: 77, category_id: None, text: String::new() };
    let error = reviews.add(review).await.unwrap_err();
    assert_eq!((error.kind(), error.constraint()), (ErrorKind::ForeignKeyViolation, Some("of_a_product")));
    // A key that is changed and referred to is gone, too; one that only is written again is not.
    assert_eq!(categories.batch_upsert([category(1), category(3)]).await.unwrap().updated, 1);
    assert!(categories.remove(2).await.unwrap());
}

pub(super) async fn rows_without_a_form(place: &Place) {
    let repo = place.repository::<Product>();
    let mut rows: Vec<NewProduct> = (0..10).map(new).collect();
    rows[6].note = Some("a\0b".to_owned());
    let error = repo.batch_add(&rows).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::InvalidRow, None, Some("note"), vec![6..7], vec![0..4]));
    assert_eq!((error.report().unwrap().not_attempted(), error.table()), (6, Some("products")));
    // Rows that are compared with each other are all encoded first.
    let error = repo.batch_upsert(&rows).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::InvalidRow, None, Some("note"), vec![6..7], vec![]));
    assert_eq!(error.report().unwrap().not_attempted(), 10);
    assert_eq!(repo.count(Filter::all()).await.unwrap(), 4);
}

pub(super) async fn the_duplicate_policy(place: &Place) {
    let with = |duplicates| place.with::<Product>(BatchConfig { duplicates, ..BatchConfig::default() });
    let rows = || [1, 2, 3, 1, 4, 1].iter().zip(10..).map(|(&n, price)| NewProduct { price, ..new(n) });
    let prices = async || {
        let stored = with(DuplicatePolicy::Error).list(Filter::all()).await.unwrap();
        let mut prices: Vec<i64> = stored.iter().map(|product| product.price).collect();
        prices.sort_unstable();
        prices
    };
    let error = with(DuplicatePolicy::Error).batch_upsert(rows()).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::DuplicateKey, None, None, vec![0..1, 3..4, 5..6], vec![]));
    assert_eq!(error.report().unwrap().not_attempted(), 6);
    let upserted = with(DuplicatePolicy::FirstWins).batch_upsert(rows()).await.unwrap();
    assert_eq!((upserted.inserted, upserted.updated, prices().await), (4, 0, vec![10, 11, 12, 14]));
    let upserted = with(DuplicatePolicy::LastWins).batch_upsert(rows()).await.unwrap();
    assert_eq!((upserted.inserted, upserted.updated, prices().await), (0, 4, vec![11, 12, 14, 15]));

    let stored = with(DuplicatePolicy::Error).list(Filter::all()).limit(1).await.unwrap();
    let twice = [20, 21].map(|price| Product { price, ..stored[0].clone() });
    let error = with(DuplicatePolicy::Error).batch_update(&twice).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::DuplicateKey, None, None, vec![0..2], vec![]));
    assert_eq!(with(DuplicatePolicy::LastWins).batch_update(&twice).await.unwrap(), 1);
    assert_eq!(*prices().await.last().unwrap(), 21);
}

pub(super) async fn null_in_the_conflict_key(place: &Place) {
    let repo = place.repository::<Category>();
    let rows = [Category { id: 1, name: Some("a".to_owned()) }, Category { id: 2, name: None }];
    let error = repo.batch_upsert(&rows).on(Category::FIELDS.name).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::InvalidRow, None, Some("name"), vec![1..2], vec![]));
    assert_eq!(repo.batch_upsert(&rows).await.unwrap().inserted, 2);
    assert_eq!(repo.batch_upsert(&rows).if_changed().await.unwrap().unchanged, 2);
}

pub(super) async fn bad_rows_are_turned_away(place: &Place) {
    let config = BatchConfig { on_row_error: OnRowError::Reject, ..BatchConfig::default() };
    let repo = place.with::<Product>(config.clone());
    repo.batch_add([new(5)]).await.unwrap();
    let mut rows: Vec<NewProduct> = (0..10).map(new).collect();
    rows[1].price = -1;
    rows[2].note = Some("\0".to_owned());
    rows[7].category_id = Some(3);
    rows[8].sku = "sku 6".to_owned();
    let error = repo.batch_add(&rows).await.unwrap_err();
    assert_eq!((error.kind(), error.rows()), (ErrorKind::Rejected, [1..3, 5..6, 7..9].as_slice()));
    let report = error.report().unwrap();
    assert_eq!((report.inserted(), report.rejected(), report.total()), (5, 5, 10));
    let rejects: Vec<_> = report.rejects().iter().map(|r| (r.position, r.kind, r.constraint.as_deref())).collect();
    let (sku, category) = (Some("products_sku_key"), Some("products_category_id_fkey"));
    assert_eq!(
        rejects,
        [
            (1, ErrorKind::CheckViolation, Some("products_price_check")),
            (2, ErrorKind::InvalidRow, None),
            (5, ErrorKind::UniqueViolation, sku),
            (7, ErrorKind::ForeignKeyViolation, category),
            (8, ErrorKind::UniqueViolation, sku),
        ]
    );
    let key = report.rejects()[3].key.as_ref().unwrap().get::<String>("sku");
    assert_eq!(key.as_deref(), Some("sku 7"));
    let stored = repo.list(Product::FIELDS.price.ne(5)).await.unwrap();
    assert_eq!(skus(&stored), ["sku 0", "sku 3", "sku 4", "sku 6", "sku 9"]);
    let strict = place.with::<Product>(BatchConfig { max_rejects: Some(1), ..config });
    assert_eq!(strict.batch_add(&rows).await.unwrap_err().kind(), ErrorKind::TooManyRejects);
}

pub(super) async fn all_or_nothing(place: &Place) {
    let with = |execution_strategy| place.with::<Product>(BatchConfig { execution_strategy, ..BatchConfig::default() });
    let mut rows: Vec<NewProduct> = (0..10).map(new).collect();
    rows[6].price = -1;
    let error = with(ExecutionStrategy::SingleQuery).batch_add(&rows).await.unwrap_err();
    assert_eq!((error.rows(), error.report().unwrap().committed()), ([0..10].as_slice(), [].as_slice()));
    let repo = with(ExecutionStrategy::Optimistic);
    assert_eq!(repo.count(Filter::all()).await.unwrap(), 0);
    let error = repo.batch_add(&rows).await.unwrap_err();
    assert_eq!((error.rows(), error.report().unwrap().committed()), ([4..8].as_slice(), [0..4].as_slice()));
    assert_eq!(error.report().unwrap().retries(), 1);
    rows[6].price = 6;
    assert_eq!(with(ExecutionStrategy::Pipelined).batch_add(&rows[4..]).await.unwrap().len(), 6);
    assert_eq!(with(ExecutionStrategy::Parallel).batch_upsert(&rows).await.unwrap().updated, 10);
}

pub(super) async fn names_and_settings(place: &Place) {
    let repo = place.repository::<Product>();
    let added = repo.batch_add((0..2).map(new)).await.unwrap();
    let kind = |error: Error| (error.kind(), error.table().map(str::to_owned));
    let products = Some("products".to_owned());
    let error = repo.batch_update(&added).fields("prise").await.unwrap_err();
    assert_eq!(kind(error), (ErrorKind::UnknownField, products.clone()));
    let error = repo.batch_update(&added).fields("double_price").await.unwrap_err();
    assert_eq!(kind(error), (ErrorKind::UnknownField, products.clone()));
    let error = repo.batch_update(&added).fields(["id", "price"]).await.unwrap_err();
    assert_eq!(kind(error), (ErrorKind::UnknownField, products.clone()));
    let error = repo.batch_upsert(&added).on(["price"]).await.unwrap_err();
    assert_eq!(kind(error), (ErrorKind::UnknownKey, products.clone()));
    let error = repo.batch_upsert([new(1)]).on("id").await.unwrap_err();
    assert_eq!(kind(error), (ErrorKind::UnknownField, products));
}
