//! Whatever is done, PostgreSQL and the twin give the same answers, and hold the same rows afterwards.

use batchkit::{BatchConfig, BatchModel, DuplicatePolicy, Error, ExecutionStrategy, Filter, OnRowError};
use batchkit_repo::{Database, Memory, Repository, Transaction};
use chrono::{NaiveDate, NaiveDateTime};
use fastrand::Rng;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::model::{Category, Product, Shelf};
use super::places::{Place, Way};
use crate::common::database;

/// An answer in a form that both can be compared by.
fn told<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => {
            let report = error.report();
            // Of several constraints that a row breaks, any may be named.
            let rejects = report.map(|report| report.rejects().iter().map(|r| r.position).collect::<Vec<_>>());
            format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                error.kind(),
                error.sqlstate(),
                error.constraint(),
                error.column(),
                error.rows(),
                report.map(|report| *report.counts()),
                report.map(|report| report.committed().to_vec()),
                rejects,
            )
        }
    }
}

/// A call, the same at both places.
#[derive(Debug, Clone)]
enum Call {
    AddProducts(Vec<Product>),
    AddShelves(Vec<Shelf>),
    UpdateProducts(Vec<Product>, Option<Vec<&'static str>>, bool),
    UpsertProducts(Vec<Product>, Option<&'static str>, Option<Vec<&'static str>>, bool),
    UpsertCategories(Vec<Category>, bool),
    UpsertShelves(Vec<Shelf>, Option<Vec<&'static str>>),
    RemoveProducts(Vec<i64>),
    RemoveCategories(Vec<i32>),
    RemoveShelves(Vec<(i32, String)>),
    GetProducts(Vec<i64>),
}

fn some<T>(rng: &mut Rng, most: usize, mut one: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    let rows = rng.usize(1..=most);
    (0..rows).map(|_| one(rng)).collect()
}

fn product(rng: &mut Rng) -> Product {
    let id = rng.i64(1..12);
    Product {
        id,
        // Mostly its own sku; now and then another one's.
        sku: if rng.u8(..6) == 0 { format!("sku {}", rng.i64(1..12)) } else { format!("sku {id}") },
        price: if rng.u8(..12) == 0 { -1 } else { rng.i64(0..3) },
        tags: (0..rng.usize(..3)).map(|n| format!("tag {n}")).collect(),
        note: rng.bool().then(|| if rng.u8(..30) == 0 { "\0".to_owned() } else { format!("note {}", rng.u8(..2)) }),
        category_id: (rng.u8(..3) == 0).then(|| rng.i32(1..6)),
        double_price: None,
        updated_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn shelf(rng: &mut Rng) -> Shelf {
    let code = rng.bool().then(|| format!("code {}", rng.u8(..4)));
    Shelf { shelf: rng.i32(..3), slot: format!("slot {}", rng.u8(..3)), code, room: rng.i16(..2) }
}

fn call(rng: &mut Rng) -> Call {
    let if_changed = rng.bool();
    match rng.u8(..12) {
        0 | 1 => Call::AddProducts(some(rng, 7, product)),
        2 => Call::AddShelves(some(rng, 3, shelf)),
        3 | 4 => {
            // Rows are updated in whatever order: a set that could break two constraints would not have one answer.
            let fields = match rng.u8(..3) {
                0 => vec!["price"],
                1 => vec!["note", "tags"],
                _ => vec!["category_id"],
            };
            Call::UpdateProducts(some(rng, 7, product), Some(fields), if_changed)
        }
        5 => Call::UpdateProducts(vec![product(rng)], None, if_changed),
        6 => {
            let fields = rng.bool().then(|| vec!["price", "note"]);
            Call::UpsertProducts(some(rng, 7, product), rng.bool().then_some("sku"), fields, if_changed)
        }
        7 => {
            let category =
                |rng: &mut Rng| Category { id: rng.i32(1..6), name: rng.bool().then(|| rng.u8(..5).to_string()) };
            Call::UpsertCategories(some(rng, 3, category), if_changed)
        }
        8 => Call::UpsertShelves(some(rng, 3, shelf), rng.bool().then(|| vec!["code", "room"])),
        9 => Call::RemoveProducts(some(rng, 4, |rng| rng.i64(1..12))),
        10 => match rng.bool() {
            true => Call::RemoveCategories(some(rng, 2, |rng| rng.i32(1..6))),
            false => Call::RemoveShelves(some(rng, 3, |rng| (rng.i32(..3), format!("slot {}", rng.u8(..3))))),
        },
        _ => Call::GetProducts(some(rng, 5, |rng| rng.i64(1..12))),
    }
}

/// One place's repositories.
struct Side {
    products: Repository<Product>,
    categories: Repository<Category>,
    shelves: Repository<Shelf>,
    database: Database,
}

/// Whatever time it was set at, a changed row has another one than a new one.
fn timeless(products: Vec<Product>) -> Vec<Product> {
    let year = |product: Product| {
        let is_new = product.updated_at.timestamp() < 1_000_000_000;
        let updated_at = if is_new { product.updated_at } else { chrono::DateTime::UNIX_EPOCH };
        Product { updated_at, ..product }
    };
    products.into_iter().map(year).collect()
}

impl Side {
    async fn new(way: Way, config: &BatchConfig) -> (Self, Place) {
        let place = Place::new(way).await;
        let side = Side {
            products: place.with(config.clone()),
            categories: place.with(config.clone()),
            shelves: place.with(config.clone()),
            database: place.database.clone(),
        };
        (side, place)
    }

    async fn run(&self, call: Call, within: Option<&mut Transaction<'_>>) -> String {
        macro_rules! within {
            ($call:expr) => {{
                let call = $call;
                match within {
                    Some(transaction) => call.within(transaction).await,
                    None => call.await,
                }
            }};
        }
        match call {
            Call::AddProducts(rows) => told(within!(self.products.batch_add(&rows)).map(timeless)),
            Call::AddShelves(rows) => told(within!(self.shelves.batch_add(&rows))),
            Call::UpdateProducts(rows, fields, if_changed) => {
                let mut update = self.products.batch_update(&rows);
                if let Some(fields) = fields {
                    update = update.fields(fields);
                }
                if if_changed {
                    update = update.if_changed();
                }
                told(within!(update))
            }
            Call::UpsertProducts(rows, on, fields, if_changed) => {
                let mut upsert = self.products.batch_upsert(&rows);
                if let Some(on) = on {
                    upsert = upsert.on(on);
                }
                if let Some(fields) = fields {
                    upsert = upsert.fields(fields);
                }
                if if_changed {
                    upsert = upsert.if_changed();
                }
                told(within!(upsert))
            }
            Call::UpsertCategories(rows, if_changed) => {
                let upsert = self.categories.batch_upsert(&rows);
                told(within!(if if_changed { upsert.if_changed() } else { upsert }))
            }
            Call::UpsertShelves(rows, on) => {
                let upsert = self.shelves.batch_upsert(&rows);
                told(within!(match on {
                    Some(on) => upsert.on(on),
                    None => upsert,
                }))
            }
            Call::RemoveProducts(ids) => told(within!(self.products.batch_remove(&ids))),
            Call::RemoveCategories(ids) => told(within!(self.categories.batch_remove(&ids))),
            Call::RemoveShelves(keys) => told(within!(self.shelves.batch_remove(&keys))),
            Call::GetProducts(ids) => told(within!(self.products.batch_get(&ids).aligned()).map(|slots| {
                let found: Vec<bool> = slots.iter().map(Option::is_some).collect();
                (found, timeless(slots.into_iter().flatten().collect()))
            })),
        }
    }

    async fn all(&self) -> String {
        let products = timeless(self.products.list(Filter::all()).await.unwrap());
        let categories = self.categories.list(Filter::all()).await.unwrap();
        let shelves = self.shelves.list(Filter::all()).await.unwrap();
        format!("{products:?} {categories:?} {shelves:?}")
    }
}

#[tokio::test]
async fn the_twin_does_what_postgresql_does() {
    let configs = [
        BatchConfig::default(),
        BatchConfig { duplicates: DuplicatePolicy::FirstWins, ..BatchConfig::default() },
        BatchConfig {
            duplicates: DuplicatePolicy::LastWins,
            on_row_error: OnRowError::Reject,
            ..BatchConfig::default()
        },
        BatchConfig { execution_strategy: ExecutionStrategy::SingleQuery, ..BatchConfig::default() },
        BatchConfig {
            duplicates: DuplicatePolicy::LastWins,
            execution_strategy: ExecutionStrategy::Optimistic,
            ..BatchConfig::default()
        },
    ];
    for (seed, config) in (1..).zip(&configs) {
        let mut rng = Rng::with_seed(seed);
        let (real, _place) = Side::new(Way::Batches, config).await;
        let (twin, _) = Side::new(Way::Twin, config).await;
        for step in 0..150 {
            let context = |what: &str| format!("seed {seed}, step {step}: {what}");
            if rng.u8(..4) > 0 {
                let call = call(&mut rng);
                let what = context(&format!("{call:?}"));
                assert_eq!(twin.run(call.clone(), None).await, real.run(call, None).await, "{what}");
            } else {
                let calls = some(&mut rng, 4, call);
                let commit = rng.bool();
                let (mut one, mut other) =
                    (twin.database.connect().await.unwrap(), real.database.connect().await.unwrap());
                let mut one = one.transaction().await.unwrap();
                let mut other = other.transaction().await.unwrap();
                for call in calls {
                    let what = context(&format!("in a transaction: {call:?}"));
                    let answers =
                        (twin.run(call.clone(), Some(&mut one)).await, real.run(call, Some(&mut other)).await);
                    assert_eq!(answers.0, answers.1, "{what}");
                }
                if commit {
                    one.commit().await.unwrap();
                    other.commit().await.unwrap();
                } else {
                    one.rollback().await.unwrap();
                    other.rollback().await.unwrap();
                }
            }
            assert_eq!(twin.all().await, real.all().await, "{}", context("the rows"));
        }
    }
}

/// A column of each kind.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "kinds")]
struct Kinds {
    #[batch(key)]
    id: i32,
    boolean: Option<bool>,
    small: Option<i16>,
    single: Option<f32>,
    double: Option<f64>,
    number: Option<Decimal>,
    text: Option<String>,
    #[batch(pg_type = "char(3)")]
    padded: Option<String>,
    bytes: Option<Vec<u8>>,
    uuid: Option<Uuid>,
    day: Option<NaiveDate>,
    time: Option<NaiveDateTime>,
    list: Option<Vec<Option<i32>>>,
    #[batch(json)]
    document: Option<serde_json::Value>,
}

const KINDS: &str = "CREATE TABLE kinds (id int4 PRIMARY KEY, boolean bool, small int2, single float4, double float8,
    number numeric, text text COLLATE \"C\", padded char(3), bytes bytea, uuid uuid, day date, time timestamp,
    list int4[], document jsonb)";

fn kinds(rng: &mut Rng, id: i32) -> Kinds {
    fn one<T: Clone>(rng: &mut Rng, of: &[T]) -> Option<T> {
        rng.choice(of).cloned()
    }
    let doubles = [0.0, -0.0, 1.5, -1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 1e300];
    let singles = [0.0, -0.0, 1.5, -1.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let numbers: Vec<Decimal> = [
        "0",
        "0.00",
        "1",
        "1.0",
        "-1",
        "-1.50",
        "-1.5",
        "-12",
        "12345.678",
        "12345.6781",
        "100000000",
        "-0.001",
        "0.0001",
    ]
    .map(|number| number.parse().unwrap())
    .into();
    let texts = ["", "a", "B", "b", "aa", "ä", "a b", "a%"].map(str::to_owned);
    let bytes = [vec![], vec![0], vec![0, 1], vec![255]];
    let uuids = [Uuid::nil(), Uuid::from_u128(1), Uuid::max()];
    let days = ["1969-12-31", "2000-01-01", "2024-02-29"].map(|day| day.parse::<NaiveDate>().unwrap());
    let times = ["1999-12-31T23:59:59.999999", "2000-01-01T00:00:00", "2024-02-29T12:00:00"]
        .map(|time| time.parse::<NaiveDateTime>().unwrap());
    let lists =
        [vec![], vec![Some(1)], vec![Some(1), None], vec![Some(1), Some(2)], vec![None], vec![Some(-1)], vec![Some(2)]];
    let documents = [r#"{"a": 1, "b": [2]}"#, r#"{"b": [2.0], "a": 1.0}"#, "[]", "1", "1.0", "\"1\"", "{\"a\": null}"]
        .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
    let mut kinds = Kinds {
        id,
        boolean: Some(rng.bool()),
        small: one(rng, &[i16::MIN, -1, 0, 1, i16::MAX]),
        single: one(rng, &singles),
        double: one(rng, &doubles),
        number: one(rng, &numbers),
        text: one(rng, &texts),
        padded: one(rng, &["", "a", "a ", "b", "abc"].map(str::to_owned)),
        bytes: one(rng, &bytes),
        uuid: one(rng, &uuids),
        day: one(rng, &days),
        time: one(rng, &times),
        list: one(rng, &lists),
        document: one(rng, &documents),
    };
    match rng.u8(..24) {
        0 => kinds.boolean = None,
        1 => kinds.double = None,
        2 => kinds.number = None,
        3 => kinds.text = None,
        4 => kinds.list = None,
        5 => kinds.document = None,
        6 => (kinds.single, kinds.small, kinds.padded) = (None, None, None),
        7 => (kinds.bytes, kinds.uuid, kinds.day, kinds.time) = (None, None, None, None),
        _ => {}
    }
    kinds
}

/// A filter of so many comparisons, and what it is called.
fn filter(rng: &mut Rng, depth: u8) -> (Filter<Kinds>, String) {
    macro_rules! compared {
        ($($field:ident)*) => {{
            let f = Kinds::FIELDS;
            let values = kinds(rng, 0);
            let names = [$(stringify!($field)),*];
            let name = *rng.choice(&names).unwrap();
            let sign = rng.u8(..7);
            let filter = match name {
                $(stringify!($field) => {
                    let (field, value) = (f.$field, values.$field.clone());
                    match sign {
                        0 => field.eq(value),
                        1 => field.ne(value),
                        2 => field.lt(value),
                        3 => field.le(value),
                        4 => field.gt(value),
                        5 => field.ge(value),
                        _ => field.eq(value) | field.eq(kinds(rng, 0).$field.clone()),
                    }
                })*
                _ => Filter::none(),
            };
            (filter, format!("{name} {sign} {values:?}"))
        }};
    }
    let f = Kinds::FIELDS;
    match if depth == 0 { rng.u8(4..12) } else { rng.u8(..12) } {
        0 | 1 => {
            let ((one, a), (other, b)) = (filter(rng, depth - 1), filter(rng, depth - 1));
            (one & other, format!("({a} AND {b})"))
        }
        2 => {
            let ((one, a), (other, b)) = (filter(rng, depth - 1), filter(rng, depth - 1));
            (one | other, format!("({a} OR {b})"))
        }
        3 => {
            let (one, a) = filter(rng, depth - 1);
            (!one, format!("NOT ({a})"))
        }
        4 => match rng.u8(..3) {
            0 => (f.double.is_null(), "double IS NULL".to_owned()),
            1 => (f.text.is_not_null(), "text IS NOT NULL".to_owned()),
            _ => (f.number.is_in(Vec::<Decimal>::new()), "number IN ()".to_owned()),
        },
        5 => {
            let value = kinds(rng, 0).document.unwrap_or_default();
            let what = format!("document {value}");
            (if rng.bool() { f.document.eq(&value) } else { f.document.ne(&value) }, what)
        }
        6 => {
            let pattern = rng.choice(["%", "a%", "_", "%b", "A", "a\\%", "%ä%", ""]).unwrap();
            let what = format!("LIKE {pattern:?}");
            (if rng.bool() { f.text.like(pattern) } else { f.text.ilike(pattern) }, what)
        }
        _ => compared!(boolean small single double number text padded bytes uuid day time list),
    }
}

#[tokio::test]
async fn filters_find_the_same_rows_by_every_type() {
    let db = database(KINDS).await;
    let mut rng = Rng::with_seed(7);
    let (real, twin) =
        (Repository::<Kinds>::builder(db.pool.clone()).build().unwrap(), Repository::<Kinds>::memory(&Memory::new()));
    let rows: Vec<Kinds> = (0..200).map(|id| kinds(&mut rng, id)).collect();
    real.batch_add(&rows).await.unwrap();
    twin.batch_add(&rows).await.unwrap();
    let mut found = 0;
    for _ in 0..600 {
        let (filter, what) = filter(&mut rng, 2);
        let ids = async |repo: &Repository<Kinds>| {
            let rows = repo.list(filter.clone()).await.unwrap();
            rows.iter().map(|row| row.id).collect::<Vec<_>>()
        };
        let (twins, reals) = (ids(&twin).await, ids(&real).await);
        assert_eq!(twins, reals, "{what}");
        assert_eq!(twin.count(filter.clone()).await.unwrap(), u64::try_from(reals.len()).unwrap());
        found += usize::from(!reals.is_empty() && reals.len() < rows.len());
    }
    for _ in 0..200 {
        let columns = [
            "boolean", "small", "single", "double", "number", "text", "padded", "bytes", "uuid", "day", "time", "list",
        ];
        let order = some(&mut rng, 3, |rng| {
            let words = [["asc", "desc"], ["nulls first", "nulls last"]].map(|words| *rng.choice(&words).unwrap());
            format!("{} {} {}", rng.choice(&columns).unwrap(), words[0], words[1])
        });
        let place = &rows[rng.usize(..rows.len())];
        let (is_after, limit) = (rng.bool(), rng.u64(1..40));
        let read = async |repo: &Repository<Kinds>| {
            let list = repo.list(Filter::all()).order_by(order.clone()).limit(limit);
            let rows = if is_after { list.after(place) } else { list.before(place) }.await.unwrap();
            rows.iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(read(&twin).await, read(&real).await, "{order:?} {is_after} {limit} {place:?}");
    }
    assert!(found > 300, "most filters tell rows apart: {found}");
}
