//! The caller's own transactions: what is written in one is in with it or not at all.

use batchkit::{BatchConfig, BatchModel, ErrorKind, ExecutionStrategy, Filter};
use batchkit_repo::Database;

use super::model::{Category, NewProduct, Product, new, skus};
use super::places::Place;

pub(super) async fn commit_rollback_and_drop(place: &Place) {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum End {
        Commit,
        Rollback,
        Drop,
    }
    let repo = place.repository::<Product>();
    let stored = repo.batch_add((0..6).map(new)).await.unwrap();
    let mut connection = place.database.connect().await.unwrap();
    for end in [End::Rollback, End::Drop, End::Commit] {
        let mut tx = connection.transaction().await.unwrap();
        let added = repo.batch_add((200..205).map(new)).within(&mut tx).await.unwrap();
        let ids: Vec<i64> = added.iter().map(|product| product.id).collect();
        assert_eq!(repo.batch_get(&ids).within(&mut tx).await.unwrap(), added);
        assert_eq!(repo.batch_update(&added).within(&mut tx).await.unwrap(), 5);
        assert_eq!(repo.batch_remove(&ids[..1]).within(&mut tx).await.unwrap(), 1);
        assert_eq!(repo.batch_remove([stored[0].id]).within(&mut tx).await.unwrap(), 1);
        let known = repo.batch_upsert([NewProduct { price: 300, ..new(1) }, new(206)]).within(&mut tx).await.unwrap();
        assert_eq!((known.inserted, known.updated), (1, 1));
        assert_eq!(repo.count(Filter::all()).within(&mut tx).await.unwrap(), 10);
        let wanted = ["sku 1", "sku 201", "sku 202", "sku 203", "sku 204", "sku 206"];
        let dear = repo.list(Product::FIELDS.price.ge(200)).within(&mut tx).await.unwrap();
        assert_eq!(skus(&dear), wanted, "{end:?}");
        assert_eq!(repo.list(Filter::all()).await.unwrap(), stored, "nobody else sees it");
        match end {
            End::Commit => tx.commit().await.unwrap(),
            End::Rollback => tx.rollback().await.unwrap(),
            End::Drop => drop(tx),
        }
        let dear = repo.list(Product::FIELDS.price.ge(200)).await.unwrap();
        assert_eq!(skus(&dear), if end == End::Commit { &wanted[..] } else { &[] }, "{end:?}");
        assert_eq!(repo.count(Filter::all()).await.unwrap(), if end == End::Commit { 10 } else { 6 }, "{end:?}");
    }
}

