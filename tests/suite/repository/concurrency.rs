//! Tasks that write the same rows: one waits for the other.

use std::time::Duration;

use batchkit::{BatchConfig, BatchModel, DatabaseSettings, Error, ErrorKind, Filter};
use batchkit_repo::Repository;
use tokio::task::JoinHandle;

use super::model::{Category, NewProduct, Product, new, skus};
use super::places::Place;

/// A call in a task of its own, which waits for another transaction.
async fn waiting<T: Send + 'static>(
    place: &Place,
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> JoinHandle<Result<T, Error>> {
    let task = tokio::spawn(call);
    place.until_waiting(1).await;
    assert!(!task.is_finished());
    task
}

pub(super) async fn a_taken_key_waits_for_its_rival(place: &Place) {
    let repo = place.repository::<Product>();
    let mut connection = place.database.connect().await.unwrap();
    for commit in [false, true] {
        let mut tx = connection.transaction().await.unwrap();
        repo.batch_add([new(1)]).within(&mut tx).await.unwrap();
        let (add, upsert) = (repo.clone(), repo.clone());
        let add = async move { add.batch_add([new(2), new(1)]).await };
        let upsert = async move { upsert.batch_upsert([NewProduct { price: 50, ..new(1) }]).await };
        if commit {
            let (add, upsert) = (waiting(place, add).await, tokio::spawn(upsert));
            place.until_waiting(2).await;
            tx.commit().await.unwrap();
            let error = add.await.unwrap().unwrap_err();
            assert_eq!((error.kind(), error.constraint()), (ErrorKind::UniqueViolation, Some("products_sku_key")));
            let upserted = upsert.await.unwrap().unwrap();
            assert_eq!((upserted.inserted, upserted.updated), (0, 1));
            assert_eq!(repo.list(Filter::all()).await.unwrap()[0].price, 50);
        } else {
            let add = waiting(place, add).await;
            tx.rollback().await.unwrap();
            let added = add.await.unwrap().unwrap();
            assert_eq!(skus(&added), ["sku 2", "sku 1"]);
            repo.batch_remove(added.iter().map(|product| product.id)).await.unwrap();
        }
    }
}

pub(super) async fn a_locked_row_waits_for_its_rival(place: &Place) {
    let repo = place.repository::<Product>();
    let stored = repo.batch_add((1..4).map(new)).await.unwrap();
    let mut connection = place.database.connect().await.unwrap();
    // An update behind an update: the later one wins, and what it does not name stays as the first one left it.
    let mut tx = connection.transaction().await.unwrap();
    let first = Product { price: 10, note: Some("first".to_owned()), ..stored[0].clone() };
    repo.batch_update([&first]).within(&mut tx).await.unwrap();
    let (other, second) = (repo.clone(), Product { price: 20, ..stored[0].clone() });
    let update = waiting(place, async move { other.batch_update([&second]).fields(Product::FIELDS.price).await }).await;
    tx.commit().await.unwrap();
    assert_eq!(update.await.unwrap().unwrap(), 1);
    let found = repo.get(stored[0].id).await.unwrap().unwrap();
    assert_eq!((found.price, found.note.as_deref()), (20, Some("first")));

    // An update and a delete behind a delete.
    let mut tx = connection.transaction().await.unwrap();
    repo.batch_remove([stored[1].id]).within(&mut tx).await.unwrap();
    let (other, row) = (repo.clone(), stored[1].clone());
    let update = waiting(place, async move { other.batch_update([&row]).await }).await;
    let (other, id) = (repo.clone(), stored[1].id);
    let delete = tokio::spawn(async move { other.batch_remove([id]).await });
    place.until_waiting(2).await;
    tx.commit().await.unwrap();
    assert_eq!((update.await.unwrap().unwrap(), delete.await.unwrap().unwrap()), (0, 0));

    // A key that is about to be free.
    let mut tx = connection.transaction().await.unwrap();
    repo.batch_remove([stored[2].id]).within(&mut tx).await.unwrap();
    let other = repo.clone();
    let add = waiting(place, async move { other.batch_add([new(3)]).await }).await;
    tx.commit().await.unwrap();
    assert_eq!(add.await.unwrap().unwrap().len(), 1);
}

