//! Input that has broken others: what each kind of it does, by every verb and transport that it concerns.

use std::convert::Infallible;
use std::time::Duration;

use batchkit::{
    BatchConfig, BatchModel, BatchOperations, BatchSize, DuplicatePolicy, ErrorKind, ExecutionStrategy, Filter,
    OnRowError, Outcome, Transport,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use futures_util::stream;

use crate::common::{Db, TRANSPORTS, database, pool_through};
use crate::proxy::{Harm, Proxy, Trap, Way};

/// The verbs that write a value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Insert,
    Update,
    Upsert,
}

const WRITING: [Writing; 3] = [Writing::Insert, Writing::Update, Writing::Upsert];

/// The outcomes of a write, in the caller's order; where `Abort` holds, an error.
macro_rules! write {
    ($writing:expr, $operations:expr, $rows:expr, $transport:expr, $on_row_error:expr) => {
        match $writing {
            Writing::Insert => {
                let call = $operations.batch_insert($rows).transport($transport);
                call.on_row_error($on_row_error).report().await
            }
            Writing::Update => {
                let call = $operations.batch_update($rows).transport($transport);
                call.on_row_error($on_row_error).report().await
            }
            Writing::Upsert => {
                let call = $operations.batch_upsert($rows).transport($transport);
                call.on_row_error($on_row_error).report().await
            }
        }
    };
}

/// A text with NUL and a document with `\u0000` are their rows' own fault, and so is a text that is too long, which
/// is never cut.
#[tokio::test]
async fn a_value_that_is_refused_takes_no_other_row_with_it() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "notes")]
    struct Note {
        #[batch(key)]
        id: i32,
        text: String,
        short: String,
        shorts: Vec<String>,
        document: serde_json::Value,
        #[batch(json)]
        typed: Option<Vec<String>>,
    }
    let db = database(
        "CREATE TABLE notes (id int4 PRIMARY KEY, text text NOT NULL, short varchar(10) NOT NULL,
            shorts varchar(10)[] NOT NULL, document jsonb NOT NULL, typed jsonb)",
    )
    .await;
    let operations = BatchOperations::<Note>::new(db.pool.clone());
    let note = |id| Note {
        id,
        text: "fine".to_owned(),
        short: "ten of it!".to_owned(),
        shorts: vec!["ten of it!".to_owned()],
        document: serde_json::json!({ "a": "\\u0000" }),
        typed: None,
    };
    let rows = [
        note(0),
        Note { text: "nul \0".to_owned(), ..note(1) },
        note(2),
        Note { document: serde_json::json!({ "a": ["\0"] }), ..note(3) },
        Note { typed: Some(vec!["\0".to_owned()]), ..note(4) },
        Note { short: "eleven of it".to_owned(), ..note(5) },
        Note { shorts: vec!["one".to_owned(), "eleven of it".to_owned()], ..note(6) },
        Note { shorts: vec!["\0".to_owned()], ..note(7) },
        note(8),
    ];
    let bad = [(1, "text"), (3, "document"), (4, "typed"), (5, ""), (6, ""), (7, "shorts")];
    let before = Note { text: "before".to_owned(), ..note(0) };
    for transport in TRANSPORTS {
        for writing in WRITING {
            let context = format!("{writing:?} {transport:?}");
            let start = || async {
                db.run("TRUNCATE notes").await;
                if writing != Writing::Insert {
                    let stored = (0..9).map(|id| Note { id, ..before.clone() });
                    operations.batch_insert(stored).await.unwrap();
                }
            };
            start().await;
            let report = write!(writing, operations, &rows, transport, OnRowError::Reject).unwrap();
            let rejects = report.rejects().iter().map(|r| (r.position, r.column.as_deref().unwrap_or_default()));
            assert_eq!(rejects.collect::<Vec<_>>(), bad, "{context}");
            for reject in report.rejects() {
                let is_long = matches!(reject.position, 5 | 6);
                let expected = if is_long { ErrorKind::Database } else { ErrorKind::InvalidRow };
                let code = is_long.then_some("22001");
                assert_eq!((reject.kind, reject.sqlstate.as_deref()), (expected, code), "{context}");
            }
            let stored = operations.batch_get(0..9).await.unwrap();
            let is_bad = |row: &Note| bad.iter().any(|(at, _)| usize::try_from(row.id) == Ok(*at));
            let expected = rows.iter().filter(|row| !is_bad(row)).cloned();
            let kept = (0..9).map(|id| Note { id, ..before.clone() }).filter(is_bad);
            let mut expected: Vec<Note> =
                if writing == Writing::Insert { expected.collect() } else { expected.chain(kept).collect() };
            expected.sort_by_key(|row| row.id);
            assert_eq!(stored, expected, "{context}");

            // Alone and under Abort, each is an error that writes nothing.
            for (at, column) in bad {
                start().await;
                let some = [rows[0].clone(), rows[at].clone()];
                let error = write!(writing, operations, &some, transport, OnRowError::Abort).unwrap_err();
                match column {
                    "" => assert_eq!(error.sqlstate().unwrap().code(), "22001", "{context}"),
                    _ => assert_eq!((error.kind(), error.column()), (ErrorKind::InvalidRow, Some(column)), "{context}"),
                }
                let touched = db.number("SELECT count(*) FROM notes WHERE text <> 'before'").await;
                assert_eq!(touched, 0, "{context}");
            }
        }
    }
}

