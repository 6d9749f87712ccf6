//! Relations: every kind, by single and composite keys, to any depth; what points nowhere; what is asked how often.

use batchkit::{BatchModel, BatchOperations, ErrorKind, Filter, Related};

use crate::common::{Db, Gate, STRATEGIES, TRANSPORTS, database};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "categories")]
struct Category {
    #[batch(key)]
    id: i32,
    name: String,
    parent_id: Option<i32>,
    #[batch(belongs_to(key = "parent_id"))]
    parent: Related<Option<Category>>,
    #[batch(has_many(key = "parent_id", order = "-name"))]
    children: Related<Vec<Category>>,
    #[batch(has_many(key = "category_id"))]
    products: Related<Vec<Product>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "products")]
struct Product {
    #[batch(key)]
    id: i64,
    #[batch(unique)]
    sku: String,
    category_id: i32,
    maker: Option<String>,
    maker_place: Option<i32>,
    #[batch(belongs_to(key = "category_id"))]
    category: Related<Category>,
    #[batch(belongs_to(key("maker", "maker_place")))]
    made_by: Related<Option<Maker>>,
    #[batch(has_one(key = "product_sku", references = "sku"))]
    detail: Related<Option<Detail>>,
    #[batch(has_many(key = "product_id", order("-stars", "id")))]
    reviews: Related<Vec<Review>>,
    #[batch(many_to_many(through = "ProductTag", key = "product_id", target_key = "tag", order = "name"))]
    tags: Related<Vec<Tag>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "makers")]
struct Maker {
    #[batch(key)]
    name: String,
    #[batch(key)]
    place: i32,
    #[batch(has_many(key("maker", "maker_place")))]
    products: Related<Vec<Product>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "details")]
struct Detail {
    #[batch(key)]
    product_sku: String,
    text: String,
    #[batch(belongs_to(key = "product_sku", references = "sku"))]
    product: Related<Option<Product>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "reviews")]
struct Review {
    #[batch(key)]
    id: i64,
    product_id: i64,
    stars: i16,
    author_id: Option<i64>,
    #[batch(belongs_to(key = "author_id"))]
    author: Related<Option<Author>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "authors")]
struct Author {
    #[batch(key)]
    id: i64,
    name: String,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "tags")]
struct Tag {
    #[batch(key)]
    tag: i32,
    name: String,
    #[batch(many_to_many(through = "ProductTag", key = "tag", target_key = "product_id"))]
    products: Related<Vec<Product>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "product_tags")]
struct ProductTag {
    #[batch(key)]
    product_id: i64,
    #[batch(key)]
    tag: i32,
}

const TABLES: &str = "
    CREATE TABLE categories (id int4 PRIMARY KEY, name text NOT NULL, parent_id int4);
    INSERT INTO categories VALUES (1, 'all', NULL), (2, 'tools', 1), (3, 'toys', 1), (4, 'saws', 2), (9, 'lost', 77);
    CREATE TABLE makers (name text, place int4, PRIMARY KEY (name, place));
    INSERT INTO makers VALUES ('Acme', 1), ('Acme', 2), ('Bolt', 1);
    CREATE TABLE products (id int8 PRIMARY KEY, sku text NOT NULL UNIQUE, category_id int4 NOT NULL, maker text, maker_place int4);
    INSERT INTO products VALUES (1, 'a', 2, 'Acme', 1), (2, 'b', 2, 'Acme', 2), (3, 'c', 4, 'Acme', NULL), (4, 'd', 5, 'Nobody', 1);
    CREATE TABLE details (product_sku text PRIMARY KEY, text text NOT NULL);
    INSERT INTO details VALUES ('a', 'about a'), ('zzz', 'about nothing');
    CREATE TABLE authors (id int8 PRIMARY KEY, name text NOT NULL);
    INSERT INTO authors VALUES (1, 'Ann'), (2, 'Bob');
    CREATE TABLE reviews (id int8 PRIMARY KEY, product_id int8 NOT NULL, stars int2 NOT NULL, author_id int8);
    INSERT INTO reviews VALUES (1, 1, 3, 1), (2, 1, 5, NULL), (3, 1, 5, 2), (4, 2, 1, 1), (5, 99, 1, 1);
    CREATE TABLE tags (tag int4 PRIMARY KEY, name text NOT NULL);
    INSERT INTO tags VALUES (1, 'new'), (2, 'cheap'), (3, 'unused');
    CREATE TABLE product_tags (product_id int8, tag int4, PRIMARY KEY (product_id, tag));
    INSERT INTO product_tags VALUES (1, 1), (1, 2), (2, 2), (3, 99)";

