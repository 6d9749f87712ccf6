//! Graph insert: rows with others below them, in one call, with keys that only the server knows.

use batchkit::{
    BatchConfig, BatchModel, BatchOperations, BatchSize, ErrorKind, ExecutionStrategy, OnRowError, Outcome, Related,
    Transport,
};

use crate::common::{Db, STRATEGIES, database};
use crate::repository::graphs::{Invoice, NewInvoice, NewOrderTag, NewPart, OrderTag, Part, Tag};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "orders", new = "NewOrder")]
struct Order {
    #[batch(key, auto)]
    id: i64,
    customer: String,
    #[batch(has_many(key = "order_id", order = "number", new = "NewLine"))]
    lines: Related<Vec<Line>>,
    #[batch(has_one(key = "order_id", new = "NewInvoice"))]
    invoice: Related<Option<Invoice>>,
    #[batch(many_to_many(through = "OrderTag", key = "order_id", target_key = "tag", new = "NewOrderTag"))]
    tags: Related<Vec<Tag>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "lines", new = "NewLine")]
struct Line {
    #[batch(key, auto)]
    id: i32,
    #[batch(parent)]
    order_id: i64,
    number: i32,
    quantity: i32,
    #[batch(has_many(key = "line_id", new = "NewPart"))]
    parts: Related<Vec<Part>>,
    #[batch(belongs_to(key = "order_id"))]
    order: Related<Order>,
}

const TABLES: &str = "
    CREATE TABLE orders (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL CHECK (customer <> ''));
    CREATE TABLE lines (id serial PRIMARY KEY, order_id int8 NOT NULL REFERENCES orders, number int4 NOT NULL,
                        quantity int4 NOT NULL CONSTRAINT enough CHECK (quantity > 0));
    CREATE TABLE parts (line_id int4 REFERENCES lines, name text, PRIMARY KEY (line_id, name));
    CREATE TABLE invoices (order_id int8 PRIMARY KEY REFERENCES orders, total int8 NOT NULL);
    CREATE TABLE tags (tag text PRIMARY KEY); INSERT INTO tags VALUES ('rush'), ('gift');
    CREATE TABLE order_tags (order_id int8 REFERENCES orders, tag text CONSTRAINT known REFERENCES tags, PRIMARY KEY (order_id, tag))";

/// Order `n` has `n % 4` lines, each with up to two parts; every other one has an invoice, every third a tag.
fn order(n: i32) -> NewOrder {
    let part = |name: &str| NewPart { line_id: None, name: name.to_owned() };
    let line = |number: i32| NewLine {
        order_id: None,
        number,
        quantity: n + 1,
        parts: ["bolt", "nut"].iter().take(usize::try_from((n + number) % 3).unwrap()).map(|name| part(name)).collect(),
    };
    let tag = NewOrderTag { order_id: None, tag: "rush".to_owned() };
    NewOrder {
        customer: format!("customer {n}"),
        lines: (0..n % 4).map(line).collect(),
        invoice: (n % 2 == 0).then_some(NewInvoice { order_id: None, total: i64::from(n) }),
        tags: if n % 3 == 0 { vec![tag] } else { Vec::new() },
    }
}

/// The stored graph as a text in the order of the customers, its keys left out.
const STORED: &str = "
    SELECT coalesce(string_agg(o.customer || ':' ||
        (SELECT coalesce(string_agg(l.number || 'x' || l.quantity || (SELECT coalesce(string_agg('.' || p.name, '' ORDER BY p.name), '') FROM parts p WHERE p.line_id = l.id), ',' ORDER BY l.number), '')
         FROM lines l WHERE l.order_id = o.id) || '|' ||
        coalesce((SELECT i.total::text FROM invoices i WHERE i.order_id = o.id), '-') || '|' ||
        (SELECT count(*) FROM order_tags t WHERE t.order_id = o.id), ';' ORDER BY length(o.customer), o.customer), '') FROM orders o";

fn expected(orders: &[NewOrder]) -> String {
    let line = |line: &NewLine| {
        let parts: String = line.parts.iter().map(|part| format!(".{}", part.name)).collect();
        format!("{}x{}{parts}", line.number, line.quantity)
    };
    let order = |order: &NewOrder| {
        let lines = order.lines.iter().map(line).collect::<Vec<_>>().join(",");
        let invoice = order.invoice.as_ref().map_or("-".to_owned(), |invoice| invoice.total.to_string());
        format!("{}:{lines}|{invoice}|{}", order.customer, order.tags.len())
    };
    orders.iter().map(order).collect::<Vec<_>>().join(";")
}

