//! Relations and rows with others below them: what is loaded is what is stored, whoever stores it.

use batchkit::{BatchConfig, BatchModel, ErrorKind, Filter, OnRowError, Related};
use batchkit_repo::{Memory, OnDelete};
use chrono::{DateTime, Utc};

use super::places::Place;

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "orders", new = "NewOrder")]
struct Order {
    #[batch(key, auto)]
    id: i64,
    customer: String,
    shop: Option<String>,
    shop_number: Option<i32>,
    #[batch(belongs_to(key("shop", "shop_number")))]
    sold_by: Related<Option<Shop>>,
    #[batch(has_many(key = "order_id", order("-quantity", "number"), new = "NewLine"))]
    lines: Related<Vec<Line>>,
    #[batch(has_one(key = "order_id", new = "NewInvoice"))]
    invoice: Related<Option<Invoice>>,
    #[batch(many_to_many(through = "OrderTag", key = "order_id", target_key = "tag", new = "NewOrderTag"))]
    tags: Related<Vec<Tag>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "shops")]
struct Shop {
    #[batch(key)]
    town: String,
    #[batch(key)]
    number: i32,
    #[batch(has_many(key("shop", "shop_number")))]
    orders: Related<Vec<Order>>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "lines", new = "NewLine")]
struct Line {
    #[batch(key, auto)]
    id: i32,
    #[batch(parent)]
    order_id: i64,
    number: i32,
    quantity: i16,
    #[batch(soft_delete)]
    removed_at: Option<DateTime<Utc>>,
    #[batch(has_many(key = "line_id", new = "NewPart"))]
    parts: Related<Vec<Part>>,
    #[batch(belongs_to(key = "order_id"))]
    order: Related<Order>,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "parts", new = "NewPart")]
pub(crate) struct Part {
    #[batch(key, parent)]
    pub(crate) line_id: i32,
    #[batch(key)]
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "invoices", new = "NewInvoice")]
pub(crate) struct Invoice {
    #[batch(key, parent)]
    pub(crate) order_id: i64,
    pub(crate) total: i64,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "tags")]
pub(crate) struct Tag {
    #[batch(key)]
    pub(crate) tag: String,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "order_tags", new = "NewOrderTag")]
pub(crate) struct OrderTag {
    #[batch(key, parent)]
    pub(crate) order_id: i64,
    #[batch(key)]
    pub(crate) tag: String,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "nodes", new = "NewNode")]
struct Node {
    #[batch(key, auto)]
    id: i32,
    name: String,
    #[batch(parent)]
    above: Option<i32>,
    #[batch(has_many(key = "above", order = "name", new = "NewNode"))]
    children: Related<Vec<Node>>,
    #[batch(belongs_to(key = "above"))]
    parent: Related<Option<Node>>,
}

pub(super) const TABLES: &str = "
CREATE TABLE shops (town text, number int4, PRIMARY KEY (town, number));
CREATE TABLE orders (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL CHECK (customer <> ''),
    shop text, shop_number int4);
CREATE TABLE lines (id serial PRIMARY KEY, order_id int8 NOT NULL REFERENCES orders, number int4 NOT NULL,
    quantity int2 NOT NULL CONSTRAINT enough CHECK (quantity > 0), removed_at timestamptz);
CREATE TABLE parts (line_id int4 REFERENCES lines, name text, PRIMARY KEY (line_id, name));
CREATE TABLE invoices (order_id int8 PRIMARY KEY REFERENCES orders, total int8 NOT NULL);
CREATE TABLE tags (tag text PRIMARY KEY);
CREATE TABLE order_tags (order_id int8 REFERENCES orders, tag text CONSTRAINT known REFERENCES tags,
    PRIMARY KEY (order_id, tag));
CREATE TABLE nodes (id serial PRIMARY KEY, name text NOT NULL, above int4 REFERENCES nodes);
";