fn products(db: &Db) -> BatchOperations<Product> {
    BatchOperations::new(db.pool.clone())
}

#[tokio::test]
async fn every_kind_of_relation() {
    let db = database(TABLES).await;
    let r = Product::RELATIONS;
    let call = products(&db).batch_get([2i64, 1, 3, 4, 2]);
    let found = call.load_relations((r.category, r.made_by, r.detail, r.reviews, r.tags)).await.unwrap();
    assert_eq!(found.iter().map(|product| product.id).collect::<Vec<_>>(), [2, 1, 3, 4, 2]);
    let (b, a, c, d) = (&found[0], &found[1], &found[2], &found[3]);

    assert_eq!(a.category.get().unwrap().name, "tools");
    assert_eq!(c.category.get().unwrap().name, "saws");
    let error = d.category.get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DanglingReference);
    assert!(error.to_string().contains("Product.category"), "{error}");
    // Rows that are related to the same one share it.
    let shared = a.category.get_shared().unwrap();
    assert!(std::sync::Arc::ptr_eq(&shared, &b.category.get_shared().unwrap()));

    let maker =
        |product: &Product| product.made_by.get().unwrap().as_ref().map(|maker| (maker.name.clone(), maker.place));
    assert_eq!((maker(a), maker(b)), (Some(("Acme".into(), 1)), Some(("Acme".into(), 2))));
    // A key with a NULL in it names nothing; one that names nobody neither.
    assert_eq!((maker(c), maker(d)), (None, None));

    let detail = |product: &Product| product.detail.get().unwrap().as_ref().map(|detail| detail.text.clone());
    assert_eq!((detail(a).as_deref(), detail(b)), (Some("about a"), None));

    let reviews = |product: &Product| product.reviews.get().unwrap().iter().map(|review| review.id).collect::<Vec<_>>();
    assert_eq!((reviews(a), reviews(b), reviews(c)), (vec![2, 3, 1], vec![4], vec![]));

    let tags = |product: &Product| product.tags.get().unwrap().iter().map(|tag| tag.name.clone()).collect::<Vec<_>>();
    assert_eq!((tags(a), tags(b), tags(c)), (vec!["cheap".to_owned(), "new".into()], vec!["cheap".into()], vec![]));
    assert_eq!(found[4], found[0], "a key that is named twice gives its row twice");
}

#[tokio::test]
async fn what_was_not_named_is_not_loaded_and_reading_it_is_an_error() {
    let db = database(TABLES).await;
    let found = products(&db).batch_get([1i64]).load_relations(["reviews"]).await.unwrap();
    let error = found[0].tags.get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotLoaded);
    assert!(error.to_string().contains("`Product.tags`"), "{error}");
    assert!(found[0].reviews.is_loaded());
    let review = &found[0].reviews.get().unwrap()[0];
    assert_eq!(review.author.get().unwrap_err().kind(), ErrorKind::NotLoaded);
    assert!(format!("{:?}", found[0]).contains("tags: (not loaded)"));
    let plain = products(&db).batch_get([1i64]).await.unwrap();
    assert!(plain[0].reviews.is_not_loaded());
}

#[tokio::test]
async fn deeper_ones_by_typed_names_and_by_texts() {
    let db = database(TABLES).await;
    let (r, of_review, of_category) = (Product::RELATIONS, Review::RELATIONS, Category::RELATIONS);
    let typed = (r.reviews.then(of_review.author), r.category.then(of_category.parent.then(of_category.children)));
    let typed = products(&db).batch_get([1i64, 3]).load_relations(typed).await.unwrap();
    let texts = ["reviews.author", "category.parent.children", "category"];
    let texts = products(&db).batch_get([1i64, 3]).load_relations(texts).await.unwrap();
    assert_eq!(typed, texts);
    let authors = typed[0].reviews.get().unwrap().iter().map(|review| {
        let author = review.author.get().unwrap();
        author.as_ref().map(|author| author.name.as_str())
    });
    assert_eq!(authors.collect::<Vec<_>>(), [None, Some("Bob"), Some("Ann")]);
    let parent = |product: &Product| product.category.get().unwrap().parent.get().unwrap().clone().unwrap();
    assert_eq!((parent(&typed[0]).name, parent(&typed[1]).name), ("all".to_owned(), "tools".to_owned()));
    let names =
        |category: &Category| category.children.get().unwrap().iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&parent(&typed[0])), ["toys", "tools"]);
    assert_eq!(names(&parent(&typed[1])), ["saws"]);
}

