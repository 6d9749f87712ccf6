//! What goes in, comes out, changes, and is found.

use batchkit::{BatchModel, Cursor, ErrorKind, Filter, Upserted};
use chrono::DateTime;
use futures_util::TryStreamExt;

use super::model::{Category, NewPrice, NewProduct, NewReview, Product, Review, Shelf, new};
use super::places::Place;

pub(super) async fn add_and_get(place: &Place) {
    let repo = &place.repository::<Product>();
    let added = repo.batch_add((0..10).map(new)).await.unwrap();
    for (n, product) in (0..).zip(&added) {
        assert_eq!((product.id, &product.sku, product.price), (n + 1, &format!("sku {n}"), n));
        assert_eq!((product.double_price, &product.tags), (Some(2 * n), &new(n).tags));
        assert_eq!(product.updated_at.to_rfc3339(), "2000-01-01T00:00:00+00:00");
    }
    assert_eq!(repo.batch_get([7i64, 99, 1]).await.unwrap(), [added[6].clone(), added[0].clone()]);
    assert_eq!(repo.batch_get([7i64, 99]).aligned().await.unwrap(), [Some(added[6].clone()), None]);
    // Whole entities may be added too; their keys are theirs.
    let mut whole = added[3].clone();
    (whole.id, whole.sku) = (1_000, "whole".to_owned());
    assert_eq!(repo.batch_add([&whole]).await.unwrap(), [whole.clone()]);
    assert!(repo.remove(whole.id).await.unwrap());
    assert_eq!(repo.batch_add(Vec::<NewProduct>::new()).await.unwrap(), []);
}

pub(super) async fn update(place: &Place) {
    let repo = &place.repository::<Product>();
    let f = Product::FIELDS;
    let mut products = repo.batch_add((0..10).map(new)).await.unwrap();
    for product in &mut products {
        product.price += 100;
        product.tags.push("changed".to_owned());
    }
    // Price only.
    assert_eq!(repo.batch_update(&products).fields(f.price).await.unwrap(), 10);
    let stored = repo.list(Filter::all()).await.unwrap();
    assert!(stored.iter().zip(&products).all(|(is, wanted)| is.price == wanted.price && is.tags.len() == 2));
    assert!(stored.iter().all(|product| product.updated_at.timestamp() > 1_000_000_000), "on_update has set it");
    // Everything; then nothing is left to change.
    assert_eq!(repo.batch_update(&products).await.unwrap(), 10);
    assert_eq!(repo.batch_update(&products).fields((f.price, f.tags)).if_changed().await.unwrap(), 0);
    products[2].tags.clear();
    assert_eq!(repo.batch_update(&products).fields(["price", "tags"]).if_changed().await.unwrap(), 1);
    // Patches; one is for nobody.
    let patches = [
        NewPrice { id: 1, price: 5, note: Some("a") },
        NewPrice { id: 2, price: 6, note: None },
        NewPrice { id: 77, price: 7, note: None },
    ];
    assert_eq!(repo.batch_update(&patches).await.unwrap(), 2);
    let stored = repo.batch_get([1i64, 2]).await.unwrap();
    assert_eq!((stored[0].price, stored[0].note.as_deref()), (5, Some("a")));
    assert_eq!((stored[1].price, stored[1].tags.len()), (6, 3));
}

pub(super) async fn upsert_and_remove(place: &Place) {
    let repo = &place.repository::<Product>();
    repo.batch_add((0..10).map(new)).await.unwrap();
    let rows: Vec<NewProduct> = (5..15).map(|n| NewProduct { price: 1, ..new(n) }).collect();
    let upserted = repo.batch_upsert(&rows).await.unwrap();
    assert_eq!(upserted, Upserted { inserted: 5, updated: 5, unchanged: 0 });
    let again = repo.batch_upsert(&rows).on(Product::FIELDS.sku).if_changed().await.unwrap();
    assert_eq!(again, Upserted { inserted: 0, updated: 0, unchanged: 10 });
    let all = repo.list(Filter::all()).await.unwrap();
    let new_ones: Vec<i64> = all[10..].iter().map(|product| product.id).collect();
    assert_eq!(repo.batch_remove(new_ones.iter().copied().chain([12_345])).await.unwrap(), 5);
}

