//! Any value of a supported type comes back equal, whichever way it travels; `PROPTEST_CASES` sets how many are tried.

use batchkit::{BatchModel, BatchOperations};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::common::{TRANSPORTS, database, generated};

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "values of all kinds")]
struct Values {
    #[batch(key)]
    id: i32,
    small: i16,
    int: i32,
    big: Option<i64>,
    real: f32,
    double: Option<f64>,
    text: String,
    bytes: Option<Vec<u8>>,
    uuid: Uuid,
    decimal: Option<Decimal>,
    date: NaiveDate,
    time: NaiveTime,
    stamp: NaiveDateTime,
    instant: Option<DateTime<Utc>>,
    ints: Vec<Option<i64>>,
    doubles: Vec<f64>,
    texts: Option<Vec<Option<String>>>,
    chunks: Vec<Vec<u8>>,
    decimals: Vec<Decimal>,
    instants: Vec<DateTime<Utc>>,
    document: serde_json::Value,
}

const TABLE: &str = r#"CREATE TABLE "values of all kinds" (
    id int4 PRIMARY KEY, small int2 NOT NULL, int int4 NOT NULL, big int8, real float4 NOT NULL, double float8,
    text text NOT NULL, bytes bytea, uuid uuid NOT NULL, decimal numeric, date date NOT NULL, time time NOT NULL,
    stamp timestamp NOT NULL, instant timestamptz, ints int8[] NOT NULL, doubles float8[] NOT NULL, texts text[],
    chunks bytea[] NOT NULL, decimals numeric[] NOT NULL, instants timestamptz[] NOT NULL, document jsonb NOT NULL)"#;

/// Any text that PostgreSQL can hold.
fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.replace('\0', ""))
}

fn double() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{INFINITE, NEGATIVE, NORMAL, POSITIVE, QUIET_NAN, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO | INFINITE | QUIET_NAN
}

fn real() -> impl Strategy<Value = f32> {
    use proptest::num::f32::{INFINITE, NEGATIVE, NORMAL, POSITIVE, QUIET_NAN, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO | INFINITE | QUIET_NAN
}

/// Every decimal of `rust_decimal`, its ends among them.
fn decimal() -> impl Strategy<Value = Decimal> {
    let any = (any::<u32>(), any::<u32>(), any::<u32>(), any::<bool>(), 0..=28u32)
        .prop_map(|(low, mid, high, negative, scale)| Decimal::from_parts(low, mid, high, negative, scale));
    prop_oneof![8 => any, 1 => Just(Decimal::MAX), 1 => Just(Decimal::MIN), 1 => Just(Decimal::ZERO)]
}

/// What both chrono and PostgreSQL can hold, to the microsecond that the server keeps.
fn stamp() -> impl Strategy<Value = NaiveDateTime> {
    let first = NaiveDate::from_ymd_opt(-4712, 1, 1).unwrap().and_time(NaiveTime::MIN);
    let last = NaiveDate::from_ymd_opt(262_142, 12, 31).unwrap().and_hms_micro_opt(23, 59, 59, 999_999).unwrap();
    let span = (last - first).num_microseconds().unwrap();
    prop_oneof![
        8 => (0..=span).prop_map(move |at| first + TimeDelta::microseconds(at)),
        1 => Just(first),
        1 => Just(last),
    ]
}

/// What jsonb keeps as it is: no NUL, no numbers that it would write in another way.
fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        text().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(text(), inner, 0..4)
                .prop_map(|fields| fields.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn values() -> impl Strategy<Value = Values> {
    let numbers = (any::<i16>(), any::<i32>(), option::of(any::<i64>()), real(), option::of(double()));
    let plain = (text(), option::of(vec(any::<u8>(), 0..40)), any::<u128>(), option::of(decimal()), document());
    let times = (stamp(), stamp(), stamp(), option::of(stamp()));
    let arrays = (
        vec(option::of(any::<i64>()), 0..4),
        vec(double(), 0..4),
        option::of(vec(option::of(text()), 0..4)),
        vec(vec(any::<u8>(), 0..4), 0..4),
        vec(decimal(), 0..3),
        vec(stamp(), 0..3),
    );
    (numbers, plain, times, arrays).prop_map(|(numbers, plain, times, arrays)| {
        let (small, int, big, real, double) = numbers;
        let (text, bytes, uuid, decimal, document) = plain;
        let (date, time, stamp, instant) = times;
        let (ints, doubles, texts, chunks, decimals, instants) = arrays;
        let instants = instants.iter().map(NaiveDateTime::and_utc).collect();
        let (uuid, date, time) = (Uuid::from_u128(uuid), date.date(), time.time());
        let instant = instant.as_ref().map(NaiveDateTime::and_utc);
        #[rustfmt::skip]
        let values = Values {
            id: 0, small, int, big, real, double, text, bytes, uuid, decimal, date, time, stamp, instant, ints, doubles,
            texts, chunks, decimals, instants, document,
        };
        values
    })
}

/// The value's bits: NaN is equal to itself there, and -0.0 is not 0.0. A decimal's own scale is part of its text.
fn exact(values: &Values) -> String {
    let doubles: Vec<u64> = values.doubles.iter().map(|double| double.to_bits()).collect();
    let floats = (values.real.to_bits(), values.double.map(f64::to_bits), doubles);
    let without = Values { real: 0.0, double: None, doubles: Vec::new(), ..values.clone() };
    format!("{without:?} {floats:?}")
}

#[test]
fn any_value_comes_back_equal() {
    let rows = vec(values(), 1..6).prop_map(|mut rows| {
        rows.iter_mut().zip(0..).for_each(|(row, id)| row.id = id);
        rows
    });
    generated(24, rows, database(TABLE), async |db, rows| {
        let operations = BatchOperations::<Values>::new(db.pool.clone());
        let expected: Vec<String> = rows.iter().map(exact).collect();
        let exact = |rows: &[Values]| rows.iter().map(exact).collect::<Vec<_>>();
        for transport in TRANSPORTS {
            let context = format!("{transport:?}");
            db.run("TRUNCATE \"values of all kinds\"").await;
            assert_eq!(
                operations.batch_insert(&rows).transport(transport).await.unwrap(),
                rows.len() as u64,
                "{context}"
            );
            let ids = || rows.iter().map(|row| row.id);
            assert_eq!(exact(&operations.batch_get(ids()).transport(transport).await.unwrap()), expected, "{context}");
            let updated = operations.batch_update(&rows).transport(transport).returning().await.unwrap();
            assert_eq!(exact(&updated), expected, "{context}");
            let again = operations.batch_upsert(&rows).transport(transport).if_changed().await.unwrap();
            assert_eq!(again.unchanged, rows.len() as u64, "{context}");
        }
    });
}