/// Keys whose equality is another than their bytes', or that the column rounds into one.
macro_rules! equal_only_to_the_server {
    ($($test:ident: $ty:ty, $sql:literal, $one:expr, $same:expr, $other:expr;)*) => {$(
        #[tokio::test]
        async fn $test() {
            #[derive(Debug, Clone, BatchModel)]
            #[batch(table = "keyed")]
            struct Keyed {
                #[batch(key)]
                id: $ty,
                amount: i64,
            }
            let db = database(concat!("CREATE TABLE keyed (id ", $sql, " PRIMARY KEY, amount int8 NOT NULL)")).await;
            let operations = BatchOperations::<Keyed>::new(db.pool.clone());
            let rows = [(1, $one), (2, $other), (3, $same)].map(|(amount, id)| Keyed { id, amount });
            for transport in TRANSPORTS {
                let context = format!("{transport:?}");
                db.run("TRUNCATE keyed").await;
                let upsert = || operations.batch_upsert(&rows).transport(transport).batch_size(1);
                let error = upsert().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::DuplicateKey, "{context}");
                assert_eq!(error.rows(), [0..1, 2..3], "{context}");
                let report = upsert().duplicates(DuplicatePolicy::FirstWins).report().await.unwrap();
                assert_eq!(
                    report.outcomes().unwrap(),
                    [Outcome::Inserted, Outcome::Inserted, Outcome::Duplicate],
                    "{context}"
                );
                let update = operations.batch_update(&rows).transport(transport).batch_size(1);
                let report = update.duplicates(DuplicatePolicy::LastWins).report().await.unwrap();
                assert_eq!(
                    report.outcomes().unwrap(),
                    [Outcome::Duplicate, Outcome::Updated, Outcome::Updated],
                    "{context}"
                );
                assert_eq!(db.number("SELECT sum(amount)::int8 FROM keyed").await, 5, "{context}");
                assert_eq!(operations.batch_get([$same, $other]).transport(transport).await.unwrap().len(), 2);
                // A plain insert runs into the key; rejected, it is that row.
                db.run("TRUNCATE keyed").await;
                let insert = operations.batch_insert(&rows).transport(transport).on_row_error(OnRowError::Reject);
                let report = insert.report().await.unwrap();
                assert_eq!(report.positions(Outcome::Rejected).collect::<Vec<_>>(), [2], "{context}");
                assert_eq!(report.rejects()[0].kind, ErrorKind::UniqueViolation, "{context}");
                assert_eq!(operations.batch_delete([$same, $one, $other]).transport(transport).await.unwrap(), 2);
            }
        }
    )*};
}

fn at(nanoseconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::nanoseconds(nanoseconds)
}

/// The instant that the server counts from.
const Y2K: i64 = 946_684_800_000_000_000;

mod equal_only_to_the_server {
    use super::*;

    equal_only_to_the_server! {
        minus_zero_is_zero: f64, "float8", 0.0, -0.0, 1.0;
        minus_zero_is_zero_in_real: f32, "float4", -0.0, 0.0, 1.0;
        nan_is_nan: f64, "float8", f64::NAN, f64::from_bits(0xfff8_0000_0000_0001), f64::INFINITY;
        one_is_one_point_zero: rust_decimal::Decimal, "numeric", rust_decimal::Decimal::new(1, 0),
            rust_decimal::Decimal::new(100, 2), rust_decimal::Decimal::new(101, 2);
        instants_within_a_microsecond: DateTime<Utc>, "timestamptz", at(Y2K + 1_000), at(Y2K + 1_001), at(Y2K + 2_000);
        instants_that_the_column_rounds: DateTime<Utc>, "timestamptz(0)", at(1_000_000_000), at(1_400_000_000),
            at(1_600_000_000);
        digits_that_the_column_rounds: rust_decimal::Decimal, "numeric(10, 2)", rust_decimal::Decimal::new(1_001, 3),
            rust_decimal::Decimal::new(1_004, 3), rust_decimal::Decimal::new(1_006, 3);
        blanks_that_the_column_pads: String, "char(3)", "a".to_owned(), "a ".to_owned(), "b".to_owned();
        members_in_another_order: serde_json::Value, "jsonb", serde_json::json!({ "a": 1.0, "b": 2 }),
            serde_json::json!({ "b": 2, "a": 1.0 }), serde_json::json!({ "b": 2 });
    }
}

