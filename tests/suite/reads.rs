//! Filters, orders and pages: a reference in memory against the server, for generated filters and orders.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use batchkit::{
    BatchModel, BatchOperations, Comparison, Cursor, ErrorKind, Expression, Filter, Order, OrderColumn, Page, RawSql,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rust_decimal::Decimal;

use crate::common::{Db, database};

/// A row with columns that can be NULL and columns that cannot, and few values, so that many are equal.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "items")]
struct Item {
    #[batch(key)]
    id: i64,
    price: i64,
    name: String,
    note: Option<String>,
    rank: Option<i32>,
    #[batch(as = "i64")]
    stock: u32,
    #[batch(as = "i64")]
    spare: Option<u32>,
}

const ITEMS: &str = "CREATE TABLE items (id int8 PRIMARY KEY, price int8 NOT NULL, name text COLLATE \"C\" NOT NULL,
    note text COLLATE \"C\", rank int4, stock int8 NOT NULL, spare int8)";

const TEXTS: [&str; 8] = ["", "a", "ab", "a%b", "a_b", "A\\b", "b", "ba"];

/// Every combination of few values, in an order that no column has.
fn items() -> Vec<Item> {
    let pick = |n: usize, of: usize| Some(n % (of + 1)).filter(|&n| n < of);
    (0..90)
        .map(|n| Item {
            id: i64::try_from(n * 37 % 90).unwrap(),
            price: i64::try_from(n % 4).unwrap(),
            name: TEXTS[n % TEXTS.len()].to_owned(),
            note: pick(n / 2, TEXTS.len()).map(|at| TEXTS[at].to_owned()),
            rank: pick(n / 3, 3).map(|rank| i32::try_from(rank).unwrap() - 1),
            stock: u32::try_from(n % 3).unwrap(),
            spare: pick(n / 5, 2).map(|spare| u32::try_from(spare).unwrap()),
        })
        .collect()
}

async fn stored(tables: &str) -> (Db, BatchOperations<Item>, Vec<Item>) {
    let db = database(tables).await;
    let (operations, items) = (BatchOperations::new(db.pool.clone()), items());
    operations.batch_insert(&items).await.unwrap();
    (db, operations, items)
}

