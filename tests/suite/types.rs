//! Every supported type comes back equal through every verb and transport.

use std::collections::HashMap;

use batchkit::{BatchModel, BatchOperations, Outcome};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use postgres_types::{FromSql, ToSql};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::common::{TRANSPORTS, database};

#[derive(Debug, Clone, Copy, PartialEq, ToSql, FromSql)]
#[postgres(name = "mood")]
enum Mood {
    #[postgres(name = "sad")]
    Sad,
    #[postgres(name = "very happy")]
    VeryHappy,
}

/// A domain's own type.
#[derive(Debug, Clone, PartialEq, ToSql, FromSql)]
#[postgres(name = "email")]
struct Email(String);

/// A composite type.
#[derive(Debug, Clone, PartialEq, ToSql, FromSql)]
#[postgres(name = "place")]
struct Place {
    name: String,
    depth: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    theme: String,
    sizes: HashMap<String, u32>,
}

/// An identifier of the caller's own.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Grade(u64);

impl From<i64> for Grade {
    fn from(stored: i64) -> Self {
        Grade(stored.unsigned_abs())
    }
}

impl TryFrom<Grade> for i64 {
    type Error = std::num::TryFromIntError;

    fn try_from(grade: Grade) -> Result<i64, Self::Error> {
        i64::try_from(grade.0)
    }
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "every type")]
struct Every {
    #[batch(key)]
    id: i64,
    small: i16,
    int: i32,
    tiny: i8,
    oid: u32,
    real: f32,
    double: f64,
    yes: bool,
    text: String,
    boxed: Box<str>,
    bytes: Vec<u8>,
    uuid: Uuid,
    date: NaiveDate,
    time: NaiveTime,
    stamp: NaiveDateTime,
    instant: DateTime<Utc>,
    #[batch(rename = "day of time")]
    day: time::Date,
    clock: time::Time,
    primitive: time::PrimitiveDateTime,
    offset: time::OffsetDateTime,
    civil: jiff::civil::Date,
    moment: jiff::Timestamp,
    decimal: Decimal,
    value: serde_json::Value,
    plain_json: serde_json::Value,
    #[batch(json)]
    settings: Settings,
    #[batch(json)]
    maybe_settings: Option<Settings>,
    mood: Mood,
    email: Email,
    plain_email: String,
    citext: String,
    place: Place,
    varchar: String,
    fixed: String,
    address: std::net::IpAddr,
    #[batch(as = "i64")]
    unsigned: u64,
    #[batch(as = "i16")]
    byte: Option<u8>,
    #[batch(as = "i32")]
    shorts: Vec<u16>,
    #[batch(as = "i64")]
    grade: Grade,
    ints: Vec<i32>,
    maybe_ints: Vec<Option<i64>>,
    texts: Vec<String>,
    maybe_texts: Option<Vec<String>>,
    uuids: Vec<Uuid>,
    moods: Vec<Mood>,
    values: Vec<serde_json::Value>,
    chunks: Vec<Vec<u8>>,
    places: Vec<Place>,
    maybe_small: Option<i16>,
    maybe_double: Option<f64>,
    maybe_yes: Option<bool>,
    maybe_text: Option<String>,
    maybe_bytes: Option<Vec<u8>>,
    maybe_uuid: Option<Uuid>,
    maybe_date: Option<NaiveDate>,
    maybe_instant: Option<DateTime<Utc>>,
    maybe_decimal: Option<Decimal>,
    maybe_value: Option<serde_json::Value>,
    maybe_mood: Option<Mood>,
    maybe_email: Option<Email>,
    maybe_place: Option<Place>,
}