/// NULL equals NULL only where the index says so.
#[tokio::test]
async fn a_null_in_the_conflict_key_is_one_key_where_the_index_says_so() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "codes")]
    struct Code {
        #[batch(key)]
        id: i32,
        #[batch(unique)]
        code: Option<String>,
        amount: i32,
    }
    let db = database("").await;
    if db.number("SELECT current_setting('server_version_num')::int8").await < 150_000 {
        eprintln!("SKIPPED: NULLS NOT DISTINCT came with PostgreSQL 15");
        return;
    }
    db.run("CREATE TABLE codes (id int4 PRIMARY KEY, code text UNIQUE NULLS NOT DISTINCT, amount int4 NOT NULL)").await;
    let operations = BatchOperations::<Code>::new(db.pool.clone());
    let code = |id, code: Option<&str>, amount| Code { id, code: code.map(str::to_owned), amount };
    for transport in TRANSPORTS {
        db.run("TRUNCATE codes").await;
        let rows = [code(1, None, 1), code(2, Some("a"), 2), code(3, None, 3)];
        let upsert = |rows: &[Code]| {
            operations.batch_upsert(rows.to_vec()).on("code").transport(transport).duplicates(DuplicatePolicy::LastWins)
        };
        assert_eq!(
            upsert(&rows).report().await.unwrap().outcomes().unwrap(),
            [Outcome::Duplicate, Outcome::Inserted, Outcome::Inserted],
            "{transport:?}"
        );
        // A second run finds the row with NULL, and does not make another.
        let again = upsert(&[code(4, None, 4), code(5, Some("a"), 5)]).returning().await.unwrap();
        assert_eq!(again, [code(3, None, 4), code(2, Some("a"), 5)], "{transport:?}");
        let unchanged = upsert(&[code(6, None, 4), code(7, Some("a"), 8)]).if_changed().returning().await.unwrap();
        assert_eq!(unchanged, [code(3, None, 4), code(2, Some("a"), 8)], "{transport:?}");
        assert_eq!(db.number("SELECT count(*) FROM codes").await, 2, "{transport:?}");
    }
    // Another index that takes NULL as a value does not make it one in this key.
    db.run(
        "DROP TABLE codes; CREATE TABLE codes (id int4 PRIMARY KEY, code text UNIQUE, amount int4 NOT NULL,
            UNIQUE NULLS NOT DISTINCT (code, amount))",
    )
    .await;
    operations.check_schema().await.unwrap();
    let error = operations.batch_upsert([code(1, None, 1)]).on("code").await.unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::InvalidRow, Some("code")));
}

/// An index that is no conflict target is told before anything is written, and not by `42P10`.
#[tokio::test]
async fn an_index_that_is_no_conflict_target_is_told_beforehand() {
    #[derive(Debug, Clone, BatchModel)]
    #[batch(table = "people")]
    struct Person {
        #[batch(key)]
        id: i32,
        #[batch(unique)]
        name: String,
    }
    let db = database("").await;
    for (index, why) in [
        ("CREATE UNIQUE INDEX named ON people (name) WHERE id > 0", "index \"named\" is partial"),
        ("CREATE UNIQUE INDEX named ON people (lower(name))", "no unique index has exactly these columns"),
        ("CREATE UNIQUE INDEX named ON people (name, id)", "no unique index has exactly these columns"),
        ("CREATE INDEX named ON people (name)", "no unique index has exactly these columns"),
        ("ALTER TABLE people ADD CONSTRAINT named UNIQUE (name) DEFERRABLE", "constraint \"named\" is deferrable"),
    ] {
        db.run(&format!(
            "DROP TABLE IF EXISTS people; CREATE TABLE people (id int4 PRIMARY KEY, name text NOT NULL); {index}"
        ))
        .await;
        let operations = BatchOperations::<Person>::new(db.pool.clone());
        let rows = [Person { id: 1, name: "a".to_owned() }];
        let error = operations.batch_upsert(&rows).on(Person::FIELDS.name).await.unwrap_err();
        assert_eq!((error.kind(), error.report().unwrap().not_attempted()), (ErrorKind::Schema, 1), "{index}");
        assert!(error.mismatches()[0].contains(why), "{index}: {error}");
        assert!(error.sqlstate().is_none(), "{index}");
    }
}