/// A condition that can be evaluated here, and made a filter.
#[derive(Debug, Clone)]
enum Condition {
    All,
    None,
    Price(Comparison, i64),
    Name(Comparison, String),
    Note(Comparison, Option<String>),
    Rank(Comparison, i32),
    Stock(Comparison, u32),
    Spare(Comparison, u32),
    PriceBetween(i64, i64),
    NameIn(Vec<String>),
    RankIn(Vec<Option<i32>>),
    RankNotIn(Vec<i32>),
    StockIn(Vec<u32>),
    NoteNull(bool),
    SpareNull(bool),
    NoteStarts(String),
    NoteEnds(String),
    NameContains(String),
    Raw(i64),
    Named(&'static str, Comparison, i16),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

/// A comparison of typed fields by the comparison's name.
macro_rules! compare {
    ($field:expr, $comparison:expr, $value:expr) => {
        match $comparison {
            Comparison::Eq => $field.eq($value),
            Comparison::Ne => $field.ne($value),
            Comparison::Lt => $field.lt($value),
            Comparison::Le => $field.le($value),
            Comparison::Gt => $field.gt($value),
            _ => $field.ge($value),
        }
    };
}

impl Condition {
    fn filter(&self) -> Filter<Item> {
        let f = Item::FIELDS;
        match self {
            Condition::All => Filter::all(),
            Condition::None => Filter::none(),
            Condition::Price(comparison, value) => compare!(f.price, comparison, value),
            Condition::Name(Comparison::Like, pattern) => f.name.like(pattern),
            Condition::Name(Comparison::ILike, pattern) => f.name.ilike(pattern),
            Condition::Name(comparison, value) => compare!(f.name, comparison, value),
            Condition::Note(Comparison::Like, pattern) => f.note.like(pattern.clone().unwrap_or_default()),
            Condition::Note(Comparison::ILike, pattern) => f.note.ilike(pattern.clone().unwrap_or_default()),
            // The bare value and the `Option`.
            Condition::Note(comparison, Some(value)) => compare!(f.note, comparison, value.as_str()),
            Condition::Note(comparison, none) => compare!(f.note, comparison, none),
            Condition::Rank(comparison, value) => compare!(f.rank, comparison, *value),
            Condition::Stock(comparison, value) => compare!(f.stock, comparison, *value),
            Condition::Spare(comparison, value) => compare!(f.spare, comparison, *value),
            Condition::PriceBetween(low, high) => f.price.between(low, *high),
            Condition::NameIn(values) => f.name.is_in(values),
            Condition::RankIn(values) => f.rank.is_in(values.clone()),
            Condition::RankNotIn(values) => f.rank.not_in(values.iter().copied()),
            Condition::StockIn(values) => f.stock.is_in(values),
            Condition::NoteNull(true) => f.note.is_null(),
            Condition::NoteNull(false) => f.note.is_not_null(),
            Condition::SpareNull(true) => f.spare.is_null(),
            Condition::SpareNull(false) => f.spare.is_not_null(),
            Condition::NoteStarts(text) => f.note.starts_with(text),
            Condition::NoteEnds(text) => f.note.ends_with(text),
            Condition::NameContains(text) => f.name.contains(text),
            Condition::Raw(value) => Filter::raw(RawSql::new("t.price + t.rank < ").bind(*value)),
            Condition::Named(name, comparison, value) => {
                compare!(Filter::<Item>::field(name).unwrap(), comparison, *value)
            }
            Condition::And(one, other) => one.filter() & other.filter(),
            Condition::Or(one, other) => one.filter() | other.filter(),
            Condition::Not(inner) => !inner.filter(),
        }
    }

    /// True, false or unknown.
    fn holds(&self, item: &Item) -> Option<bool> {
        let note = item.note.as_deref();
        match self {
            Condition::All => Some(true),
            Condition::None => Some(false),
            Condition::Price(comparison, value) => compared(Some(item.price), *comparison, Some(*value)),
            Condition::Name(comparison, value) => text(Some(&item.name), *comparison, Some(value)),
            Condition::Note(Comparison::Like | Comparison::ILike, None) => text(note, Comparison::Like, Some("")),
            Condition::Note(comparison, value) => text(note, *comparison, value.as_deref()),
            Condition::Rank(comparison, value) => compared(item.rank, *comparison, Some(*value)),
            Condition::Stock(comparison, value) => compared(Some(item.stock), *comparison, Some(*value)),
            Condition::Spare(comparison, value) => compared(item.spare, *comparison, Some(*value)),
            Condition::PriceBetween(low, high) => Some((low..=high).contains(&&item.price)),
            Condition::NameIn(values) => Some(values.contains(&item.name)),
            Condition::RankIn(values) => one_of(item.rank, &values.iter().copied().flatten().collect::<Vec<_>>()),
            Condition::RankNotIn(values) => one_of(item.rank, values).map(|found| !found),
            Condition::StockIn(values) => Some(values.contains(&item.stock)),
            Condition::NoteNull(wanted) => Some(note.is_none() == *wanted),
            Condition::SpareNull(wanted) => Some(item.spare.is_none() == *wanted),
            Condition::NoteStarts(text) => note.map(|note| note.starts_with(text)),
            Condition::NoteEnds(text) => note.map(|note| note.ends_with(text)),
            Condition::NameContains(text) => Some(item.name.contains(text)),
            Condition::Raw(value) => item.rank.map(|rank| item.price + i64::from(rank) < *value),
            Condition::Named(name, comparison, value) => {
                let column = match *name {
                    "price" => Some(item.price),
                    "rank" => item.rank.map(i64::from),
                    _ => item.spare.map(i64::from),
                };
                compared(column, *comparison, Some(i64::from(*value)))
            }
            Condition::And(one, other) => match (one.holds(item), other.holds(item)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Condition::Or(one, other) => match (one.holds(item), other.holds(item)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Condition::Not(inner) => inner.holds(item).map(|holds| !holds),
        }
    }
}

fn compared<T: PartialOrd>(column: Option<T>, comparison: Comparison, value: Option<T>) -> Option<bool> {
    let (column, value) = (column?, value?);
    Some(match comparison {
        Comparison::Eq => column == value,
        Comparison::Ne => column != value,
        Comparison::Lt => column < value,
        Comparison::Le => column <= value,
        Comparison::Gt => column > value,
        _ => column >= value,
    })
}

fn text(column: Option<&str>, comparison: Comparison, value: Option<&str>) -> Option<bool> {
    match comparison {
        Comparison::Like => Some(like(column?, value?)),
        Comparison::ILike => Some(like(&column?.to_lowercase(), &value?.to_lowercase())),
        other => compared(column, other, value),
    }
}

fn one_of<T: PartialEq>(column: Option<T>, values: &[T]) -> Option<bool> {
    // Nothing is compared with NULL where there are no values.
    if values.is_empty() { Some(false) } else { Some(values.contains(&column?)) }
}

/// SQL's LIKE, letter by letter.
fn like(text: &str, pattern: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => text.is_empty(),
        Some('%') => {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| like(&text[at..], letters.as_str()))
        }
        Some(letter) => {
            let (wanted, any) = if letter == '\\' { (letters.next(), false) } else { (Some(letter), letter == '_') };
            let mut rest = text.chars();
            rest.next().is_some_and(|found| any || Some(found) == wanted) && like(rest.as_str(), letters.as_str())
        }
    }
}

fn conditions() -> impl Strategy<Value = Condition> {
    use Comparison::{Eq, Ge, Gt, ILike, Le, Like, Lt, Ne};
    let ordering = || prop::sample::select(vec![Eq, Ne, Lt, Le, Gt, Ge]);
    let any_comparison = || prop::sample::select(vec![Eq, Ne, Lt, Le, Gt, Ge, Like, ILike]);
    let word = || prop::sample::select(TEXTS.to_vec()).prop_map(str::to_owned);
    // A backslash at the end of a pattern is an error of the server's.
    let pattern = || prop::sample::select(vec!["%", "a%", "%b", "_", "a\\%b", "a\\_b", "A%", "%\\\\%", "", "a_b"]);
    let pattern = move || prop_oneof![pattern().prop_map(str::to_owned)];
    let fitting = move |comparison: Comparison, word: String, pattern: String| match comparison {
        Like | ILike => pattern,
        _ => word,
    };
    let leaf = prop_oneof![
        Just(Condition::All),
        Just(Condition::None),
        (ordering(), 0i64..4).prop_map(|(comparison, value)| Condition::Price(comparison, value)),
        (any_comparison(), word(), pattern()).prop_map(move |(comparison, word, pattern)| Condition::Name(
            comparison,
            fitting(comparison, word, pattern)
        )),
        (any_comparison(), prop::option::of((word(), pattern()))).prop_map(move |(comparison, texts)| Condition::Note(
            comparison,
            texts.map(|(word, pattern)| fitting(comparison, word, pattern))
        )),
        (ordering(), -1..2).prop_map(|(comparison, value)| Condition::Rank(comparison, value)),
        (ordering(), 0u32..3).prop_map(|(comparison, value)| Condition::Stock(comparison, value)),
        (ordering(), 0u32..2).prop_map(|(comparison, value)| Condition::Spare(comparison, value)),
        (0i64..4, 0i64..4).prop_map(|(low, high)| Condition::PriceBetween(low, high)),
        prop::collection::vec(word(), 0..3).prop_map(Condition::NameIn),
        prop::collection::vec(prop::option::of(-1..2), 0..3).prop_map(Condition::RankIn),
        prop::collection::vec(-1..2, 0..3).prop_map(Condition::RankNotIn),
        prop::collection::vec(0u32..3, 0..3).prop_map(Condition::StockIn),
        proptest::bool::ANY.prop_map(Condition::NoteNull),
        proptest::bool::ANY.prop_map(Condition::SpareNull),
        word().prop_map(Condition::NoteStarts),
        word().prop_map(Condition::NoteEnds),
        word().prop_map(Condition::NameContains),
        (0i64..4).prop_map(Condition::Raw),
        (prop::sample::select(vec!["price", "rank", "spare"]), ordering(), -1i16..3)
            .prop_map(|(name, comparison, value)| Condition::Named(name, comparison, value)),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| Condition::And(Box::new(one), Box::new(other))),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| Condition::Or(Box::new(one), Box::new(other))),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

/// Runs a property over generated values, with the server in this runtime.
fn check<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let run = |value| {
        property(value);
        Ok(())
    };
    TestRunner::new(config).run(&strategy, run).unwrap();
}

#[test]
fn generated_filters_read_the_rows_that_a_reference_finds() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_db, operations, items) = runtime.block_on(stored(ITEMS));
    check(400, conditions(), |condition| {
        let filter = condition.filter();
        let mut expected: Vec<&Item> = items.iter().filter(|item| condition.holds(item) == Some(true)).collect();
        expected.sort_by_key(|item| item.id);
        runtime.block_on(async {
            let listed = operations.list(filter.clone()).await.unwrap();
            assert_eq!(listed.iter().collect::<Vec<_>>(), expected);
            assert_eq!(operations.count(filter.clone()).await.unwrap(), expected.len() as u64);
            assert_eq!(operations.exists(filter).await.unwrap(), !expected.is_empty());
        });
    });
}