const TABLE: &str = r#"
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad', 'very happy');
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE TYPE place AS (name text, depth int4);
CREATE TABLE "every type" (
    "day of time" date NOT NULL, id int8 PRIMARY KEY, small int2 NOT NULL, int int4 NOT NULL, tiny "char" NOT NULL,
    oid oid NOT NULL, real float4 NOT NULL, double float8 NOT NULL, yes bool NOT NULL, text text NOT NULL,
    boxed text NOT NULL, bytes bytea NOT NULL, uuid uuid NOT NULL, date date NOT NULL, time time NOT NULL,
    stamp timestamp NOT NULL, instant timestamptz NOT NULL, clock time NOT NULL, primitive timestamp NOT NULL,
    "offset" timestamptz NOT NULL, civil date NOT NULL, moment timestamptz NOT NULL, decimal numeric NOT NULL,
    value jsonb NOT NULL, plain_json json NOT NULL, settings jsonb NOT NULL, maybe_settings jsonb, mood mood NOT NULL,
    email email NOT NULL, plain_email email NOT NULL, citext citext NOT NULL, place place NOT NULL,
    varchar varchar(12) NOT NULL, fixed char(4) NOT NULL, address inet NOT NULL, unsigned int8 NOT NULL, byte int2,
    shorts int4[] NOT NULL, grade int8 NOT NULL, ints int4[] NOT NULL, maybe_ints int8[] NOT NULL,
    texts text[] NOT NULL, maybe_texts text[], uuids uuid[] NOT NULL, moods mood[] NOT NULL, "values" jsonb[] NOT NULL,
    chunks bytea[] NOT NULL, places place[] NOT NULL, maybe_small int2, maybe_double float8, maybe_yes bool,
    maybe_text text, maybe_bytes bytea, maybe_uuid uuid, maybe_date date, maybe_instant timestamptz,
    maybe_decimal numeric, maybe_value jsonb, maybe_mood mood, maybe_email email, maybe_place place,
    not_in_the_model text DEFAULT 'here'
)"#;

/// Ordinary values, with a quote, a comma, a brace and a backslash where text is.
fn full(id: i64) -> Every {
    let place = |depth| Place { name: "a, \"b\"".to_owned(), depth };
    let settings = Settings { theme: "dark \\u0000".to_owned(), sizes: HashMap::from([("x".to_owned(), 3)]) };
    Every {
        id,
        small: -3,
        int: 70_000,
        tiny: -1,
        oid: 4_000_000_000,
        real: 1.5,
        double: -2.25,
        yes: true,
        text: "it's {a}, \"b\" \\ NULL ü".to_owned(),
        boxed: "boxed".into(),
        bytes: vec![0, 1, 255],
        uuid: Uuid::from_u128(7),
        date: NaiveDate::from_ymd_opt(2024, 2, 29).unwrap(),
        time: NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).unwrap(),
        stamp: NaiveDate::from_ymd_opt(1899, 12, 31).unwrap().and_hms_micro_opt(1, 2, 3, 4).unwrap(),
        instant: Utc.with_ymd_and_hms(2013, 1, 1, 10, 0, 0).unwrap(),
        day: time::Date::from_calendar_date(2024, time::Month::March, 1).unwrap(),
        clock: time::Time::from_hms_micro(4, 5, 6, 7).unwrap(),
        primitive: time::PrimitiveDateTime::new(
            time::Date::from_calendar_date(1999, time::Month::May, 2).unwrap(),
            time::Time::MIDNIGHT,
        ),
        offset: time::OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap(),
        civil: jiff::civil::date(2030, 6, 7),
        moment: jiff::Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
        decimal: Decimal::new(-123_456_789, 4),
        value: serde_json::json!({"a": [1, null, "\\u0000"]}),
        plain_json: serde_json::json!(["x", 1]),
        settings: settings.clone(),
        maybe_settings: Some(settings),
        mood: Mood::VeryHappy,
        email: Email("a@b".to_owned()),
        plain_email: "c@d".to_owned(),
        citext: "CiText".to_owned(),
        place: place(Some(3)),
        varchar: "twelve chars".to_owned(),
        fixed: "abcd".to_owned(),
        address: "10.0.0.7".parse().unwrap(),
        unsigned: 9_000_000_000,
        byte: Some(200),
        shorts: vec![1, 65_535],
        grade: Grade(12),
        ints: vec![1, -2, 3],
        maybe_ints: vec![Some(1), None],
        texts: vec!["a, b".to_owned(), "\"".to_owned(), "NULL".to_owned(), String::new()],
        maybe_texts: Some(vec!["x".to_owned()]),
        uuids: vec![Uuid::from_u128(1), Uuid::from_u128(2)],
        moods: vec![Mood::Sad, Mood::VeryHappy],
        values: vec![serde_json::json!({"b": 1}), serde_json::json!(null)],
        chunks: vec![vec![1], vec![]],
        places: vec![place(None), place(Some(1))],
        maybe_small: Some(1),
        maybe_double: Some(0.1),
        maybe_yes: Some(false),
        maybe_text: Some("t".to_owned()),
        maybe_bytes: Some(vec![9]),
        maybe_uuid: Some(Uuid::nil()),
        maybe_date: NaiveDate::from_ymd_opt(1, 1, 1),
        maybe_instant: Some(Utc.with_ymd_and_hms(1970, 1, 1, 0, 0, 0).unwrap()),
        maybe_decimal: Some(Decimal::ONE),
        maybe_value: Some(serde_json::json!([])),
        maybe_mood: Some(Mood::Sad),
        maybe_email: Some(Email("e@f".to_owned())),
        maybe_place: Some(place(None)),
    }
}