/// A value is read back so exactly that writing it changes nothing, or it is a typed error; it never panics.
macro_rules! exact_or_refused {
    ($($test:ident: $ty:ty, $sql:literal, exact [$($exact:literal),*], refused [$($refused:literal),*];)*) => {$(
        #[tokio::test]
        async fn $test() {
            #[derive(Debug, Clone, BatchModel)]
            #[batch(table = "odd")]
            struct Odd {
                #[batch(key)]
                id: i32,
                value: Option<$ty>,
            }
            let db = database(concat!("CREATE TABLE odd (id int4 PRIMARY KEY, value ", $sql, ")")).await;
            let operations = BatchOperations::<Odd>::new(db.pool.clone());
            let exact: &[&str] = &[$($exact),*];
            for (value, is_exact) in exact.iter().map(|v| (*v, true)).chain([$(($refused, false)),*]) {
                db.run(&format!("TRUNCATE odd; INSERT INTO odd VALUES (1, '{value}')")).await;
                let read = operations.batch_get([1]).await;
                if !is_exact {
                    let error = read.unwrap_err();
                    assert_eq!((error.kind(), error.column()), (ErrorKind::Decode, Some("value")), "{value}");
                    assert_eq!(error.rows(), [0..1], "{value}");
                    // Also where it comes back from a write, which is done all the same.
                    db.run("CREATE OR REPLACE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS
                        'BEGIN NEW.value = OLD.value; RETURN NEW; END';
                        CREATE OR REPLACE TRIGGER odd BEFORE UPDATE ON odd FOR EACH ROW EXECUTE FUNCTION odd()").await;
                    let error = operations.batch_update([Odd { id: 1, value: None }]).returning().await.unwrap_err();
                    assert_eq!((error.kind(), error.report().unwrap().updated()), (ErrorKind::Decode, 1), "{value}");
                    assert!(error.to_string().contains("written before: 1 rows"), "{error}");
                    db.run("DROP TRIGGER odd ON odd").await;
                    continue;
                }
                let rows = read.unwrap();
                for transport in TRANSPORTS {
                    let update = operations.batch_update(&rows).if_changed().transport(transport);
                    assert_eq!(update.report().await.unwrap().unchanged(), 1, "{value} {transport:?} {rows:?}");
                }
            }
        }
    )*};
}

mod exact_or_refused {
    use super::*;

    exact_or_refused! {
        decimals: rust_decimal::Decimal, "numeric",
            exact ["0", "-0.00", "79228162514264337593543950335", "0.0000000000000000000000000001"],
            refused ["NaN", "infinity", "-infinity", "1e40"];
        chrono_dates: NaiveDate, "date",
            exact ["0001-01-01", "0044-03-15 BC", "4713-01-01 BC", "9999-12-31", "20000-01-01"],
            refused ["infinity", "-infinity", "5874897-12-31"];
        chrono_instants: DateTime<Utc>, "timestamptz",
            exact ["0044-03-15 12:00 BC", "4713-01-01 BC", "9999-12-31 23:59:59.999999+00", "1969-12-31 23:59:59.999999+00"],
            refused ["infinity", "-infinity", "294276-12-31"];
        chrono_stamps: NaiveDateTime, "timestamp",
            exact ["0044-03-15 12:00 BC", "9999-12-31 23:59:59.999999"], refused ["infinity", "-infinity", "294276-12-31"];
        chrono_times: NaiveTime, "time", exact ["00:00:00", "23:59:59.999999"], refused ["24:00:00"];
        time_dates: time::Date, "date",
            exact ["0044-03-15 BC", "9999-12-31"], refused ["infinity", "-infinity", "20000-01-01"];
        time_instants: time::OffsetDateTime, "timestamptz",
            exact ["0044-03-15 12:00 BC", "9999-12-31 23:59:59.999999+00"], refused ["infinity", "-infinity", "20000-01-01"];
        time_times: time::Time, "time", exact ["00:00:00", "23:59:59.999999"], refused ["24:00:00"];
        jiff_dates: jiff::civil::Date, "date",
            exact ["0044-03-15 BC", "9999-12-31"], refused ["infinity", "-infinity", "20000-01-01"];
        jiff_instants: jiff::Timestamp, "timestamptz",
            exact ["0044-03-15 12:00 BC", "9999-12-30 21:59:59.999999+00"], refused ["infinity", "-infinity", "20000-01-01"];
        jiff_times: jiff::civil::Time, "time", exact ["00:00:00", "23:59:59.999999"], refused ["24:00:00"];
    }
}

/// Nanoseconds are kept as the server keeps them, so a second run sees that nothing has changed.
#[tokio::test]
async fn nanoseconds_are_no_change() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "instants")]
    struct Instant {
        #[batch(key)]
        id: i32,
        chrono: DateTime<Utc>,
        stamp: NaiveDateTime,
        clock: NaiveTime,
        time: time::OffsetDateTime,
        primitive: time::PrimitiveDateTime,
        time_clock: time::Time,
        jiff: jiff::Timestamp,
        civil: jiff::civil::DateTime,
        jiff_clock: jiff::civil::Time,
        milli: DateTime<Utc>,
        second: DateTime<Utc>,
    }
    let db = database(
        "CREATE TABLE instants (id int4 PRIMARY KEY, chrono timestamptz NOT NULL, stamp timestamp NOT NULL,
            clock time NOT NULL, time timestamptz NOT NULL, primitive timestamp NOT NULL, time_clock time NOT NULL,
            jiff timestamptz NOT NULL, civil timestamp NOT NULL, jiff_clock time NOT NULL, milli timestamptz(3) NOT NULL,
            second timestamptz(0) NOT NULL)",
    )
    .await;
    let operations = BatchOperations::<Instant>::new(db.pool.clone());
    let row = |id: i32, nanoseconds: i64| {
        let chrono = at(nanoseconds);
        let jiff = jiff::Timestamp::from_nanosecond(nanoseconds.into()).unwrap();
        let time = time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.into()).unwrap();
        let civil = jiff.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        Instant {
            id,
            chrono,
            stamp: chrono.naive_utc(),
            clock: chrono.time(),
            time,
            primitive: time::PrimitiveDateTime::new(time.date(), time.time()),
            time_clock: time.time(),
            jiff,
            civil,
            jiff_clock: civil.time(),
            milli: chrono,
            second: chrono,
        }
    };
    // After and before 1970 and 2000, just below and above half a microsecond, and just before a second is full.
    let instants = [1, 499, 500, 501, 999, 1_500, 946_684_800_000_000_499, 946_684_800_000_000_500, 999_999_999_999];
    let all = instants.into_iter().flat_map(|nanoseconds| [nanoseconds, -nanoseconds]);
    let rows: Vec<Instant> = (0..).zip(all).map(|(id, nanoseconds)| row(id, nanoseconds)).collect();
    let versions = "SELECT string_agg(ctid || ' ' || xmin, ',' ORDER BY id) FROM instants";
    for transport in TRANSPORTS {
        db.run("TRUNCATE instants").await;
        let upsert = || operations.batch_upsert(&rows).if_changed().transport(transport);
        assert_eq!(upsert().await.unwrap().inserted, 18, "{transport:?}");
        let before = db.text(versions).await;
        assert_eq!(upsert().await.unwrap().unchanged, 18, "{transport:?}");
        let update = operations.batch_update(&rows).if_changed().transport(transport);
        assert_eq!(update.report().await.unwrap().unchanged(), 18, "{transport:?}");
        assert_eq!(db.text(versions).await, before, "{transport:?}: no stored row was touched");
    }
}