pub(super) async fn two_repositories(place: &Place) {
    let (products, categories) = (place.repository::<Product>(), place.repository::<Category>());
    let mut connection = place.database.connect().await.unwrap();
    let of = |category_id| NewProduct { category_id: Some(category_id), ..new(i64::from(category_id)) };
    let category = |id| Category { id, name: None };
    for commit in [false, true] {
        let mut tx = connection.transaction().await.unwrap();
        categories.batch_add([category(1), category(2)]).within(&mut tx).await.unwrap();
        // The reference is seen in the transaction, and by nobody else.
        products.batch_add([of(1), of(2)]).within(&mut tx).await.unwrap();
        let error = products.batch_add([NewProduct { category_id: Some(1), ..new(77) }]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ForeignKeyViolation);
        if commit {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        let count = (products.count(Filter::all()).await.unwrap(), categories.count(Filter::all()).await.unwrap());
        assert_eq!(count, if commit { (2, 2) } else { (0, 0) });
    }
}

pub(super) async fn nested(place: &Place) {
    let repo = place.repository::<Product>();
    let mut connection = place.database.connect().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    repo.batch_add([new(1)]).within(&mut tx).await.unwrap();
    let mut inner = tx.transaction().await.unwrap();
    repo.batch_add([new(2)]).within(&mut inner).await.unwrap();
    inner.rollback().await.unwrap();
    let mut inner = tx.transaction().await.unwrap();
    repo.batch_add([new(3)]).within(&mut inner).await.unwrap();
    let mut innermost = inner.transaction().await.unwrap();
    repo.batch_add([new(4)]).within(&mut innermost).await.unwrap();
    drop(innermost);
    inner.commit().await.unwrap();
    assert_eq!(skus(&repo.list(Filter::all()).within(&mut tx).await.unwrap()), ["sku 1", "sku 3"]);
    assert_eq!(repo.count(Filter::all()).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(skus(&repo.list(Filter::all()).await.unwrap()), ["sku 1", "sku 3"]);
}

pub(super) async fn an_error_leaves_it_usable(place: &Place) {
    let repo = place.repository::<Product>();
    let mut connection = place.database.connect().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    let mut rows: Vec<NewProduct> = (0..10).map(new).collect();
    rows[6].price = -1;
    let error = repo.batch_add(&rows).within(&mut tx).await.unwrap_err();
    assert_eq!((error.kind(), error.rows()), (ErrorKind::CheckViolation, [4..8].as_slice()));
    assert_eq!(error.report().unwrap().committed(), [0..4]);
    assert_eq!(repo.batch_add((20..22).map(new)).within(&mut tx).await.unwrap().len(), 2);
    let config = BatchConfig { execution_strategy: ExecutionStrategy::Parallel, ..BatchConfig::default() };
    let error = place.with::<Product>(config).batch_add([new(30)]).within(&mut tx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    tx.commit().await.unwrap();
    let wanted = ["sku 0", "sku 1", "sku 2", "sku 3", "sku 20", "sku 21"];
    assert_eq!(skus(&repo.list(Filter::all()).await.unwrap()), wanted);
}

/// Read committed: each call sees what is committed when it starts.
pub(super) async fn isolation(place: &Place) {
    let repo = place.repository::<Product>();
    let mut connections = (place.database.connect().await.unwrap(), place.database.connect().await.unwrap());
    let mut one = connections.0.transaction().await.unwrap();
    let mut other = connections.1.transaction().await.unwrap();
    assert_eq!(repo.count(Filter::all()).within(&mut other).await.unwrap(), 0);
    let added = repo.batch_add([new(1), new(2)]).within(&mut one).await.unwrap();
    assert_eq!(repo.count(Filter::all()).within(&mut other).await.unwrap(), 0);
    // A row that only another transaction sees is missing.
    assert_eq!(repo.batch_update(&added).within(&mut other).await.unwrap(), 0);
    assert_eq!(repo.batch_remove([added[0].id]).within(&mut other).await.unwrap(), 0);
    repo.batch_add([new(3)]).within(&mut other).await.unwrap();
    one.commit().await.unwrap();
    assert_eq!(skus(&repo.list(Filter::all()).within(&mut other).await.unwrap()), ["sku 1", "sku 2", "sku 3"]);
    assert_eq!(repo.batch_update(&added).within(&mut other).await.unwrap(), 2);
    other.rollback().await.unwrap();
    assert_eq!(skus(&repo.list(Filter::all()).await.unwrap()), ["sku 1", "sku 2"]);
}

pub(super) async fn transactions_of_others(place: &Place) {
    let repo = place.repository::<Product>();
    let mut foreign = Database::memory().connect().await.unwrap();
    let mut tx = foreign.transaction().await.unwrap();
    let calls = [
        repo.batch_add([new(1)]).within(&mut tx).await.map(drop),
        repo.batch_update(Vec::<Product>::new()).within(&mut tx).await.map(drop),
        repo.batch_upsert([new(1)]).within(&mut tx).await.map(drop),
        repo.batch_get([1i64]).within(&mut tx).await.map(drop),
        repo.batch_remove([1i64]).within(&mut tx).await.map(drop),
        repo.list(Filter::all()).within(&mut tx).await.map(drop),
        repo.count(Filter::all()).within(&mut tx).await.map(drop),
    ];
    for call in calls {
        let error = call.unwrap_err();
        assert_eq!((error.kind(), error.table()), (ErrorKind::Config, Some("products")), "{error}");
    }
    assert_eq!(repo.count(Filter::all()).await.unwrap(), 0);
}

/// `now()` is when the transaction began.
pub(super) async fn the_servers_time(place: &Place) {
    let repo = place.repository::<Product>();
    let before = chrono::Utc::now() - chrono::Duration::seconds(5);
    let mut connection = place.database.connect().await.unwrap();
    let added = repo.batch_add([new(1), new(2)]).await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    for product in &added {
        repo.batch_update([product]).within(&mut tx).await.unwrap();
    }
    let updated = repo.batch_get([1i64, 2]).within(&mut tx).await.unwrap();
    assert_eq!(updated[0].updated_at, updated[1].updated_at);
    assert!(
        updated[0].updated_at > before && updated[0].updated_at < chrono::Utc::now() + chrono::Duration::seconds(5)
    );
}