async fn empty(db: &Db) {
    db.run("TRUNCATE orders, lines, parts, invoices, order_tags").await;
}

#[tokio::test]
async fn every_way_stores_the_whole_graph_and_gives_it_back() {
    let db = database(TABLES).await;
    let orders: Vec<NewOrder> = (0..30).map(order).collect();
    for transport in
        [Transport::Auto, Transport::UnnestRows, Transport::UnnestColumns, Transport::Copy, Transport::Single]
    {
        for (execution_strategy, size) in STRATEGIES {
            let context = format!("{transport:?} {execution_strategy:?} {size}");
            let config = BatchConfig {
                transport,
                execution_strategy,
                batch_size: BatchSize::Rows(size),
                max_workers: 2,
                ..BatchConfig::default()
            };
            let operations = BatchOperations::<Order>::builder(db.pool.clone()).config(config).build().unwrap();
            empty(&db).await;
            assert_eq!(operations.batch_insert(&orders).await.unwrap(), 30, "{context}");
            assert_eq!(db.text(STORED).await, expected(&orders), "{context}");

            empty(&db).await;
            let report = operations.batch_insert(&orders).report().await.unwrap();
            let lines = orders.iter().map(|order| order.lines.len() as u64).sum::<u64>();
            let below: Vec<_> = report.below().collect();
            assert!(
                below.contains(&("Order.lines", lines)) && below.contains(&("Order.invoice", 15)),
                "{context}: {below:?}"
            );
            assert_eq!((report.inserted(), below.len()), (30, 4), "{context}");

            empty(&db).await;
            let stored = operations.batch_insert(&orders).returning().await.unwrap();
            assert_eq!(db.text(STORED).await, expected(&orders), "{context}");
            for (order, new) in stored.iter().zip(&orders) {
                assert_eq!(order.customer, new.customer, "{context}");
                let lines = order.lines.get().unwrap();
                assert_eq!(lines.len(), new.lines.len(), "{context}");
                for (line, new) in lines.iter().zip(&new.lines) {
                    assert_eq!(
                        (line.order_id, line.number, line.quantity),
                        (order.id, new.number, new.quantity),
                        "{context}"
                    );
                    let parts = line.parts.get().unwrap();
                    assert!(
                        parts.iter().map(|part| &part.name).eq(new.parts.iter().map(|part| &part.name)),
                        "{context}"
                    );
                    assert!(parts.iter().all(|part| part.line_id == line.id), "{context}");
                }
                let invoice = order.invoice.get().unwrap().as_ref();
                assert_eq!(invoice.map(|invoice| invoice.total), new.invoice.as_ref().map(|invoice| invoice.total));
                assert!(order.tags.is_not_loaded(), "{context}: the links are stored, their other ends are not read");
            }

            empty(&db).await;
            let ids = operations.batch_insert(&orders).returning_keys().await.unwrap();
            assert_eq!(db.text(STORED).await, expected(&orders), "{context}");
            let customers = operations.batch_get(&ids).await.unwrap().into_iter().map(|order| order.customer);
            assert!(customers.eq(orders.iter().map(|order| order.customer.clone())), "{context}");
        }
    }
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "nodes", new = "NewNode")]
struct Node {
    #[batch(key, auto)]
    id: i32,
    name: String,
    #[batch(parent)]
    above: Option<i32>,
    #[batch(has_many(key = "above", new = "NewNode"))]
    children: Related<Vec<Node>>,
    #[batch(belongs_to(key = "above"))]
    parent: Related<Option<Node>>,
}