/// The same with every NULL, every empty array, and the ends of the ranges.
fn bare(id: i64) -> Every {
    Every {
        small: i16::MIN,
        int: i32::MAX,
        tiny: i8::MAX,
        oid: 0,
        real: f32::INFINITY,
        double: f64::MIN_POSITIVE,
        yes: false,
        text: String::new(),
        boxed: "".into(),
        bytes: vec![],
        uuid: Uuid::max(),
        unsigned: 0,
        byte: None,
        shorts: vec![],
        ints: vec![],
        maybe_ints: vec![None],
        texts: vec![],
        maybe_texts: None,
        uuids: vec![],
        moods: vec![],
        values: vec![],
        chunks: vec![],
        places: vec![],
        maybe_settings: None,
        maybe_small: None,
        maybe_double: None,
        maybe_yes: None,
        maybe_text: None,
        maybe_bytes: None,
        maybe_uuid: None,
        maybe_date: None,
        maybe_instant: None,
        maybe_decimal: None,
        maybe_value: None,
        maybe_mood: None,
        maybe_email: None,
        maybe_place: None,
        ..full(id)
    }
}

#[tokio::test]
async fn every_type_comes_back_equal() {
    let db = database(TABLE).await;
    let operations = BatchOperations::<Every>::new(db.pool.clone());
    operations.check_schema().await.unwrap();
    for transport in TRANSPORTS {
        db.run("TRUNCATE \"every type\"").await;
        let rows = [full(1), bare(2), full(3)];
        assert_eq!(operations.batch_insert(&rows[..2]).transport(transport).await.unwrap(), 2);
        assert_eq!(operations.batch_insert(&rows[2..]).transport(transport).returning().await.unwrap(), rows[2..]);
        assert_eq!(operations.batch_get([3i64, 2, 1]).transport(transport).await.unwrap(), [full(3), bare(2), full(1)]);
        // Each row becomes the other kind.
        let turned = [bare(1), full(2), bare(3)];
        assert_eq!(operations.batch_update(&turned).transport(transport).await.unwrap(), 3);
        assert_eq!(operations.batch_get([1i64, 2, 3]).transport(transport).await.unwrap(), turned);
        assert_eq!(
            operations.batch_update(&rows).transport(transport).returning().await.unwrap(),
            rows,
            "{transport:?}"
        );
        // What is the same is seen to be the same, json without an equality included.
        let report = operations.batch_update(&rows).transport(transport).if_changed().report().await.unwrap();
        assert_eq!(report.unchanged(), 3, "{transport:?}");
        let mixture = [full(2), bare(4)];
        let report = operations.batch_upsert(&mixture).transport(transport).report().await.unwrap();
        assert_eq!(report.outcomes().unwrap(), [Outcome::Updated, Outcome::Inserted]);
        assert_eq!(
            operations.batch_upsert(&mixture).transport(transport).if_changed().returning().await.unwrap(),
            mixture
        );
        assert_eq!(
            operations.batch_delete([4i64, 2]).transport(transport).returning().await.unwrap(),
            [bare(4), full(2)]
        );
        assert_eq!(operations.batch_delete([1i64, 3]).transport(transport).await.unwrap(), 2);
    }
}