/// The columns that an order may have, in the directions and with the NULLs of `choice`.
fn order(choice: &[(usize, bool, Option<bool>)]) -> Vec<Order<Item>> {
    let f = Item::FIELDS;
    let one = |&(column, descending, nulls_first): &(usize, bool, Option<bool>)| {
        let field =
            [f.price.asc(), f.name.asc(), f.note.asc(), f.rank.asc(), f.spare.asc(), f.id.asc()][column].clone();
        let field = if descending { field.desc() } else { field };
        match nulls_first {
            Some(true) => field.nulls_first(),
            Some(false) => field.nulls_last(),
            None => field,
        }
    };
    choice.iter().map(one).collect()
}

/// How two rows are ordered.
fn ordering(columns: &[OrderColumn], one: &Item, other: &Item) -> Ordering {
    fn nullable<T: Ord>(by: &OrderColumn, one: Option<T>, other: Option<T>) -> Ordering {
        match (one, other) {
            (Some(one), Some(other)) if by.descending => other.cmp(&one),
            (Some(one), Some(other)) => one.cmp(&other),
            (None, None) => Ordering::Equal,
            (one, _) => {
                let null_first = if by.nulls_first { Ordering::Less } else { Ordering::Greater };
                if one.is_none() { null_first } else { null_first.reverse() }
            }
        }
    }
    let by_column = columns.iter().map(|by| match by.column {
        0 => nullable(by, Some(one.id), Some(other.id)),
        1 => nullable(by, Some(one.price), Some(other.price)),
        2 => nullable(by, Some(&one.name), Some(&other.name)),
        3 => nullable(by, one.note.as_ref(), other.note.as_ref()),
        4 => nullable(by, one.rank, other.rank),
        5 => nullable(by, Some(one.stock), Some(other.stock)),
        _ => nullable(by, one.spare, other.spare),
    });
    by_column.fold(Ordering::Equal, Ordering::then)
}