/// What the twin is told of the tables.
pub(super) fn declare(memory: &Memory) {
    let declared = [
        memory.table::<Order>().check("orders_customer_check", |order| !order.customer.is_empty()).declare(),
        memory.table::<Line>().check("enough", |line| line.quantity > 0).references::<Order>("order_id").declare(),
        memory.table::<Part>().references::<Line>("line_id").declare(),
        memory.table::<Invoice>().references::<Order>("order_id").declare(),
        memory
            .table::<OrderTag>()
            .references::<Order>("order_id")
            .foreign_key::<Tag>("known", "tag", OnDelete::Refuse)
            .declare(),
        memory.table::<Node>().references::<Node>("above").declare(),
    ];
    declared.into_iter().for_each(Result::unwrap);
}

/// Order `n` has `n % 4` lines, each with up to two parts; every other one has an invoice, every third a tag.
fn order(n: i16) -> NewOrder {
    let part = |name: &&str| NewPart { line_id: None, name: (*name).to_owned() };
    let line = |number: i16| NewLine {
        order_id: None,
        number: number.into(),
        quantity: 1 + number / 2,
        parts: ["nut", "bolt"].iter().take(usize::try_from((n + number) % 3).unwrap()).map(part).collect(),
    };
    NewOrder {
        customer: format!("customer {n}"),
        shop: (n != 5).then(|| "Ulm".to_owned()),
        shop_number: Some(i32::from(n % 3)),
        lines: (0..n % 4).map(line).collect(),
        invoice: (n % 2 == 0).then_some(NewInvoice { order_id: None, total: n.into() }),
        tags: (n % 3 == 0).then(|| NewOrderTag { order_id: None, tag: "rush".to_owned() }).into_iter().collect(),
    }
}

/// What is below an order that was stored for `new`: the keys aside, nothing else is loaded.
fn is_stored_as(order: &Order, new: &NewOrder) -> bool {
    let lines = order.lines.get().unwrap();
    let parts = |line: &Line, new: &NewLine| {
        let named: Vec<_> = line.parts.get().unwrap().iter().map(|part| (part.line_id, part.name.clone())).collect();
        named == new.parts.iter().map(|part| (line.id, part.name.clone())).collect::<Vec<_>>()
    };
    let line = |(line, new): (&Line, &NewLine)| {
        (line.order_id, line.number, line.quantity) == (order.id, new.number, new.quantity)
            && line.removed_at.is_none()
            && parts(line, new)
    };
    let invoice = order.invoice.get().unwrap().as_ref().map(|invoice| (invoice.order_id, invoice.total));
    order.customer == new.customer
        && lines.len() == new.lines.len()
        && lines.iter().zip(&new.lines).all(line)
        && invoice == new.invoice.as_ref().map(|invoice| (order.id, invoice.total))
}