/// What the server works out is left to it, and comes back.
#[tokio::test]
async fn generated_columns_and_identities_are_left_to_the_server() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "boxes", new = "NewBox")]
    struct Box {
        #[batch(key, auto)]
        id: i64,
        #[batch(unique)]
        name: String,
        width: i32,
        #[batch(computed)]
        area: i32,
    }
    let db = database(
        "CREATE TABLE boxes (area int4 NOT NULL GENERATED ALWAYS AS (width * width) STORED, name text NOT NULL UNIQUE,
            width int4 NOT NULL, id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY)",
    )
    .await;
    let operations = BatchOperations::<Box>::new(db.pool.clone());
    let new = |n: i32| NewBox { name: format!("box {n}"), width: n };
    for transport in TRANSPORTS {
        db.run("TRUNCATE boxes RESTART IDENTITY").await;
        let expected = |n: i32, width| Box { id: i64::from(n), name: format!("box {n}"), width, area: width * width };
        let rows: Vec<NewBox> = (1..4).map(new).collect();
        let stored = operations.batch_insert(&rows).transport(transport).returning().await.unwrap();
        assert_eq!(stored, [1, 2, 3].map(|n| expected(n, n)), "{transport:?}");
        let wider: Vec<Box> = stored.iter().map(|row| Box { width: row.width + 1, area: -7, ..row.clone() }).collect();
        let updated = operations.batch_update(&wider).transport(transport).returning().await.unwrap();
        assert_eq!(updated, [1, 2, 3].map(|n| expected(n, n + 1)), "{transport:?}");
        let upserted = operations.batch_upsert(&rows).transport(transport).returning().await.unwrap();
        assert_eq!(upserted, [1, 2, 3].map(|n| expected(n, n)), "{transport:?}");
        // A key of the caller's own is taken as it is; COPY would do so silently, INSERT only when told.
        let own = [Box { id: 77, name: "own".to_owned(), width: 2, area: 0 }];
        assert_eq!(operations.batch_insert(&own).transport(transport).await.unwrap(), 1);
        assert_eq!(operations.batch_get([77i64]).await.unwrap(), [Box { area: 4, ..own[0].clone() }], "{transport:?}");
    }
}

/// COPY would pass a rule by: rows go as INSERT, and what the rule leaves out is not told as inserted.
#[tokio::test]
async fn rules_are_not_passed_by() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "ruled")]
    struct Ruled {
        #[batch(key)]
        id: i32,
        value: i32,
    }
    let db = database(
        "CREATE TABLE ruled (id int4 PRIMARY KEY, value int4 NOT NULL);
         CREATE RULE no_sevens AS ON INSERT TO ruled WHERE NEW.value = 7 DO INSTEAD NOTHING",
    )
    .await;
    let operations = BatchOperations::<Ruled>::new(db.pool.clone());
    let rows: Vec<Ruled> = (0..4).map(|id| Ruled { id, value: 5 + id }).collect();
    for transport in TRANSPORTS {
        db.run("TRUNCATE ruled").await;
        match operations.batch_insert(&rows).transport(transport).await {
            Ok(inserted) => assert_eq!(inserted, 3, "{transport:?}"),
            Err(error) => assert!(error.sqlstate().is_some(), "{transport:?}: {error}"),
        }
        assert_eq!(db.number("SELECT count(*) FROM ruled WHERE value = 7").await, 0, "{transport:?}");
    }
    assert_eq!(operations.batch_insert(&rows).explain().await.unwrap().transport, Transport::UnnestColumns);
    // Nor is one that is made when the table is known to have none.
    for transport in [Transport::Auto, Transport::Copy] {
        for inside in [false, true] {
            let context = format!("{transport:?}, within a transaction: {inside}");
            db.run("DROP TABLE ruled; CREATE TABLE ruled (id int4 PRIMARY KEY, value int4 NOT NULL)").await;
            let operations = BatchOperations::<Ruled>::new(db.pool.clone());
            let rows = |ids: std::ops::Range<i32>| ids.map(|id| Ruled { id, value: id % 10 });
            assert_eq!(operations.batch_insert(rows(0..300)).transport(transport).await.unwrap(), 300, "{context}");
            db.run("CREATE RULE no_sevens AS ON INSERT TO ruled WHERE NEW.value = 7 DO INSTEAD NOTHING").await;
            let mut client = db.pool.get().await.unwrap();
            let mut transaction = client.transaction().await.unwrap();
            let call = operations.batch_insert(rows(300..600)).transport(transport);
            let called = if inside { call.within(&mut transaction).await } else { call.await };
            transaction.commit().await.unwrap();
            let stored = db.number("SELECT count(*) FROM ruled WHERE id >= 300").await;
            assert_eq!(stored, if called.is_ok() { 270 } else { 0 }, "{context}: {called:?}");
            assert!(called.is_ok() || transport == Transport::Copy, "{context}: {called:?}");
        }
    }
}