#[test]
fn pages_visit_every_row_once_in_every_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_db, operations, items) = runtime.block_on(stored(ITEMS));
    let choice = (0usize..6, any::<bool>(), prop::option::of(any::<bool>()));
    let orders = (prop::collection::vec(choice, 0..4), 1u64..100, any::<bool>());
    check(60, orders, |(choice, size, filtered)| {
        let by = || order(&choice);
        let filter = || if filtered { Item::FIELDS.price.ne(2) } else { Filter::all() };
        let columns = Order::columns(&by()).unwrap();
        let mut expected: Vec<Item> = items.iter().filter(|item| !filtered || item.price != 2).cloned().collect();
        expected.sort_by(|one, other| ordering(&columns, one, other));
        runtime.block_on(async {
            macro_rules! list {
                () => {
                    operations.list(filter()).order_by(by())
                };
            }
            assert_eq!(list!().await.unwrap(), expected);

            // By cursors, as strings, from the beginning and back.
            let mut visited: Vec<Item> = Vec::new();
            let (mut cursors, mut next): (Vec<Option<Cursor>>, Option<String>) = (Vec::new(), None);
            loop {
                let page = match &next {
                    Some(cursor) => list!().after(cursor.parse::<Cursor>().unwrap()).page(size).await.unwrap(),
                    None => list!().page(size).await.unwrap(),
                };
                assert!(page.rows.len() as u64 == size || page.next.is_none());
                cursors.push(page.previous.clone());
                visited.extend(page.rows);
                next = page.next.map(|cursor| cursor.to_string());
                if next.is_none() {
                    break;
                }
            }
            assert_eq!(visited, expected);
            let mut end = expected.len() - (expected.len() - 1) % usize::try_from(size).unwrap() - 1;
            let mut previous = cursors.pop().unwrap();
            while let Some(cursor) = previous {
                let page = list!().before(cursor).page(size).await.unwrap();
                let start = end - usize::try_from(size).unwrap();
                assert_eq!(page.rows, expected[start..end]);
                assert!(page.next.is_some());
                (end, previous) = (start, page.previous);
            }
            assert_eq!(end, 0);

            // By rows, both ways.
            let mut visited: Vec<Item> = list!().limit(size).await.unwrap();
            while visited.len() < expected.len() {
                let more = list!().after(visited.last().unwrap()).limit(size).await.unwrap();
                assert!(!more.is_empty());
                visited.extend(more);
            }
            assert_eq!(visited, expected);
            assert_eq!(list!().after(visited.last().unwrap()).await.unwrap(), []);
            assert_eq!(list!().before(&visited[0]).limit(size).await.unwrap(), []);
            let middle = expected.len() / 2;
            assert_eq!(list!().before(&expected[middle]).await.unwrap(), expected[..middle]);
            assert_eq!(list!().after(&expected[middle]).await.unwrap(), expected[middle + 1..]);
            let skipped = list!().before(&expected[middle]).offset(1).limit(2).await.unwrap();
            assert_eq!(skipped, expected[middle - 3..middle - 1]);
            let between = list!().after(&expected[2]).before(&expected[middle]).limit(4).await.unwrap();
            assert_eq!(between, expected[3..middle.min(7)]);
        });
    });
}