pub(super) async fn a_referenced_row_is_held(place: &Place) {
    let (products, categories) = (place.repository::<Product>(), place.repository::<Category>());
    categories.batch_add((1..4).map(|id| Category { id, name: None })).await.unwrap();
    let of = |category_id| NewProduct { category_id: Some(category_id), ..new(i64::from(category_id)) };
    let mut connection = place.database.connect().await.unwrap();
    // A delete behind a row that refers to it.
    let mut tx = connection.transaction().await.unwrap();
    products.batch_add([of(1)]).within(&mut tx).await.unwrap();
    let other = categories.clone();
    let delete = waiting(place, async move { other.batch_remove([1]).await }).await;
    tx.commit().await.unwrap();
    assert_eq!(delete.await.unwrap().unwrap_err().kind(), ErrorKind::ForeignKeyViolation);
    // A row that refers to one behind its delete.
    let mut tx = connection.transaction().await.unwrap();
    categories.batch_remove([2]).within(&mut tx).await.unwrap();
    let (other, row) = (products.clone(), of(2));
    let add = waiting(place, async move { other.batch_add([row]).await }).await;
    tx.commit().await.unwrap();
    assert_eq!(add.await.unwrap().unwrap_err().kind(), ErrorKind::ForeignKeyViolation);
    // Another column of it is in nobody's way.
    let mut tx = connection.transaction().await.unwrap();
    categories
        .batch_update([Category { id: 3, name: Some("x".to_owned()) }])
        .fields("name")
        .within(&mut tx)
        .await
        .unwrap();
    products.batch_add([NewProduct { sku: "other".to_owned(), ..of(3) }]).within(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

pub(super) async fn a_deadlock_ends_one(place: &Place) {
    let repo = place.repository::<Product>();
    let stored = repo.batch_add((0..2).map(new)).await.unwrap();
    let mut connections = (place.database.connect().await.unwrap(), place.database.connect().await.unwrap());
    let mut one = connections.0.transaction().await.unwrap();
    let mut other = connections.1.transaction().await.unwrap();
    repo.batch_update(&stored[..1]).within(&mut one).await.unwrap();
    repo.batch_update(&stored[1..]).within(&mut other).await.unwrap();
    let answers = tokio::join!(
        async {
            let answer = repo.batch_update(&stored[1..]).within(&mut one).await;
            one.rollback().await.unwrap();
            answer
        },
        async {
            let answer = repo.batch_update(&stored[..1]).within(&mut other).await;
            other.rollback().await.unwrap();
            answer
        },
    );
    let error = match answers {
        (Ok(1), Err(error)) | (Err(error), Ok(1)) => Some(error),
        _ => None,
    };
    let error = error.unwrap();
    assert_eq!((error.kind(), error.sqlstate().map(|state| state.code())), (ErrorKind::Database, Some("40P01")));
}

pub(super) async fn a_lock_timeout(place: &Place) {
    let database = DatabaseSettings { lock_timeout: Some(Duration::from_millis(50)), ..DatabaseSettings::default() };
    let config = BatchConfig { database, retry_count: 0, ..BatchConfig::default() };
    let impatient = place.with::<Product>(config);
    let config = BatchConfig { timeout: Some(Duration::from_millis(50)), retry_count: 0, ..BatchConfig::default() };
    let hurried = place.with::<Product>(config);
    let mut connection = place.database.connect().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    impatient.batch_add([new(1)]).within(&mut tx).await.unwrap();
    let error = impatient.batch_add([new(2), new(1)]).await.unwrap_err();
    assert_eq!((error.kind(), error.sqlstate().map(|state| state.code())), (ErrorKind::Database, Some("55P03")));
    assert_eq!(error.report().unwrap().failed(), 2);
    let error = hurried.batch_add([new(2), new(1)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    tx.rollback().await.unwrap();
    assert_eq!(place.repository::<Product>().batch_add([new(2), new(1)]).await.unwrap().len(), 2);
}

pub(super) async fn many_tasks(place: &Place) {
    const TASKS: i64 = 8;
    async fn bump(repo: Repository<Product>, database: batchkit_repo::Database, task: i64) -> Result<(), Error> {
        // Locks are taken in one order, so nobody is in another's way for ever.
        repo.batch_upsert([new(task)]).await?;
        let mut connection = database.connect().await?;
        let mut tx = connection.transaction().await?;
        repo.batch_update([Product { note: Some("taken".to_owned()), ..first() }])
            .fields(Product::FIELDS.note)
            .within(&mut tx)
            .await?;
        let mut counter = repo.batch_get([1i64]).within(&mut tx).await?;
        counter[0].price += 1;
        repo.batch_update(&counter).fields(Product::FIELDS.price).within(&mut tx).await?;
        tx.commit().await
    }
    fn first() -> Product {
        let (tags, updated_at) = (Vec::new(), chrono::DateTime::UNIX_EPOCH);
        let (sku, note, double_price, category_id) = ("counter".to_owned(), None, None, None);
        Product { id: 1, sku, price: 0, tags, note, category_id, double_price, updated_at }
    }
    let repo = place.repository::<Product>();
    repo.batch_add([NewProduct { sku: "counter".to_owned(), ..new(0) }]).await.unwrap();
    // One after the other has a connection for its call and one for its transaction.
    for pair in 0..TASKS / 2 {
        let tasks = [2 * pair, 2 * pair + 1].map(|task| tokio::spawn(bump(repo.clone(), place.database.clone(), task)));
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }
    assert_eq!(repo.get(1).await.unwrap().unwrap().price, TASKS);
    assert_eq!(repo.count(Filter::all()).await.unwrap(), u64::try_from(TASKS).unwrap() + 1);
}