/// 63 bytes are what a name can have; no name of batchkit's own is cut.
#[tokio::test]
async fn names_of_63_bytes_are_names() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(
        table = "t23456789_123456789_123456789_123456789_123456789_123456789_123",
        schema = "s23456789_123456789_123456789_123456789_123456789_123456789_123"
    )]
    struct Long {
        #[batch(key, rename = "k23456789_123456789_123456789_123456789_123456789_123456789_123")]
        id: i32,
        #[batch(unique, rename = "ü2345678_123456789_123456789_123456789_123456789_123456789_123")]
        name: String,
        #[batch(rename = "a23456789_123456789_123456789_123456789_123456789_123456789_123")]
        tags: Vec<String>,
    }
    let columns = Long::MODEL.columns;
    assert!(columns.iter().all(|column| column.name.len() == 63));
    let (schema, table) = (Long::MODEL.schema.unwrap(), Long::MODEL.table);
    let [key, name, tags] = [0, 1, 2].map(|at| columns[at].name);
    let db = database(&format!(
        "CREATE SCHEMA \"{schema}\"; CREATE TABLE \"{schema}\".\"{table}\" (\"{key}\" int4 PRIMARY KEY,
            \"{name}\" text NOT NULL UNIQUE, \"{tags}\" text[] NOT NULL)"
    ))
    .await;
    let operations = BatchOperations::<Long>::new(db.pool.clone());
    let rows: Vec<Long> = (0..3).map(|id| Long { id, name: format!("{id}"), tags: vec!["x".to_owned()] }).collect();
    for transport in TRANSPORTS {
        assert_eq!(operations.batch_insert(&rows).transport(transport).returning().await.unwrap(), rows);
        assert_eq!(operations.batch_update(&rows).transport(transport).returning().await.unwrap(), rows);
        assert_eq!(operations.batch_upsert(&rows).on("name").transport(transport).returning().await.unwrap(), rows);
        assert_eq!(operations.batch_get(0..3).transport(transport).await.unwrap(), rows);
        assert_eq!(operations.batch_delete(0..3).transport(transport).returning().await.unwrap(), rows);
    }
}

/// Rows by the chunk that they were written in: how many, and how many bytes of text.
async fn chunks(db: &Db) -> Vec<(i64, i64)> {
    let client = db.pool.get().await.unwrap();
    let sql = "SELECT count(*), sum(length(text)) FROM blobs GROUP BY xmin ORDER BY min(id)";
    client.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "blobs")]
struct Blob {
    #[batch(key)]
    id: i32,
    text: String,
}

const BLOBS: &str = "CREATE TABLE blobs (id int4 PRIMARY KEY, text text NOT NULL)";

/// Chunks grow as long as they mostly wait for a server that is far away: those by COPY, and those of wide rows that do
/// not go by it, which are smaller at first.
#[tokio::test]
async fn chunks_are_larger_far_away() {
    const MIB: i64 = 1 << 20;
    let db = database(BLOBS).await;
    let proxy = Proxy::new(db.server_folder());
    let harm = Harm::Delay(Duration::from_millis(125));
    proxy.set([Trap { way: Way::ToServer, at: 0, harm }]);
    let operations = BatchOperations::<Blob>::new(pool_through(&db, proxy.folder(), 1));
    let rows: Vec<Blob> = (0..6_000).map(|id| Blob { id, text: "x".repeat(10_000) }).collect();
    for strategy in [ExecutionStrategy::Chunked, ExecutionStrategy::Pipelined] {
        for (upsert, first, most) in [(false, 6 * MIB, 12 * MIB), (true, 2 * MIB, 15 * MIB / 4)] {
            let context = format!("{strategy:?} upsert: {upsert}");
            db.run("TRUNCATE blobs").await;
            if upsert {
                assert_eq!(operations.batch_upsert(&rows).strategy(strategy).await.unwrap().inserted, 6_000);
            } else {
                assert_eq!(operations.batch_insert(&rows).strategy(strategy).await.unwrap(), 6_000);
            }
            let chunks = chunks(&db).await;
            assert_eq!(chunks.iter().map(|(rows, _)| rows).sum::<i64>(), 6_000, "{context}");
            assert!(chunks[0].1 <= first + 10_000, "{context}: {chunks:?}");
            assert!(i64::try_from(chunks.len()).unwrap() < 6_000 * 10_000 / first, "{context}: {chunks:?}");
            assert!(chunks.iter().any(|(_, bytes)| *bytes > most - 30_000), "{context}: {chunks:?}");
            assert!(chunks.iter().all(|(_, bytes)| *bytes <= most + 10_000), "{context}: {chunks:?}");
        }
    }
}