pub(super) async fn graphs_are_stored_and_loaded(place: &Place) {
    let (orders, tags, shops) = (place.repository::<Order>(), place.repository::<Tag>(), place.repository::<Shop>());
    tags.batch_add([Tag { tag: "rush".to_owned() }, Tag { tag: "gift".to_owned() }]).await.unwrap();
    let shop = |number| Shop { town: "Ulm".to_owned(), number, orders: Related::default() };
    shops.batch_add([shop(0), shop(1)]).await.unwrap();
    let mut new: Vec<NewOrder> = (0..11).map(order).collect();
    let link = |tag: &str| NewOrderTag { order_id: None, tag: tag.to_owned() };
    new[4].tags = vec![link("rush"), link("gift")];
    let stored = orders.batch_add(&new).await.unwrap();
    assert!(stored.len() == 11 && stored.iter().zip(&new).all(|(order, new)| is_stored_as(order, new)));
    // A link is no row of the relation's: what it leads to is loaded.
    assert!(stored[0].tags.is_not_loaded() && stored[0].sold_by.is_not_loaded());

    let r = Order::RELATIONS;
    let ids: Vec<i64> = stored.iter().map(|order| order.id).collect();
    let all = (r.lines.then((Line::RELATIONS.parts, Line::RELATIONS.order)), r.invoice, r.tags, r.sold_by);
    let found = orders.batch_get(&ids).load_relations(all).await.unwrap();
    let text = |line: &Line| {
        let mut parts: Vec<_> = line.parts.get().unwrap().iter().map(|part| part.name.as_str()).collect();
        parts.sort_unstable();
        format!("{}x{}{}", line.number, line.quantity, parts.concat())
    };
    let lines: Vec<Vec<String>> =
        found.iter().map(|order| order.lines.get().unwrap().iter().map(text).collect()).collect();
    assert_eq!(lines[3], ["2x2boltnut", "0x1", "1x1nut"]);
    assert_eq!(lines[4], [""; 0]);
    for (order, new) in found.iter().zip(&new) {
        let lines = order.lines.get().unwrap();
        assert_eq!(lines.len(), new.lines.len());
        assert!(lines.iter().all(|line| line.order.get().unwrap().customer == order.customer));
        let tags: Vec<_> = order.tags.get().unwrap().iter().map(|tag| &tag.tag).collect();
        let mut named: Vec<_> = new.tags.iter().map(|link| &link.tag).collect();
        named.sort_unstable();
        assert_eq!(tags, named);
        // Number 2 is of no shop, and half a key is none.
        let shop = order.sold_by.get().unwrap().as_ref().map(|shop| shop.number);
        assert_eq!(shop, new.shop_number.filter(|number| *number < 2 && new.shop.is_some()));
    }
    // By names that are texts, by lists and pages; whatever is read, the relations are the same.
    let paths = ["lines.parts", "lines.order", "invoice", "tags", "sold_by"];
    assert_eq!(orders.list(Filter::all()).load_relations(paths).await.unwrap(), found);
    let page = orders.list(Filter::all()).load_relations(paths).page(4).await.unwrap();
    assert_eq!(page.rows, found[..4]);
    let next = orders.list(Filter::all()).load_relations(paths).after(page.next.unwrap()).page(4).await.unwrap();
    assert_eq!(next.rows, found[4..8]);
    assert_eq!(orders.get(ids[3]).load_relations(paths).await.unwrap().as_ref(), Some(&found[3]));
    let slots = orders.batch_get([77, ids[0]]).aligned().load_relations(paths).await.unwrap();
    assert_eq!(slots, [None, Some(found[0].clone())]);
    // From the other side, and through two relations that lead to the same rows.
    let shops = shops.list(Filter::all()).load_relations(["orders.lines", "orders.sold_by"]).await.unwrap();
    let sold = shops[0].orders.get().unwrap();
    assert_eq!(sold.iter().map(|order| order.id).collect::<Vec<_>>(), [0, 3, 6, 9].map(|n| ids[n]));
    assert!(sold.iter().all(|order| order.sold_by.get().unwrap().as_ref().unwrap().number == 0));
}

pub(super) async fn what_is_not_loaded_and_what_is_unknown(place: &Place) {
    let (orders, lines) = (place.repository::<Order>(), place.repository::<Line>());
    let stored = orders.batch_add([NewOrder { tags: Vec::new(), ..order(3) }]).await.unwrap();
    let id = stored[0].id;
    let found = orders.batch_get([id]).await.unwrap();
    let error = found[0].lines.get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotLoaded);
    assert!(error.to_string().contains("`Order.lines`"), "{error}");
    let error = orders.batch_get([id]).load_relations("linez").await.unwrap_err();
    assert_eq!((error.kind(), error.table()), (ErrorKind::UnknownRelation, Some("orders")));
    assert!(error.to_string().contains("sold_by, lines, invoice, tags"), "{error}");
    let error = orders.list(Filter::all()).load_relations("lines.partz").await.unwrap_err();
    assert_eq!((error.kind(), error.table()), (ErrorKind::UnknownRelation, Some("lines")));
    // Rows that are marked as deleted are loaded where they are asked for.
    let removed = stored[0].lines.get().unwrap()[1].id;
    assert!(lines.remove(removed).await.unwrap());
    let count = |orders: Vec<Order>| orders[0].lines.get().unwrap().len();
    assert_eq!(count(orders.batch_get([id]).load_relations("lines").await.unwrap()), 2);
    assert_eq!(count(orders.batch_get([id]).load_relations("lines").with_deleted().await.unwrap()), 3);
    assert_eq!(count(orders.list(Filter::all()).with_deleted().load_relations("lines").await.unwrap()), 3);
    // A stored value that names nobody: an error where there must be one.
    let alone = lines.batch_get([removed]).with_deleted().load_relations("order.sold_by").await.unwrap();
    assert!(alone[0].order.get().unwrap().sold_by.get().unwrap().is_none());
}