pub(super) async fn conditions(place: &Place) {
    let repo = &place.repository::<Product>();
    let f = Product::FIELDS;
    let rows = (0..10).map(|n| NewProduct {
        price: if n >= 5 { 1 } else { n + 100 },
        note: match n {
            0 => Some("a".to_owned()),
            1 => Some("Ab%".to_owned()),
            _ => None,
        },
        ..new(n)
    });
    repo.batch_add(rows).await.unwrap();
    let listed = async |filter: Filter<Product>, limit: Option<u64>| {
        let products = repo.list(filter).limit(limit.unwrap_or(100)).await.unwrap();
        products.into_iter().map(|product| product.sku[4..].parse().unwrap()).collect::<Vec<i64>>()
    };
    let old = f.updated_at.lt(DateTime::UNIX_EPOCH + chrono::Duration::days(11_000));
    assert_eq!(repo.count(Filter::all()).await.unwrap(), 10);
    assert_eq!(repo.count(old).await.unwrap(), 10);
    assert_eq!(listed(f.price.eq(1), Some(2)).await, [5, 6]);
    assert_eq!(listed(f.sku.is_in(["sku 3", "sku 1", "x"]), None).await, [1, 3]);
    assert_eq!(listed(f.note.is_not_null(), None).await, [0, 1]);
    assert_eq!(listed(f.note.is_null() & f.id.le(3), None).await, [2]);
    assert_eq!(listed(f.id.gt(2) & f.id.lt(4), None).await, [2]);
    assert_eq!(listed(f.sku.ne("sku 9") & f.id.ge(9), None).await, [8]);
    assert_eq!(listed(f.price.between(101, 103), None).await, [1, 2, 3]);
    assert_eq!(listed(f.sku.is_in(Vec::<String>::new()), None).await, [0; 0]);
    assert_eq!(listed(!f.sku.is_in(Vec::<String>::new()), Some(1)).await, [0]);
    assert_eq!(listed(Filter::all(), Some(0)).await, [0; 0]);
    // Unknown is not true, and its opposite is unknown too.
    assert_eq!(listed(f.note.ne("a"), None).await, [1]);
    assert_eq!(listed(!f.note.eq("a"), None).await, [1]);
    assert_eq!(listed(f.note.ne("a") | f.id.le(4), None).await, [0, 1, 2, 3]);
    assert_eq!(listed(!(f.note.eq("a") & f.id.le(4)), None).await, [1, 4, 5, 6, 7, 8, 9]);
    assert_eq!(listed(f.note.not_in(["a"]), None).await, [1]);
    assert_eq!(listed(f.category_id.eq(None::<i32>), None).await, [0; 0]);
    // Patterns.
    assert_eq!(listed(f.note.like("A%"), None).await, [1]);
    assert_eq!(listed(f.note.ilike("A%"), None).await, [0, 1]);
    assert_eq!(listed(f.note.ends_with("%"), None).await, [1]);
    assert_eq!(listed(f.sku.contains("u 7"), None).await, [7]);
    // Lists are compared element by element.
    assert_eq!(listed(f.tags.eq(["tag 4", "all"]), None).await, [4]);
    assert_eq!(listed(f.tags.ge(["tag 8"]), None).await, [8, 9]);
    assert_eq!(listed(f.double_price.eq(208), None).await, [4]);
    assert!(repo.exists(f.sku.eq("sku 1")).await.unwrap());
    assert!(!repo.exists(f.sku.eq("'; DROP TABLE products; --")).await.unwrap());
}