/// Rows that come and go between two pages move no other row.
#[tokio::test]
async fn pages_hold_while_rows_come_and_go() {
    let (db, operations, _) = stored(ITEMS).await;
    let list = || operations.list(Filter::all());
    let first = list().page(10).await.unwrap();
    db.run("DELETE FROM items WHERE id IN (3, 9); INSERT INTO items VALUES (-5, 1, 'new', NULL, NULL, 1, NULL)").await;
    let second = list().after(first.next.unwrap()).page(10).await.unwrap();
    let ids = |page: &Page<Item>| page.rows.iter().map(|item| item.id).collect::<Vec<_>>();
    assert_eq!(ids(&second), (10..20).collect::<Vec<_>>());
    let back = list().before(second.previous.unwrap()).page(100).await.unwrap();
    assert_eq!(ids(&back), [-5, 0, 1, 2, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_uniform_order_is_read_through_its_index() {
    let (db, operations, _) = stored(ITEMS).await;
    db.run(
        "INSERT INTO items SELECT n, n % 50, 'x', NULL, NULL, 0, NULL FROM generate_series(1000, 9000) n;
         CREATE INDEX by_price ON items (price, id); ANALYZE items",
    )
    .await;
    let f = Item::FIELDS;
    let place = Item { id: 5_000, price: 25, ..items()[0].clone() };
    let plan = |by: Vec<Order<Item>>| operations.list(Filter::all()).order_by(by).after(&place).limit(10).explain();
    let (up, down) = (plan(vec![f.price.asc()]).await.unwrap(), plan(vec![f.price.desc()]).await.unwrap());
    assert!(up.contains("Index Scan using by_price"), "{up}");
    assert!(up.contains("ROW(price, id) > ROW("), "{up}");
    assert!(down.contains("Index Scan Backward using by_price"), "{down}");
    // Where the directions differ, the range of the first column is still an index's.
    let mixed = plan(vec![f.price.asc(), f.id.desc()]).await.unwrap();
    assert!(mixed.contains("Index Cond: (price >= "), "{mixed}");
}

#[tokio::test]
async fn orders_are_named_by_strings_too() {
    let (_db, operations, items) = stored(ITEMS).await;
    let f = Item::FIELDS;
    let typed = operations.list(Filter::all()).order_by((f.rank.desc().nulls_last(), f.name)).await.unwrap();
    let named = operations.list(Filter::all()).order_by(["rank DESC NULLS LAST", "name"]).await.unwrap();
    assert_eq!(typed, named);
    assert_eq!(typed.len(), items.len());
    let error = operations.list(Filter::all()).order_by("prise desc").await.unwrap_err();
    assert_eq!((error.kind(), error.table()), (ErrorKind::UnknownField, Some("items")));
    assert!(error.to_string().contains("it has id, price, name, note, rank, stock, spare"), "{error}");
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "heap")]
struct Heap {
    n: i64,
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "sums")]
struct Sum {
    #[batch(key)]
    id: i64,
    #[batch(computed)]
    total: Option<i64>,
}

#[tokio::test]
async fn what_has_no_place_is_refused() {
    let tables = "CREATE TABLE heap (n int8 NOT NULL); INSERT INTO heap SELECT generate_series(1, 5);
        CREATE TABLE sums (id int8 PRIMARY KEY, total int8 GENERATED ALWAYS AS (id % 3) STORED);
        INSERT INTO sums SELECT generate_series(1, 9)";
    let (db, items, _) = stored(&format!("{ITEMS}; {tables}")).await;
    let heap = BatchOperations::<Heap>::new(db.pool.clone());
    assert_eq!(
        heap.list(Filter::all()).order_by(Heap::FIELDS.n.desc()).limit(2).await.unwrap(),
        [Heap { n: 5 }, Heap { n: 4 }]
    );
    for error in [
        heap.list(Filter::all()).order_by("n").after(&Heap { n: 2 }).await.unwrap_err(),
        heap.list(Filter::all()).order_by("n").page(2).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::UnknownKey);
        assert!(error.to_string().contains("declares no key"), "{error}");
    }

    // A computed column has no value of the caller's; a cursor has the server's.
    let sums = BatchOperations::<Sum>::new(db.pool.clone());
    let list = || sums.list(Filter::all()).order_by("total desc");
    let page = list().page(4).await.unwrap();
    assert_eq!(page.rows.iter().map(|sum| sum.id).collect::<Vec<_>>(), [8, 5, 2, 7]);
    let error = list().after(&page.rows[3]).await.unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::Config, Some("total")));
    let page = list().after(page.next.unwrap()).page(4).await.unwrap();
    assert_eq!(page.rows.iter().map(|sum| sum.id).collect::<Vec<_>>(), [4, 1, 9, 6]);

    // A cursor fits its own order only, and says so before anything is read.
    let cursor = page.next.unwrap();
    for other in ["total", "id desc", "total desc nulls last"] {
        let error = sums.list(Filter::all()).order_by(other).after(cursor.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCursor, "{other}");
    }
    let error = items.list(Filter::all()).order_by("price desc").after(cursor).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCursor);
    for text in ["", "x", "AAAA"] {
        assert_eq!(text.parse::<Cursor>().unwrap_err().kind(), ErrorKind::InvalidCursor);
    }
    let list = || items.list(Filter::all());
    for error in [list().page(0).await.unwrap_err(), list().limit(3).page(3).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[derive(Debug, Clone, PartialEq, postgres_types::ToSql, postgres_types::FromSql)]
#[postgres(name = "mood")]
enum Mood {
    #[postgres(name = "sad")]
    Sad,
    #[postgres(name = "glad")]
    Glad,
}

#[derive(Debug, Clone, PartialEq, postgres_types::ToSql, postgres_types::FromSql)]
#[postgres(name = "grade")]
struct Grade(i32);

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Size {
    width: u8,
    height: Option<u8>,
}

/// One letter, stored as a text.
#[derive(Debug, Clone, PartialEq)]
struct Letter(char);

impl From<Letter> for String {
    fn from(letter: Letter) -> Self {
        letter.0.into()
    }
}

impl TryFrom<String> for Letter {
    type Error = std::char::ParseCharError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Letter)
    }
}