pub(super) async fn trees(place: &Place) {
    fn tree(name: &str, depth: usize) -> NewNode {
        let children = (0..if depth == 0 { 0 } else { 2 }).map(|n| tree(&format!("{name}{n}"), depth - 1)).collect();
        NewNode { name: name.to_owned(), above: None, children }
    }
    fn names(node: &Node) -> Vec<String> {
        assert!(node.children.get().unwrap().iter().all(|child| child.above == Some(node.id)));
        let below = node.children.get().unwrap().iter().flat_map(names);
        std::iter::once(node.name.clone()).chain(below).collect()
    }
    let nodes = place.repository::<Node>();
    let stored = nodes.batch_add([tree("a", 4), tree("b", 0), tree("c", 2)]).await.unwrap();
    assert_eq!(names(&stored[0]).len(), 31);
    assert_eq!(names(&stored[1]), ["b"]);
    assert_eq!(names(&stored[2]), ["c", "c0", "c00", "c01", "c1", "c10", "c11"]);
    let leaf = nodes.list(Node::FIELDS.name.eq("a01")).load_relations("parent.parent.children").await.unwrap();
    let root = leaf[0].parent.get().unwrap().clone().unwrap().parent.get().unwrap().clone().unwrap();
    assert_eq!(root.id, stored[0].id);
    let children: Vec<_> = root.children.get().unwrap().iter().map(|node| node.name.clone()).collect();
    assert_eq!(children, ["a0", "a1"]);
    assert!(leaf[0].parent.get().unwrap().as_ref().unwrap().children.is_not_loaded());
}