pub(super) async fn orders_and_pages(place: &Place) {
    let repo = &place.repository::<Product>();
    let f = Product::FIELDS;
    let note = |n: i64| (n % 3 > 0).then(|| format!("note {}", n % 3));
    repo.batch_add((0..10).map(|n| NewProduct { price: n / 4, note: note(n), ..new(n) })).await.unwrap();
    let ids = |products: &[Product]| products.iter().map(|product| product.id).collect::<Vec<_>>();
    let all = || repo.list(Filter::all());
    assert_eq!(ids(&all().order_by(f.price.desc()).await.unwrap()), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(&all().order_by((f.price.desc(), f.id)).await.unwrap()), [9, 10, 5, 6, 7, 8, 1, 2, 3, 4]);
    assert_eq!(ids(&all().order_by("note desc").await.unwrap()), [10, 7, 4, 1, 9, 6, 3, 8, 5, 2]);
    assert_eq!(ids(&all().order_by(f.note.desc().nulls_last()).limit(4).await.unwrap()), [9, 6, 3, 8]);
    assert_eq!(ids(&all().order_by(f.note.asc().nulls_first()).offset(3).limit(3).await.unwrap()), [10, 2, 5]);
    let error = all().order_by("prise").await.unwrap_err();
    assert_eq!((error.kind(), error.table()), (ErrorKind::UnknownField, Some("products")));
    // Behind a row and before one; the limit is counted from the place.
    let (third, ninth) = (repo.get(3).await.unwrap().unwrap(), repo.get(9).await.unwrap().unwrap());
    assert_eq!(ids(&all().after(&third).before(&ninth).limit(2).await.unwrap()), [4, 5]);
    assert_eq!(ids(&all().before(&ninth).limit(2).await.unwrap()), [7, 8]);
    assert_eq!(ids(&all().before(&ninth).limit(2).offset(1).await.unwrap()), [6, 7]);
    assert_eq!(ids(&all().order_by(f.note).after(&third).await.unwrap()), [6, 9, 1, 4, 7, 10]);
    assert_eq!(ids(&all().order_by("note desc").before(&third).limit(3).await.unwrap()), [1, 9, 6]);
    // Pages to the end and back, also by the cursors' texts.
    let mut pages = Vec::new();
    let mut page = all().order_by("note desc").page(4).await.unwrap();
    assert_eq!(page.previous, None);
    while let Some(next) = page.next.take() {
        pages.push(ids(&page.rows));
        page = all().order_by("note desc").after(next.to_string().parse::<Cursor>().unwrap()).page(4).await.unwrap();
    }
    assert_eq!((pages, ids(&page.rows)), (vec![vec![10, 7, 4, 1], vec![9, 6, 3, 8]], vec![5, 2]));
    let back = all().order_by("note desc").before(page.previous.clone().unwrap()).page(4).await.unwrap();
    assert_eq!((ids(&back.rows), back.next.is_some(), back.previous.is_some()), (vec![9, 6, 3, 8], true, true));
    let back = all().order_by("note desc").before(back.previous.unwrap()).page(4).await.unwrap();
    assert_eq!((ids(&back.rows), back.next.is_some(), back.previous), (vec![10, 7, 4, 1], true, None));
    let error = all().after(page.previous.unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidCursor, Some("products")));
    assert_eq!(all().page(0).await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(all().limit(1).page(2).await.unwrap_err().kind(), ErrorKind::Config);
    // One after the other.
    let streamed: Vec<Product> = repo.stream(f.id.gt(6)).order_by("id desc").fetch_size(3).try_collect().await.unwrap();
    assert_eq!(ids(&streamed), [10, 9, 8, 7]);
    let nothing = repo.stream(Filter::all()).fetch_size(0).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::Config);
    let mut connection = place.database.connect().await.unwrap();
    let mut tx = connection.transaction().await.unwrap();
    assert!(repo.exists(f.id.eq(3)).within(&mut tx).await.unwrap());
    assert_eq!(repo.count(Filter::all()).limit(4).within(&mut tx).await.unwrap(), 4);
}

pub(super) async fn plain(place: &Place) {
    let repo = &place.repository::<Product>();
    let added = repo.add(new(50)).await.unwrap().unwrap();
    assert_eq!(repo.get(added.id).await.unwrap().as_ref(), Some(&added));
    assert!(repo.update(&Product { price: 51, ..added.clone() }).await.unwrap());
    assert_eq!(repo.get(&added.id).await.unwrap().unwrap().price, 51);
    assert!(repo.remove(added.id).await.unwrap());
    assert!(!repo.remove(added.id).await.unwrap());
    assert_eq!(repo.get(added.id).await.unwrap(), None);
    assert!(!repo.update(&added).await.unwrap());
}