#[tokio::test]
async fn slots_stay_aligned_and_empty_reads_load_nothing() {
    let db = database(TABLES).await;
    let slots = products(&db).batch_get([7i64, 1, 8]).load_relations("tags").aligned().await.unwrap();
    assert!(slots[0].is_none() && slots[2].is_none());
    assert_eq!(slots[1].as_ref().unwrap().tags.get().unwrap().len(), 2);
    assert_eq!(products(&db).batch_get(Vec::<i64>::new()).load_relations("tags").await.unwrap(), []);
    assert_eq!(products(&db).batch_get([77i64]).load_relations(["category.parent"]).await.unwrap(), []);
    let both_ways = products(&db).batch_get([1i64]).aligned().load_relations("made_by.products").await.unwrap();
    let maker = both_ways[0].as_ref().unwrap().made_by.get().unwrap().clone().unwrap();
    assert_eq!(maker.products.get().unwrap()[0].id, 1);
    // Many to many, from the other side, and a reference by another key than the primary.
    let tags = BatchOperations::<Tag>::new(db.pool.clone());
    let cheap = tags.batch_get([2]).load_relations("products.detail.product").await.unwrap();
    let of_cheap = cheap[0].products.get().unwrap();
    assert_eq!(of_cheap.iter().map(|product| product.id).collect::<Vec<_>>(), [1, 2]);
    let detail = of_cheap[0].detail.get().unwrap().clone().unwrap();
    assert_eq!(detail.product.get().unwrap().as_ref().unwrap().id, 1);
}

#[tokio::test]
async fn unknown_names_are_refused_with_the_known_ones() {
    let db = database(TABLES).await;
    let refused = |path: &'static str| {
        let call = products(&db).batch_get([1i64]).load_relations(path);
        async move { call.await.unwrap_err() }
    };
    let error = refused("tagz").await;
    assert_eq!((error.kind(), error.table()), (ErrorKind::UnknownRelation, Some("products")));
    let text = error.to_string();
    assert!(text.contains("category, made_by, detail, reviews, tags"), "{text}");
    let error = refused("reviews.writer").await;
    assert_eq!((error.kind(), error.table()), (ErrorKind::UnknownRelation, Some("reviews")));
    assert!(error.to_string().contains("\"reviews.writer\""), "{error}");
    assert_eq!(refused("tags.").await.kind(), ErrorKind::UnknownRelation);
    assert_eq!(refused("").await.kind(), ErrorKind::UnknownRelation);
    assert!(refused("made_by.products.category.products.x").await.to_string().contains("Product"));
}

#[tokio::test]
async fn under_one_snapshot_and_in_the_callers_transaction() {
    let db = database(TABLES).await;
    let paths = ["reviews.author", "category"];
    let plain = products(&db).batch_get([1i64, 2]).load_relations(paths).await.unwrap();
    let snapshot = products(&db).batch_get([1i64, 2]).load_relations(paths).snapshot().await.unwrap();
    assert_eq!(plain, snapshot);
    let listed = products(&db).list(Product::FIELDS.id.is_in([1, 2])).load_relations(paths).snapshot();
    assert_eq!(listed.await.unwrap(), plain);
    let listed = products(&db).list(Filter::all()).load_relations(paths).snapshot().page(2).await.unwrap();
    assert_eq!(listed.rows, plain);
    let products_of = batchkit_repo::Repository::<Product>::postgres(db.pool.clone());
    assert_eq!(products_of.batch_get([1i64, 2]).load_relations(paths).snapshot().await.unwrap(), plain);
    let mut client = db.pool.get().await.unwrap();
    let mut transaction = client.transaction().await.unwrap();
    transaction.batch_execute("UPDATE authors SET name = 'Eve'; DELETE FROM reviews WHERE id = 2").await.unwrap();
    let call = products(&db).batch_get([1i64]).within(&mut transaction).load_relations(paths);
    let found = call.await.unwrap();
    let names: Vec<_> = found[0]
        .reviews
        .get()
        .unwrap()
        .iter()
        .map(|r| r.author.get().unwrap().as_ref().unwrap().name.clone())
        .collect();
    assert_eq!(names, ["Eve", "Eve"]);
    transaction.rollback().await.unwrap();
    assert_eq!(products(&db).batch_get([1i64, 2]).load_relations(paths).await.unwrap(), plain);
}