/// Rows so wide that no chunk has enough of them for COPY go by arrays, and an array that has more than 4 MiB is slow.
#[tokio::test]
async fn chunks_of_rows_that_are_too_wide_for_copy_are_small() {
    const MIB: usize = 1 << 20;
    #[derive(Debug, Clone, Copy)]
    enum Manner {
        Insert,
        InsertReturning,
        /// With rows left out, so that those of a chunk do not lie behind each other.
        UpsertFirst,
    }
    use Manner::{Insert, InsertReturning, UpsertFirst};
    let db = database(BLOBS).await;
    let operations = BatchOperations::<Blob>::new(db.pool.clone());
    // The width of the rows, what is done with them, and what the first chunk of them fills.
    let cases = [
        (10_000, Insert, 6 * MIB),
        (40_000, Insert, 2 * MIB),
        (1_000, InsertReturning, 6 * MIB),
        (10_000, InsertReturning, 2 * MIB),
        (10_000, UpsertFirst, 2 * MIB),
    ];
    for strategy in [ExecutionStrategy::Chunked, ExecutionStrategy::Pipelined] {
        for (width, manner, filled) in cases {
            let context = format!("{strategy:?} {width} {manner:?}");
            db.run("TRUNCATE blobs").await;
            let count = i32::try_from(8 * MIB / width).unwrap();
            let mut rows: Vec<Blob> = (0..count).map(|id| Blob { id, text: "x".repeat(width) }).collect();
            match manner {
                Insert => {
                    let inserted = operations.batch_insert(&rows).strategy(strategy).await.unwrap();
                    assert_eq!(inserted, u64::try_from(rows.len()).unwrap(), "{context}");
                }
                InsertReturning => {
                    let returned = operations.batch_insert(&rows).strategy(strategy).returning().await.unwrap();
                    assert_eq!(returned, rows, "{context}");
                }
                UpsertFirst => {
                    rows.insert(1, rows[0].clone());
                    let upsert = operations.batch_upsert(&rows).strategy(strategy);
                    let upserted = upsert.duplicates(DuplicatePolicy::FirstWins).await.unwrap();
                    assert_eq!(upserted.inserted, u64::try_from(rows.len()).unwrap() - 1, "{context}");
                }
            }
            let chunks = chunks(&db).await;
            let bytes: Vec<usize> = chunks.iter().map(|(_, bytes)| usize::try_from(*bytes).unwrap()).collect();
            assert!((filled - filled / 10..=filled + width).contains(&bytes[0]), "{context}: {chunks:?}");
            // On a machine that is busy the server may seem to be far away.
            let most = if filled == 2 * MIB { 15 * MIB / 4 } else { 2 * filled };
            assert!(bytes.iter().all(|&bytes| bytes <= most + width), "{context}: {chunks:?}");
        }
    }
}

/// How rows are encoded follows the transport of chunks of their width; what is written are the same rows.
#[tokio::test]
async fn rows_of_any_width_are_written_whole() {
    #[derive(Debug, Clone, PartialEq, BatchModel)]
    #[batch(table = "tagged")]
    struct Tagged {
        #[batch(key)]
        id: i64,
        // An array has no place in an array of its column: it goes in whole rows.
        tags: Vec<i32>,
        text: Option<String>,
    }
    let db = database("CREATE TABLE tagged (id int8 PRIMARY KEY, tags int4[] NOT NULL, text text)").await;
    for (strategy, width, count) in [
        (ExecutionStrategy::Chunked, 10, 30_000),
        (ExecutionStrategy::Chunked, 400, 30_000),
        (ExecutionStrategy::Pipelined, 400, 30_000),
        (ExecutionStrategy::Parallel, 400, 30_000),
        (ExecutionStrategy::Chunked, 20_000, 800),
        (ExecutionStrategy::Pipelined, 20_000, 800),
    ] {
        let context = format!("{strategy:?} {width}");
        let operations = BatchOperations::<Tagged>::new(db.pool.clone());
        // Some are narrow, and some have no text.
        let text = move |id: i64| match id % 7 {
            0 => None,
            1 => Some(String::new()),
            _ => Some(id.to_string().repeat(width / 4)),
        };
        let row = move |id: i64| Tagged { id, tags: vec![i32::try_from(id).unwrap(); 2], text: text(id) };
        let rows: Vec<Tagged> = (0..count).map(row).collect();
        let made = || stream::iter((0..count).map(move |id| Ok::<_, Infallible>(row(id))));
        let process = move |id: i64| Ok::<_, String>(Some(row(id)));
        let processing = BatchOperations::<Tagged>::new(db.pool.clone()).pre_process(process);
        for way in ["inserted", "returned", "upserted", "streamed", "processed"] {
            db.run("TRUNCATE tagged").await;
            match way {
                "inserted" => _ = operations.batch_insert(&rows).strategy(strategy).await.unwrap(),
                "returned" => {
                    let returned = operations.batch_insert(&rows).returning().strategy(strategy).await.unwrap();
                    assert!(returned == rows, "{context} {way}");
                }
                "upserted" => _ = operations.batch_upsert(&rows).strategy(strategy).await.unwrap(),
                "streamed" => _ = operations.batch_upsert_stream(made()).strategy(strategy).await.unwrap(),
                _ => _ = processing.batch_upsert(0..count).strategy(strategy).await.unwrap(),
            }
            let mut stored = operations.list(Filter::all()).await.unwrap();
            stored.sort_by_key(|row| row.id);
            assert!(stored == rows, "{context} {way}");
        }
    }
}