/// What the tables do by themselves, and keys of several columns.
pub(super) async fn defaults_and_keys(place: &Place) {
    let (products, reviews) = (place.repository::<Product>(), place.repository::<Review>());
    let product = products.add(new(1)).await.unwrap().unwrap();
    let review = |text: &str| NewReview { product_id: product.id, category_id: None, text: text.to_owned() };
    let mut added = reviews.batch_add([review("a"), review("b")]).await.unwrap();
    assert_eq!(added.iter().map(|r| (r.id, r.version)).collect::<Vec<_>>(), [(100, 1), (101, 1)]);
    added[0].text.push('!');
    assert_eq!(reviews.batch_update(&added).if_changed().await.unwrap(), 1);
    assert_eq!(reviews.batch_update(&added[..1]).await.unwrap(), 1);
    let versions = reviews.list(Filter::all()).await.unwrap();
    assert_eq!(versions.iter().map(|r| r.version).collect::<Vec<_>>(), [3, 1]);
    // Named, it is set as it is.
    let given = Review { version: 7, ..added[1].clone() };
    assert_eq!(reviews.batch_update([&given]).fields("version").await.unwrap(), 1);
    assert_eq!(reviews.get(101).await.unwrap().unwrap().version, 7);

    let shelves = place.repository::<Shelf>();
    let shelf = |shelf, slot: &str, code: Option<&str>| Shelf {
        shelf,
        slot: slot.to_owned(),
        code: code.map(str::to_owned),
        room: 1,
    };
    // NULL equals no other NULL.
    let rows = [shelf(2, "a", Some("x")), shelf(1, "b", None), shelf(1, "a", None)];
    assert_eq!(shelves.batch_add(&rows).await.unwrap(), rows);
    assert_eq!(
        shelves.batch_get([(1, "a"), (3, "a"), (2, "a")]).aligned().await.unwrap(),
        [Some(rows[2].clone()), None, Some(rows[0].clone())]
    );
    let in_order: Vec<Shelf> = [2, 1, 0].map(|at: usize| rows[at].clone()).into();
    assert_eq!(shelves.list(Filter::all()).await.unwrap(), in_order);
    let error = shelves.batch_add([shelf(9, "z", Some("x"))]).await.unwrap_err();
    assert_eq!((error.kind(), error.constraint()), (ErrorKind::UniqueViolation, Some("one_code")));
    let moved = Shelf { shelf: 5, ..shelf(5, "new", Some("x")) };
    let upserted = shelves.batch_upsert([&moved]).on((Shelf::FIELDS.code, Shelf::FIELDS.room)).await.unwrap();
    assert_eq!(upserted, Upserted { inserted: 0, updated: 0, unchanged: 1 }, "the key is not what an upsert sets");
    assert_eq!(shelves.batch_remove([(1, "a"), (1, "a"), (1, "c")]).await.unwrap(), 1);
}

/// What becomes of rows whose referenced row is deleted.
pub(super) async fn references(place: &Place) {
    let (products, reviews) = (place.repository::<Product>(), place.repository::<Review>());
    let categories = place.repository::<Category>();
    categories.batch_add((1..4).map(|id| Category { id, name: None })).await.unwrap();
    let of = |n: i64, category_id| NewProduct { category_id, ..new(n) };
    let added = products.batch_add([of(1, Some(1)), of(2, None), of(3, Some(3))]).await.unwrap();
    let review =
        |product: usize, category_id| NewReview { product_id: added[product].id, category_id, text: String::new() };
    reviews.batch_add([review(0, Some(2)), review(1, Some(3)), review(1, None)]).await.unwrap();
    // SET NULL.
    assert!(categories.remove(2).await.unwrap());
    assert_eq!(reviews.count(Review::FIELDS.category_id.is_null()).await.unwrap(), 2);
    // Refused: a product refers to it.
    assert_eq!(categories.remove(3).await.unwrap_err().kind(), ErrorKind::ForeignKeyViolation);
    assert_eq!(reviews.count(Review::FIELDS.category_id.eq(3)).await.unwrap(), 1);
    // CASCADE.
    assert_eq!(products.batch_remove([added[1].id, added[2].id]).await.unwrap(), 2);
    assert_eq!(reviews.count(Filter::all()).await.unwrap(), 1);
    assert!(categories.remove(3).await.unwrap());
}