/// The authors are changed while the reviews are read: under a snapshot, they are what they were.
#[tokio::test]
async fn nothing_comes_between_the_levels_of_a_snapshot() {
    #[derive(Debug)]
    enum By {
        Get,
        List,
        Page,
        Repository,
    }
    let db = database(TABLES).await;
    db.run(
        "ALTER TABLE reviews RENAME TO reviews_stored;
         CREATE VIEW reviews AS SELECT * FROM reviews_stored WHERE (SELECT pg_advisory_xact_lock_shared(1)::text) = ''",
    )
    .await;
    let repository = batchkit_repo::Repository::<Product>::postgres(db.pool.clone());
    let (of, path) = (Product::FIELDS.id.eq(1), "reviews.author");
    for by in [By::Get, By::List, By::Page, By::Repository] {
        for is_snapshot in [false, true] {
            db.run("UPDATE authors SET name = 'Bob' WHERE id = 2").await;
            let gate = Gate::close(&db, 1..=1).await;
            let products = products(&db);
            let get = products.batch_get([1i64]).load_relations(path);
            let list = products.list(of.clone()).load_relations(path);
            let (list, get) = if is_snapshot { (list.snapshot(), get.snapshot()) } else { (list, get) };
            let of_repository = repository.list(of.clone()).load_relations(path);
            let of_repository = if is_snapshot { of_repository.snapshot() } else { of_repository };
            let read = async {
                match by {
                    By::Get => get.await.unwrap(),
                    By::List => list.await.unwrap(),
                    By::Page => list.page(1).await.unwrap().rows,
                    By::Repository => of_repository.await.unwrap(),
                }
            };
            let changed = async {
                gate.reached(1).await;
                db.run("UPDATE authors SET name = 'Eve' WHERE id = 2").await;
                gate.open(1).await;
            };
            let (found, ()) = tokio::join!(read, changed);
            let of_second = found[0].reviews.get().unwrap().iter().find(|review| review.id == 3).unwrap();
            let name = &of_second.author.get().unwrap().as_ref().unwrap().name;
            assert_eq!(name, if is_snapshot { "Bob" } else { "Eve" }, "{by:?}");
        }
    }
}

#[tokio::test]
async fn more_keys_than_one_statement_takes() {
    let db = database(TABLES).await;
    db.run(
        "TRUNCATE products, reviews; INSERT INTO products SELECT n, n::text, n % 5, NULL, NULL FROM generate_series(1, 50000) n;
         INSERT INTO reviews SELECT n, (n * 7919) % 50000 + 1, 1, NULL FROM generate_series(1, 100000) n",
    )
    .await;
    let found = products(&db).batch_get(1..=50_000i64).load_relations(["reviews", "category"]).await.unwrap();
    let of_their_own =
        |product: &Product| product.reviews.get().unwrap().iter().all(|review| review.product_id == product.id);
    assert!(found.iter().all(of_their_own));
    assert_eq!(found.iter().map(|product| product.reviews.get().unwrap().len()).sum::<usize>(), 100_000);
    assert!(
        found
            .iter()
            .all(|product| product.category_id == 0 || product.category.get().unwrap().id == product.category_id)
    );
}

/// One round trip for the rows and one for each level, whatever reads them and however many relations a level has; but
/// what is found by the very keys that rows are read by comes with them.
#[tokio::test]
async fn a_level_is_one_round_trip() {
    let db = database(TABLES).await;
    let (pool, round_trips) = db.database.counted_pool(1).unwrap();
    let products = BatchOperations::<Product>::new(pool);
    let levels: [(&[&str], usize, usize); 6] = [
        (&[], 0, 0),
        (&["category"], 1, 0),
        (&["reviews", "tags"], 1, 1),
        (&["reviews.author", "tags"], 2, 1),
        (&["category", "made_by", "detail", "reviews", "tags"], 1, 0),
        (&["reviews.author", "category.parent.children", "tags", "made_by"], 3, 0),
    ];
    for (paths, depth, with_the_rows) in levels {
        // The first time, the server is asked about the tables, and statements are prepared.
        for is_warm in [false, true] {
            let expect = |what: &str| {
                let taken = round_trips.take();
                let expected = 1 + depth - if what == "get" { with_the_rows } else { 0 };
                assert!(!is_warm || taken == expected, "{what} with {paths:?}: {taken} round trips");
            };
            products.batch_get([1i64, 2, 3]).load_relations(paths).await.unwrap();
            expect("get");
            products.batch_get_by(Product::KEYS.sku, ["sku 1", "sku 2"]).load_relations("detail").await.unwrap();
            let taken = round_trips.take();
            assert!(!is_warm || taken == 1, "by another key: {taken} round trips");
            products.list(Filter::all()).load_relations(paths).await.unwrap();
            expect("list");
            products
                .list(Product::FIELDS.id.is_in([1, 2]))
                .load_relations(paths)
                .order_by("sku desc")
                .page(2)
                .await
                .unwrap();
            expect("page");
        }
    }
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "shelves")]
struct Shelf {
    #[batch(key)]
    id: i64,
    #[batch(unique)]
    label: String,
    #[batch(has_many(key = "shelf", order = "-title"))]
    books: Related<Vec<Book>>,
    #[batch(has_many(key = "place", references = "label"))]
    pictures: Related<Vec<Picture>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "books")]