/// Chunks are cut by the bytes that their rows have, whatever their number.
#[tokio::test]
async fn the_byte_budget_cuts_chunks() {
    let db = database(BLOBS).await;
    // A small row beside each large one: what counts is what was really encoded.
    let rows: Vec<Blob> =
        (0..2_000).map(|id| Blob { id, text: "x".repeat(if id % 2 == 0 { 10_000 } else { 10 }) }).collect();
    type Settings = fn(&mut BatchConfig);
    let settings: [Settings; 3] = [
        |config| config.batch_size = BatchSize::Auto,
        |config| config.batch_size = BatchSize::Rows(1_000_000),
        |config| (config.batch_size, config.optimize_for_size) = (BatchSize::Small, true),
    ];
    for set in settings {
        for strategy in [ExecutionStrategy::Chunked, ExecutionStrategy::Parallel, ExecutionStrategy::Pipelined] {
            for upsert in [false, true] {
                let mut config = BatchConfig { execution_strategy: strategy, ..BatchConfig::default() };
                set(&mut config);
                // Where nobody says how large they are to be, chunks of wide rows that do not go by COPY are small.
                let is_chosen = config.batch_size == BatchSize::Auto || config.optimize_for_size;
                let (budget, expected) = match (is_chosen, upsert, strategy) {
                    // Fewer where the server answers late, be it because of other tests.
                    (true, true, _) => (2 << 20, 3..=5),
                    (true, false, ExecutionStrategy::Chunked | ExecutionStrategy::Pipelined) => (6 << 20, 2..=2),
                    _ => (8 << 20, 2..=2),
                };
                let context = format!("{config:?} upsert: {upsert}");
                let operations = BatchOperations::<Blob>::builder(db.pool.clone()).config(config).build().unwrap();
                db.run("TRUNCATE blobs").await;
                if upsert {
                    assert_eq!(operations.batch_upsert(&rows).await.unwrap().inserted, 2_000, "{context}");
                } else {
                    assert_eq!(operations.batch_insert(&rows).await.unwrap(), 2_000, "{context}");
                }
                let chunks = chunks(&db).await;
                assert_eq!(chunks.iter().map(|(rows, _)| rows).sum::<i64>(), 2_000, "{context}");
                assert!(expected.contains(&chunks.len()), "{context}: {chunks:?}");
                // A chunk ends with the row that fills it, and no sooner.
                // COPY's rows have their number of fields in front; columns that lie beside each other have nothing.
                let frame = if upsert { 0 } else { 2 };
                let encoded = |(rows, bytes): (i64, i64)| bytes + rows * (frame + 4 + 4 + 4);
                assert!(encoded(chunks[0]) <= budget + 10_030, "{context}: {chunks:?}");
                assert!(encoded(chunks[0]) >= budget - 10_060, "{context}: {chunks:?}");
            }
        }
    }
    // Fewer rows than the bytes allow are as many as were asked for.
    let operations = BatchOperations::<Blob>::new(db.pool.clone());
    db.run("TRUNCATE blobs").await;
    operations.batch_insert(&rows[..1_000]).batch_size(BatchSize::Medium).await.unwrap();
    assert_eq!(chunks(&db).await.iter().map(|(rows, _)| *rows).collect::<Vec<_>>(), [500, 500]);
    // Optimistic begins with all of them, and falls back to the budget.
    db.run("TRUNCATE blobs").await;
    let mut bad = rows.clone();
    bad[1_999].id = 0;
    let call = operations.batch_insert(&bad).strategy(ExecutionStrategy::Optimistic).batch_size(1_000_000);
    assert_eq!(call.await.unwrap_err().kind(), ErrorKind::UniqueViolation);
    let saved = chunks(&db).await;
    assert_eq!(saved.len(), 1, "{saved:?}");
    assert!((1_600..1_700).contains(&saved[0].0), "{saved:?}");
}

/// Rows of 10 MB, several of them, each larger than the budget of a chunk.
#[tokio::test]
async fn rows_of_ten_megabytes_are_rows() {
    let db = database(BLOBS).await;
    let operations = BatchOperations::<Blob>::new(db.pool.clone());
    let blob = |id: i32, letter: &str| Blob { id, text: letter.repeat(10 << 20) };
    let sum = |letter: &str| {
        let sql = format!("SELECT sum(length(replace(text, '{letter}', '')))::int8 * 1000 + count(*) FROM blobs");
        let db = &db;
        async move { db.number(&sql).await }
    };
    let (first, second): (Vec<Blob>, Vec<Blob>) = (0..4).map(|id| (blob(id, "a"), blob(id, "b"))).unzip();
    for transport in TRANSPORTS {
        db.run("TRUNCATE blobs").await;
        assert_eq!(operations.batch_insert(&first).batch_size(1_000).transport(transport).await.unwrap(), 4);
        assert_eq!(chunks(&db).await, [(1, 10 << 20); 4], "{transport:?}");
        assert_eq!(sum("a").await, 4, "{transport:?}");
        // All in one transaction, too.
        let update = operations.batch_update(&second).strategy(ExecutionStrategy::SingleQuery);
        assert_eq!(update.transport(transport).await.unwrap(), 4, "{transport:?}");
        assert_eq!(sum("b").await, 4, "{transport:?}");
        assert_eq!(chunks(&db).await.len(), 1, "{transport:?}");
        assert_eq!(operations.batch_get([3, 0]).transport(transport).await.unwrap().len(), 2);
    }
    // One row is a batch.
    for transport in TRANSPORTS {
        db.run("TRUNCATE blobs").await;
        let one = [Blob { id: 1, text: "x".to_owned() }];
        assert_eq!(operations.batch_insert(&one).transport(transport).await.unwrap(), 1);
        assert_eq!(operations.batch_upsert(&one).transport(transport).await.unwrap().updated, 1);
        assert_eq!(operations.batch_delete([1]).transport(transport).returning().await.unwrap(), one);
    }
}