#[tokio::test]
async fn trees_of_any_depth() {
    let db =
        database("CREATE TABLE nodes (id serial PRIMARY KEY, name text NOT NULL, above int4 REFERENCES nodes)").await;
    fn tree(name: &str, depth: usize) -> NewNode {
        let children =
            if depth == 0 { Vec::new() } else { (0..2).map(|n| tree(&format!("{name}{n}"), depth - 1)).collect() };
        NewNode { name: name.to_owned(), above: None, children }
    }
    fn names(node: &Node) -> Vec<String> {
        let below = node.children.get().unwrap().iter().flat_map(names);
        std::iter::once(node.name.clone()).chain(below).collect()
    }
    let operations = BatchOperations::<Node>::new(db.pool.clone());
    let stored =
        operations.batch_insert([tree("a", 4), tree("b", 0), tree("c", 2)]).batch_size(2).returning().await.unwrap();
    assert_eq!(names(&stored[0]).len(), 31);
    assert_eq!(names(&stored[1]), ["b"]);
    assert_eq!(names(&stored[2]), ["c", "c0", "c00", "c01", "c1", "c10", "c11"]);
    let wrong = "SELECT count(*) FROM nodes n JOIN nodes p ON p.id = n.above WHERE n.name NOT LIKE p.name || '_'";
    assert_eq!((db.number("SELECT count(*) FROM nodes").await, db.number(wrong).await), (39, 0));
    // Keys that a trigger may set come from the stored rows.
    db.run(
        "CREATE FUNCTION negative() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id = -NEW.id; RETURN NEW; END';
         CREATE TRIGGER negative BEFORE INSERT ON nodes FOR EACH ROW EXECUTE FUNCTION negative()",
    )
    .await;
    let informed = BatchOperations::<Node>::new(db.pool.clone());
    let keys = informed.batch_insert([tree("d", 2), tree("e", 0), tree("f", 1)]).returning_keys().await.unwrap();
    let names: Vec<String> = informed.batch_get(&keys).await.unwrap().into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["d", "e", "f"]);
    assert_eq!((db.number("SELECT count(*) FROM nodes WHERE id < 0").await, db.number(wrong).await), (11, 0));
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "albums", new = "NewAlbum")]
struct Album {
    #[batch(key, auto)]
    id: i64,
    #[batch(unique)]
    number: i64,
    #[batch(on_insert = "'on insert'")]
    by: String,
    #[batch(has_many(key = "album", references = "number", new = "NewSong"))]
    songs: Related<Vec<Song>>,
}

/// It declares no key.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "songs", new = "NewSong")]
struct Song {
    #[batch(parent)]
    album: i64,
    title: String,
}

/// Many roots, of which only keys come back: the rows below find what they refer to, which is not the key.
#[tokio::test]
async fn rows_below_refer_to_another_column_than_the_key_that_comes_back() {
    let db = database(
        "CREATE TABLE albums (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number int8 NOT NULL UNIQUE, by varchar(20) NOT NULL);
         CREATE TABLE songs (album int8 NOT NULL REFERENCES albums (number), title text NOT NULL)",
    )
    .await;
    let albums = BatchOperations::<Album>::new(db.pool.clone());
    for transport in [Transport::Auto, Transport::Copy, Transport::UnnestRows] {
        db.run("TRUNCATE albums, songs RESTART IDENTITY").await;
        let song = |number: i64, n: i64| NewSong { album: None, title: format!("{number}.{n}") };
        let album = |number: i64| NewAlbum { number, songs: (0..3).map(|n| song(number, n)).collect() };
        let new: Vec<NewAlbum> = (100..400).rev().map(album).collect();
        let ids = albums.batch_insert(&new).transport(transport).returning_keys().await.unwrap();
        let numbers = albums.batch_get(&ids).await.unwrap().into_iter().map(|album| album.number);
        assert!(numbers.eq(new.iter().map(|album| album.number)), "{transport:?}");
        let right = "SELECT count(*) FROM songs WHERE title LIKE album || '.%'";
        assert_eq!(db.number(right).await, 900, "{transport:?}");
    }
}

#[tokio::test]
async fn an_error_names_the_root_and_the_path_and_leaves_no_half_graph() {
    let db = database(TABLES).await;
    let operations = BatchOperations::<Order>::new(db.pool.clone());
    for strategy in [ExecutionStrategy::Chunked, ExecutionStrategy::Parallel, ExecutionStrategy::SingleQuery] {
        empty(&db).await;
        let mut orders: Vec<NewOrder> = (0..20).map(order).collect();
        orders[11].lines[2].quantity = 0;
        let error = operations.batch_insert(&orders).strategy(strategy).batch_size(5).max_workers(1).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.constraint(), error.table()),
            (ErrorKind::CheckViolation, Some("enough"), Some("lines"))
        );
        assert_eq!((error.path(), error.rows()), (Some("lines"), [11..12].as_slice()), "{strategy:?} {error}");
        let stored = if strategy == ExecutionStrategy::SingleQuery { 0 } else { 10 };
        assert_eq!(db.text(STORED).await, expected(&orders[..stored]), "{strategy:?}");
        // A value that cannot be sent at all, two levels down.
        let mut orders: Vec<NewOrder> = (0..4).map(order).collect();
        orders[3].lines[1].parts.push(NewPart { line_id: None, name: "nul \0".to_owned() });
        let position = orders[3].lines[1].parts.len() - 1;
        let error = operations.batch_insert(&orders).strategy(strategy).await.unwrap_err();
        assert_eq!((error.kind(), error.table(), error.column()), (ErrorKind::InvalidRow, Some("parts"), Some("name")));
        let path = format!("lines[1].parts[{position}]");
        assert_eq!((error.path(), error.rows()), (Some(path.as_str()), [3..4].as_slice()), "{error}");
    }
    // A line that says that it is another order's.
    let mut orders: Vec<NewOrder> = (0..4).map(order).collect();
    orders[2].lines[1].order_id = Some(77);
    let error = operations.batch_insert(&orders).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.path(), error.rows()),
        (ErrorKind::InvalidRow, Some("lines[1]"), [2..3].as_slice())
    );
}