/// A key of this type finds, updates and deletes its rows by every transport, also as one of two.
macro_rules! keys_of_every_type {
    ($($test:ident: $ty:ty, $sql:literal, $one:expr, $two:expr;)*) => {$(
        #[tokio::test]
        async fn $test() {
            #[derive(Debug, Clone, PartialEq, BatchModel)]
            #[batch(table = "keyed")]
            struct Keyed {
                #[batch(key)]
                id: $ty,
                #[batch(key)]
                part: i32,
                #[batch(unique)]
                other: $ty,
                amount: i64,
            }
            let table = "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'very happy'); \
                         CREATE TABLE keyed (id TYPE, part int4, other TYPE NOT NULL UNIQUE, amount int8 NOT NULL, PRIMARY KEY (id, part))";
            let db = database(&table.replace("TYPE NOT", concat!($sql, " NOT")).replace("id TYPE", concat!("id ", $sql))).await;
            let operations = BatchOperations::<Keyed>::new(db.pool.clone());
            for transport in TRANSPORTS {
                db.run("TRUNCATE keyed").await;
                let rows = [
                    Keyed { id: $one, part: 1, other: $one, amount: 1 },
                    Keyed { id: $two, part: 1, other: $two, amount: 2 },
                ];
                assert_eq!(operations.batch_insert(&rows).transport(transport).returning().await.unwrap(), rows);
                assert_eq!(operations.batch_get([($two, 1), ($one, 1)]).transport(transport).await.unwrap(), [rows[1].clone(), rows[0].clone()]);
                assert_eq!(operations.batch_get_by(Keyed::KEYS.other, [$two]).transport(transport).await.unwrap(), rows[1..]);
                assert_eq!(operations.batch_update(&rows).transport(transport).await.unwrap(), 2);
                assert_eq!(operations.batch_upsert(&rows).on(Keyed::FIELDS.other).transport(transport).await.unwrap().updated, 2);
                assert_eq!(operations.batch_delete([($one, 1), ($one, 2)]).transport(transport).await.unwrap(), 1);
                assert_eq!(operations.batch_delete_by(Keyed::KEYS.other, [$two, $one]).transport(transport).await.unwrap(), 1);
            }
        }
    )*};
}

keys_of_every_type! {
    a_text_is_a_key: String, "text", "a'".to_owned(), "b\"".to_owned();
    a_citext_is_a_key: String, "citext", "Abc".to_owned(), "xyz".to_owned();
    a_varchar_is_a_key: String, "varchar(10)", "abc".to_owned(), "xyz".to_owned();
    a_fixed_char_is_a_key: String, "char(3)", "abc".to_owned(), "xyz".to_owned();
    a_uuid_is_a_key: Uuid, "uuid", Uuid::from_u128(1), Uuid::from_u128(2);
    a_date_is_a_key: NaiveDate, "date", NaiveDate::from_ymd_opt(1, 1, 1).unwrap(), NaiveDate::default();
    an_instant_is_a_key: DateTime<Utc>, "timestamptz", DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + chrono::Duration::days(1);
    a_decimal_is_a_key: Decimal, "numeric", Decimal::new(15, 1), Decimal::new(-2, 0);
    a_bytea_is_a_key: Vec<u8>, "bytea", vec![0, 1], vec![];
    an_enum_is_a_key: Mood, "mood", Mood::Sad, Mood::VeryHappy;
    an_array_is_a_key: Vec<i32>, "int4[]", vec![1, 2], vec![];
    a_small_integer_is_a_key: i16, "int2", 1, -1;
    a_double_is_a_key: f64, "float8", 1.5, -2.0;
    a_bool_is_a_key: bool, "bool", true, false;
}

#[tokio::test]
async fn values_that_a_type_cannot_hold_are_errors_and_no_panics() {
    #[derive(Debug, BatchModel)]
    #[batch(table = "odd")]
    struct Odd {
        #[batch(key)]
        id: i32,
        instant: Option<DateTime<Utc>>,
        stamp: Option<time::PrimitiveDateTime>,
        clock: Option<NaiveTime>,
        decimal: Option<Decimal>,
        date: Option<NaiveDate>,
    }
    let db = database("CREATE TABLE odd (id int4 PRIMARY KEY, instant timestamptz, stamp timestamp, clock time, decimal numeric, date date)").await;
    db.run(
        "INSERT INTO odd VALUES (0, 'infinity'), (1, '-infinity'), (2, '294276-12-31'); \
         INSERT INTO odd (id, stamp) VALUES (3, 'infinity'), (4, '20000-01-01'); \
         INSERT INTO odd (id, clock) VALUES (5, '24:00:00'); \
         INSERT INTO odd (id, decimal) VALUES (6, 'NaN'), (7, 'infinity'); \
         INSERT INTO odd (id, date) VALUES (8, 'infinity')",
    )
    .await;
    let operations = BatchOperations::<Odd>::new(db.pool.clone());
    for (id, column) in [
        (0, "instant"),
        (1, "instant"),
        (3, "stamp"),
        (4, "stamp"),
        (5, "clock"),
        (6, "decimal"),
        (7, "decimal"),
        (8, "date"),
    ] {
        let error = operations.batch_get([id]).await.unwrap_err();
        assert_eq!((error.kind(), error.column()), (batchkit::ErrorKind::Decode, Some(column)), "{id}: {error}");
    }
}