/// A column of every kind that is compared in a way of its own.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "odd")]
struct Odd {
    #[batch(key)]
    id: i16,
    mood: Mood,
    grade: Option<Grade>,
    price: Decimal,
    ratio: f64,
    sku: Option<String>,
    code: String,
    tags: Vec<String>,
    bytes: Option<Vec<u8>>,
    #[batch(json)]
    size: Size,
    #[batch(json)]
    old_size: Option<Size>,
    document: serde_json::Value,
    #[batch(as = "String")]
    letter: Letter,
}

const ODD: &str = "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN grade AS int4;
    CREATE DOMAIN code AS varchar(5);
    CREATE TABLE odd (id int2 PRIMARY KEY, mood mood NOT NULL, grade grade, price numeric(10,2) NOT NULL,
        ratio float8 NOT NULL, sku citext, code code NOT NULL, tags text[] NOT NULL, bytes bytea, size jsonb NOT NULL,
        old_size json, document jsonb NOT NULL, letter text NOT NULL)";

fn odd(id: i16) -> Odd {
    Odd {
        id,
        mood: if id % 2 == 0 { Mood::Glad } else { Mood::Sad },
        grade: (id < 4).then(|| Grade(i32::from(id) * 10)),
        price: Decimal::new(i64::from(id) * 1_000 - 2_500, 2),
        ratio: f64::from(id) / 2.0,
        sku: (id != 1).then(|| format!("Sku{id}")),
        code: format!("c{id}"),
        tags: vec!["all".to_owned(), id.to_string()],
        bytes: (id != 2).then(|| vec![0, u8::try_from(id).unwrap()]),
        size: Size { width: u8::try_from(id).unwrap(), height: None },
        old_size: (id > 2).then(|| Size { width: 1, height: Some(u8::try_from(id).unwrap()) }),
        document: serde_json::json!({ "id": id }),
        letter: Letter(char::from(b'a' + u8::try_from(id).unwrap())),
    }
}