#[tokio::test]
async fn bad_graphs_are_turned_away_whole() {
    let db = database(TABLES).await;
    let mut orders: Vec<NewOrder> = (0..40).map(order).collect();
    orders[3].lines[1].quantity = -1;
    orders[9].tags[0].tag = "unknown".to_owned();
    orders[14].customer = String::new();
    orders[23].lines[0].parts = vec![NewPart { line_id: None, name: "a\0".to_owned() }];
    let bad = [3, 9, 14, 23];
    let good: Vec<NewOrder> =
        orders.iter().enumerate().filter(|(n, _)| !bad.contains(n)).map(|(_, order)| order.clone()).collect();
    for (strategy, size) in STRATEGIES {
        empty(&db).await;
        let operations = BatchOperations::<Order>::new(db.pool.clone());
        let call = operations.batch_insert(&orders).strategy(strategy).batch_size(size).max_workers(2);
        let report = call.on_row_error(OnRowError::Reject).report().await.unwrap();
        assert_eq!(report.positions(Outcome::Rejected).collect::<Vec<_>>(), bad, "{strategy:?}");
        let paths: Vec<_> =
            report.rejects().iter().map(|reject| (reject.path.as_deref(), reject.constraint.as_deref())).collect();
        let expected_paths = [
            (Some("lines"), Some("enough")),
            (Some("tags"), Some("known")),
            (None, Some("orders_customer_check")),
            (Some("lines[0].parts[0]"), None),
        ];
        assert_eq!(paths, expected_paths, "{strategy:?}");
        assert_eq!(db.text(STORED).await, expected(&good), "{strategy:?}");
    }
}

#[tokio::test]
async fn in_the_callers_transaction_and_only_by_inserting() {
    let db = database(TABLES).await;
    let operations = BatchOperations::<Order>::new(db.pool.clone());
    let orders: Vec<NewOrder> = (0..8).map(order).collect();
    let mut client = db.pool.get().await.unwrap();
    let mut transaction = client.transaction().await.unwrap();
    let stored = operations.batch_insert(&orders).within(&mut transaction).returning().await.unwrap();
    assert_eq!(stored[3].lines.get().unwrap().len(), 3);
    transaction.rollback().await.unwrap();
    assert_eq!(db.text(STORED).await, "");
    let error = operations.batch_insert(&orders).ignore_conflicts().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    // Lines alone name their order.
    let id = operations.batch_insert(&orders[..1]).returning().await.unwrap()[0].id;
    let lines = BatchOperations::<Line>::new(db.pool.clone());
    let line = NewLine { order_id: Some(id), number: 1, quantity: 1, parts: Vec::new() };
    assert_eq!(lines.batch_insert([line.clone()]).await.unwrap(), 1);
    let error = lines.batch_insert([NewLine { order_id: None, ..line }]).await.unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::NotNullViolation, Some("order_id")));
    // A trigger that drops an order drops its lines too.
    db.run(
        "CREATE FUNCTION drop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.customer = ''customer 2'' THEN RETURN NULL; END IF; RETURN NEW; END';
         CREATE TRIGGER drop BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION drop()",
    )
    .await;
    empty(&db).await;
    // What was known of the table says otherwise, and COPY does not tell which row is missing: nothing is written.
    let error = operations.batch_insert(&orders).transport(Transport::Copy).report().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Accounting);
    assert_eq!(operations.batch_insert(&orders).await.unwrap_err().kind(), ErrorKind::Accounting);
    assert_eq!(db.text(STORED).await, "");
    operations.check_schema().await.unwrap();
    let report = operations.batch_insert(&orders).report().await.unwrap();
    assert_eq!((report.inserted(), report.skipped()), (7, 1));
    let kept: Vec<NewOrder> = [0, 1, 3, 4, 5, 6, 7].map(|n| orders[n].clone()).to_vec();
    assert_eq!(db.text(STORED).await, expected(&kept));
}