pub(super) async fn graphs_fail_whole(place: &Place) {
    place.repository::<Tag>().batch_add([Tag { tag: "rush".to_owned() }]).await.unwrap();
    let (orders, lines) = (place.repository::<Order>(), place.repository::<Line>());
    let new: Vec<NewOrder> = (0..11).map(order).collect();
    let mut bad = new.clone();
    bad[6].lines[1].quantity = 0;
    let error = orders.batch_add(&bad).await.unwrap_err();
    assert_eq!((error.kind(), error.constraint()), (ErrorKind::CheckViolation, Some("enough")));
    assert_eq!((error.table(), error.path(), error.rows()), (Some("lines"), Some("lines"), [6..7].as_slice()));
    let report = error.report().unwrap();
    assert_eq!((report.inserted(), report.failed(), report.not_attempted()), (4, 4, 3));
    let below: Vec<_> = report.below().collect();
    // Orders 0 to 3 have six lines with six parts; two invoices and two tags.
    assert_eq!(below, [("Line.parts", 6), ("Order.invoice", 2), ("Order.lines", 6), ("Order.tags", 2)]);
    assert_eq!((orders.count(Filter::all()).await.unwrap(), lines.count(Filter::all()).await.unwrap()), (4, 6));
    // A row two levels down, of which no form can be sent; and one that says that it is another's.
    let mut bad = new.clone();
    bad[2].lines[1].parts.push(NewPart { line_id: None, name: "nul \0".to_owned() });
    let last = bad[2].lines[1].parts.len() - 1;
    let error = orders.batch_add(&bad[..4]).await.unwrap_err();
    assert_eq!((error.kind(), error.table(), error.column()), (ErrorKind::InvalidRow, Some("parts"), Some("name")));
    assert_eq!((error.path(), error.rows()), (Some(&*format!("lines[1].parts[{last}]")), [2..3].as_slice()));
    let mut bad = new.clone();
    bad[2].lines[1].order_id = Some(77);
    let error = orders.batch_add(&bad[..4]).await.unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::InvalidRow, Some("lines[1]")));
    assert_eq!((error.table(), error.rows()), (Some("lines"), [2..3].as_slice()));
    assert_eq!(orders.count(Filter::all()).await.unwrap(), 4);

    // Turned away with all that is below them.
    let mut bad = new.clone();
    bad[3].lines[1].quantity = -1;
    bad[9].tags[0].tag = "unknown".to_owned();
    bad[10].customer = String::new();
    bad[1].lines[0].order_id = Some(77);
    bad[7].lines[0].parts.push(NewPart { line_id: None, name: "a\0".to_owned() });
    let rejecting = place.with::<Order>(BatchConfig { on_row_error: OnRowError::Reject, ..BatchConfig::default() });
    let error = rejecting.batch_add(&bad).await.unwrap_err();
    assert_eq!((error.kind(), error.rows()), (ErrorKind::Rejected, [1..2, 3..4, 7..8, 9..11].as_slice()));
    let report = error.report().unwrap();
    let rejects = report.rejects().iter();
    let told: Vec<_> = rejects.map(|reject| (reject.path.as_deref(), reject.constraint.as_deref())).collect();
    let part = format!("lines[0].parts[{}]", bad[7].lines[0].parts.len() - 1);
    let (check, part) = (Some("orders_customer_check"), Some(&*part));
    let told_below = [(Some("lines[0]"), None), (Some("lines"), Some("enough")), (part, None)];
    assert_eq!(told, [&told_below[..], &[(Some("tags"), Some("known")), (None, check)]].concat());
    assert_eq!(report.inserted(), 6);
    let stored = orders.list(Filter::all()).load_relations("lines").await.unwrap();
    let kept = |n: &usize| ![1, 3, 7, 9, 10].contains(n);
    let expected = (0..11).filter(kept).map(|n| &bad[n]);
    for (order, new) in stored[4..].iter().zip(expected) {
        assert_eq!((&order.customer, order.lines.get().unwrap().len()), (&new.customer, new.lines.len()));
    }
    assert_eq!(stored.len(), 10);
}

pub(super) async fn graphs_in_a_transaction(place: &Place) {
    let (orders, lines) = (place.repository::<Order>(), place.repository::<Line>());
    let mut connection = place.database.connect().await.unwrap();
    let new: Vec<NewOrder> = (1..3).map(order).collect();
    for commits in [false, true] {
        let mut tx = connection.transaction().await.unwrap();
        let stored = orders.batch_add(&new).within(&mut tx).await.unwrap();
        assert!(stored.iter().zip(&new).all(|(order, new)| is_stored_as(order, new)));
        let ids = [stored[0].id, stored[1].id];
        let line = NewLine { order_id: Some(ids[0]), number: 9, quantity: 9, parts: Vec::new() };
        lines.batch_add([line]).within(&mut tx).await.unwrap();
        let found = orders.batch_get(ids).load_relations("lines").within(&mut tx).await.unwrap();
        assert_eq!(found[0].lines.get().unwrap()[0].number, 9);
        let outside = orders.list(Filter::all()).load_relations("lines").await.unwrap();
        assert_eq!(outside, [], "nobody else sees it");
        if commits {
            tx.commit().await.unwrap()
        } else {
            tx.rollback().await.unwrap()
        }
        assert_eq!(lines.count(Filter::all()).await.unwrap(), if commits { 4 } else { 0 });
    }
}