#[tokio::test]
async fn conditions_take_what_the_fields_are() {
    let db = database(ODD).await;
    let operations = BatchOperations::<Odd>::new(db.pool.clone());
    operations.batch_insert((0..6).map(odd)).await.unwrap();
    let (f, bytes) = (Odd::FIELDS, vec![0u8, 3]);
    let size = |width, height| Size { width, height };
    let named = |name| Filter::<Odd>::field(name).unwrap();
    let cases: Vec<(Filter<Odd>, &[i16])> = vec![
        (f.mood.eq(Mood::Glad), &[0, 2, 4]),
        (f.mood.lt(&Mood::Glad), &[1, 3, 5]),
        (f.mood.is_in([Mood::Sad]), &[1, 3, 5]),
        (f.grade.gt(Grade(10)), &[2, 3]),
        (f.grade.eq(Some(Grade(10))), &[1]),
        (f.grade.eq(None), &[]),
        (!f.grade.eq(None), &[]),
        (f.grade.is_in([Grade(0), Grade(30)]), &[0, 3]),
        (f.grade.not_in([Grade(0), Grade(30)]), &[1, 2]),
        // The column keeps two digits, the value is not rounded to them.
        (f.price.gt(Decimal::new(4_999, 3)), &[3, 4, 5]),
        (f.price.lt(Decimal::new(5_001, 3)), &[0, 1, 2, 3]),
        (f.price.lt(-10), &[0, 1]),
        (f.ratio.between(0.5, 1.5), &[1, 2, 3]),
        (f.sku.eq("SKU3"), &[3]),
        (f.sku.is_in(["SKU3", "sku4"]), &[3, 4]),
        (f.sku.starts_with("sKu"), &[0, 2, 3, 4, 5]),
        (f.code.eq("c2"), &[2]),
        // More than the column takes: not cut, and equal to none.
        (f.code.eq("c2    "), &[]),
        (f.code.is_in(&["c2", "c3"]), &[2, 3]),
        (f.code.like("_3"), &[3]),
        (f.tags.eq(["all", "4"]), &[4]),
        (f.tags.eq(vec!["all".to_owned(), "4".to_owned()]), &[4]),
        (f.tags.gt(["all", "3"]), &[4, 5]),
        (f.bytes.eq(b"\0\x03"), &[3]),
        (f.bytes.ne(&bytes), &[0, 1, 4, 5]),
        (f.size.eq(size(3, None)), &[3]),
        (f.size.is_in([size(3, None), size(4, None)]), &[3, 4]),
        (f.old_size.eq(size(1, Some(4))), &[4]),
        (f.old_size.ne(&size(1, Some(4))), &[3, 5]),
        (f.old_size.is_in([size(1, Some(3))]), &[3]),
        (f.old_size.is_null(), &[0, 1, 2]),
        (f.document.eq(serde_json::json!({ "id": 2 })), &[2]),
        (f.letter.ge(Letter('d')), &[3, 4, 5]),
        (f.letter.is_in([Letter('a'), Letter('b')]), &[0, 1]),
        (f.letter.starts_with("b"), &[1]),
        // Named at run time: whole numbers fit columns of numbers.
        (named("id").ge(4i64), &[4, 5]),
        (named("id").is_in([4u32, 5]), &[4, 5]),
        (named("grade").lt(20i64), &[0, 1]),
        (named("price").lt(-10), &[0, 1]),
        (named("price").ge(15i64), &[4, 5]),
        (named("price").gt(123_456_789_012_345_678i64), &[]),
        (named("price").gt(-100_000_000i64), &[0, 1, 2, 3, 4, 5]),
        (named("ratio").eq(1), &[2]),
        (named("ratio").lt(0.5), &[0]),
        (named("sku").eq("sku5".to_owned()), &[5]),
        (named("sku").is_null(), &[1]),
        (named("code").contains("3"), &[3]),
        (named("mood").eq(Mood::Glad) & named("letter").ne("a"), &[2, 4]),
        (Filter::raw(RawSql::new("t.tags @> ARRAY[").bind("3").sql("]")), &[3]),
        (Filter::raw(RawSql::new("true OR ").bind(true)) & f.id.eq(1), &[1]),
    ];
    for (filter, expected) in cases {
        let found = operations.list(filter.clone()).await.unwrap();
        assert_eq!(found.iter().map(|odd| odd.id).collect::<Vec<_>>(), expected, "{filter:?}");
        assert_eq!(
            operations.count(filter.clone()).limit(2).await.unwrap(),
            expected.len().min(2) as u64,
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn values_without_a_form_are_told_and_not_printed() {
    let db = database(ODD).await;
    let operations = BatchOperations::<Odd>::new(db.pool.clone());
    let items = BatchOperations::<Item>::new(db.pool.clone());
    db.run(ITEMS).await;
    let named = |name| Filter::<Odd>::field(name).unwrap();
    let f = Odd::FIELDS;
    for filter in [
        named("id").eq(70_000),
        named("id").eq("canary"),
        named("code").eq(424_242),
        named("mood").eq("canary"),
        named("tags").is_in([vec!["canary".to_owned()]]),
        f.code.eq("canary\0"),
        f.code.like("canary\0"),
        f.tags.is_in([["canary"]]),
        Filter::raw(RawSql::new("t.id = ").bind("canary")),
    ] {
        let shown = format!("{filter:?}");
        let error = operations.list(filter).await.unwrap_err();
        assert_eq!((error.kind(), error.table()), (ErrorKind::InvalidFilter, Some("odd")), "{shown}: {error}");
        for text in [shown, format!("{error} {error:?}")] {
            assert!(!text.contains("canary") && !text.contains("424") && !text.contains("70000"), "{text}");
        }
    }
    // Nothing was sent, so the connections are as good as before.
    assert!(!operations.exists(Filter::all()).await.unwrap());
    // A value that its stored form cannot hold.
    #[derive(Debug, BatchModel)]
    #[batch(table = "items")]
    struct Narrow {
        #[batch(key)]
        id: i64,
        #[batch(as = "i64")]
        stock: u128,
    }
    let narrow = BatchOperations::<Narrow>::new(db.pool.clone());
    let error = narrow.list(Narrow::FIELDS.stock.eq(u128::MAX)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFilter);
    assert_eq!(narrow.list(Narrow::FIELDS.stock.eq(1)).await.unwrap().len(), 0);
    // More values than a statement has parameters.
    let many = Filter::any_of((0..70_000).map(|id| Item::FIELDS.id.eq(id)));
    assert_eq!(items.list(many).await.unwrap_err().kind(), ErrorKind::InvalidFilter);
    assert_eq!(items.list(Item::FIELDS.id.is_in(0..70_000i64)).await.unwrap(), []);
    let unknown = Filter::<Odd>::field("moode").unwrap_err();
    assert!(unknown.to_string().contains("it has id, mood, grade"), "{unknown}");
}

/// The text is made of the filter's shape alone.
#[test]
fn the_statement_does_not_depend_on_values() {
    let manager = deadpool_postgres::Manager::new(tokio_postgres::Config::new(), tokio_postgres::NoTls);
    let operations = BatchOperations::<Item>::new(deadpool_postgres::Pool::builder(manager).build().unwrap());
    let f = Item::FIELDS;
    let sql = |price: i64, name: &str, ranks: &[i32], note: Option<&str>, place: &Item| {
        let filter =
            f.price.gt(price) & f.name.contains(name) & !f.rank.is_in(ranks) | f.note.eq(note.map(str::to_owned));
        operations.list(filter).order_by((f.note.desc(), f.price)).after(place).limit(3).offset(1).sql().unwrap()
    };
    let items = items();
    let texts: BTreeSet<String> =
        [sql(1, "a", &[], None, &items[0]), sql(-1, "'; DROP TABLE items; --", &[1, 2, 3], Some("$1"), &items[40])]
            .into();
    assert_eq!(texts.len(), 1, "{texts:#?}");
    assert!(matches!(f.price.gt(1).expression(), Expression::Compare { column: 1, comparison: Comparison::Gt, .. }));
}

#[tokio::test]
async fn reads_see_the_callers_transaction() {
    let (db, operations, items) = stored(ITEMS).await;
    let mut client = db.pool.get().await.unwrap();
    let mut transaction = client.transaction().await.unwrap();
    operations.batch_delete([0i64, 1, 2]).within(&mut transaction).await.unwrap();
    let all = Filter::all;
    assert_eq!(operations.count(all()).within(&mut transaction).await.unwrap(), 87);
    assert_eq!(operations.list(all()).within(&mut transaction).limit(1).await.unwrap()[0].id, 3);
    let page = operations.list(all()).within(&mut transaction).page(2).await.unwrap();
    assert_eq!(page.rows.iter().map(|item| item.id).collect::<Vec<_>>(), [3, 4]);
    assert!(!operations.exists(Item::FIELDS.id.eq(1)).within(&mut transaction).await.unwrap());
    assert!(operations.exists(Item::FIELDS.id.eq(1)).await.unwrap());
    let plan = operations.count(all()).within(&mut transaction).explain().await.unwrap();
    assert!(plan.contains("Aggregate"), "{plan}");
    // A refused read leaves the transaction as good as it was.
    let error = operations.list(Filter::raw(RawSql::new("1 / 0 = 1"))).within(&mut transaction).await.unwrap_err();
    assert_eq!(error.sqlstate().map(tokio_postgres::error::SqlState::code), Some("22012"));
    assert_eq!(operations.count(all()).within(&mut transaction).await.unwrap(), 87);
    transaction.rollback().await.unwrap();
    assert_eq!(operations.count(all()).await.unwrap(), items.len() as u64);
}

#[tokio::test]
async fn a_read_is_asked_again_where_that_helps() {
    let (db, _, items) = stored(ITEMS).await;
    let other = db.pool_with("");
    let operations = BatchOperations::<Item>::new(other.clone());
    assert_eq!(operations.list(Filter::all()).await.unwrap().len(), items.len());
    // The connections of the pool are gone, which it does not know yet.
    db.run(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await;
    assert_eq!(operations.list(Filter::all()).await.unwrap().len(), items.len());
    // The cached plan answers other types than the table has now.
    db.run("ALTER TABLE items ALTER note TYPE varchar").await;
    assert_eq!(operations.list(Filter::all()).await.unwrap().len(), items.len());
    db.run("ALTER TABLE items DROP note").await;
    assert_eq!(operations.list(Filter::all()).await.unwrap_err().kind(), ErrorKind::Schema);
}

/// Each shape of a filter is a statement of its own: a connection keeps a bounded number of them.
#[tokio::test]
async fn there_is_an_end_to_what_a_connection_keeps_prepared() {
    let db = database(ITEMS).await;
    let pool = db.database.pool(1).unwrap();
    let operations = BatchOperations::<Item>::new(pool.clone());
    let f = Item::FIELDS;
    for shape in 0..700 {
        let term = |bit: i32| if shape >> bit & 1 == 1 { f.id.eq(1) } else { f.price.eq(1) };
        let filter = (1..10).fold(term(0), |filter, bit| filter | term(bit));
        assert!(!operations.exists(filter).await.unwrap());
    }
    let client = pool.get().await.unwrap();
    let prepared = client.query_one("SELECT count(*) FROM pg_prepared_statements", &[]).await.unwrap();
    assert!((1..600).contains(&prepared.get::<_, i64>(0)), "{prepared:?}");
}