struct Book {
    #[batch(key)]
    id: i64,
    shelf: i64,
    title: String,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "pictures")]
struct Picture {
    #[batch(key)]
    id: i64,
    place: String,
}

/// What is asked about with the rows is asked about by all keys that these are asked for: named twice, in other chunks,
/// and of no row.
#[tokio::test]
async fn rows_that_are_asked_for_twice_or_are_not_there_have_what_is_theirs() {
    let db = database(
        "CREATE TABLE shelves (id int8 PRIMARY KEY, label text NOT NULL UNIQUE);
         CREATE TABLE books (id int8 PRIMARY KEY, shelf int8 NOT NULL, title text NOT NULL);
         CREATE TABLE pictures (id int8 PRIMARY KEY, place text NOT NULL);
         INSERT INTO shelves SELECT n, 'label ' || n FROM generate_series(1, 6) AS n;
         -- Also of shelves that are not there; none of the first one.
         INSERT INTO books SELECT n, n % 8 + 2, 'title ' || n % 7 || n FROM generate_series(1, 50) AS n;
         INSERT INTO pictures SELECT n, 'label ' || n % 9 FROM generate_series(1, 30) AS n",
    )
    .await;
    let shelves = BatchOperations::<Shelf>::new(db.pool.clone());
    let books = BatchOperations::<Book>::new(db.pool.clone());
    let pictures = BatchOperations::<Picture>::new(db.pool.clone());
    let asked = [3_i64, 1, 9, 3, 2, 404, 1, 6, 3];
    let mut expected = Vec::new();
    for id in asked {
        let of_shelf = books.list(Book::FIELDS.shelf.eq(id)).order_by("title desc").await.unwrap();
        let label = format!("label {id}");
        let of_place = pictures.list(Picture::FIELDS.place.eq(label.clone())).order_by("id").await.unwrap();
        let shelf = Shelf { id, label, books: Related::new(of_shelf), pictures: Related::new(of_place) };
        expected.push(Some(shelf).filter(|shelf| shelf.id <= 6));
    }
    let labels = asked.map(|id| format!("label {id}"));
    let relations = ["books", "pictures"];
    for (strategy, size) in STRATEGIES {
        let context = format!("{strategy:?} {size}");
        let by_id = || shelves.batch_get(&asked).strategy(strategy).batch_size(size).aligned();
        assert_eq!(by_id().load_relations(relations).await.unwrap(), expected, "{context}");
        let by_label = shelves.batch_get_by(Shelf::KEYS.label, &labels).strategy(strategy).batch_size(size).aligned();
        assert_eq!(by_label.load_relations(relations).await.unwrap(), expected, "{context}, by label");
    }
    let snapshot = shelves.batch_get(&asked).batch_size(2).aligned().load_relations(relations).snapshot();
    assert_eq!(snapshot.await.unwrap(), expected, "a snapshot");
    for transport in TRANSPORTS {
        let found = shelves.batch_get(&asked).transport(transport).aligned().load_relations(relations).await;
        assert_eq!(found.unwrap(), expected, "{transport:?}");
    }
    // A table that changes meanwhile is looked at anew.
    db.run(
        "ALTER TABLE books ADD also text; ALTER TABLE books DROP also; ALTER TABLE books ALTER title TYPE varchar(80)",
    )
    .await;
    assert_eq!(shelves.batch_get(&asked).aligned().load_relations(relations).await.unwrap(), expected);
}

#[test]
fn related_is_what_serde_makes_of_it() {
    let related = Related::new(vec![1, 2]);
    assert_eq!(serde_json::to_string(&related).unwrap(), "[1,2]");
    assert_eq!(serde_json::from_str::<Related<Vec<i32>>>("[1,2]").unwrap(), related);
    let error = serde_json::to_string(&Related::<Vec<i32>>::default()).unwrap_err();
    assert!(error.to_string().contains("not loaded"), "{error}");
}
