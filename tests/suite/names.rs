//! Any string that is a name to the server is that very name here: as table, schema and column, by every transport.
//! (What is none, empty, with a NUL or longer than 63 bytes, does not compile: `tests/compile_fail/names`.)

use batchkit::{BatchModel, BatchOperations, Filter, OnRowError, Outcome};

use crate::common::{TRANSPORTS, database};

/// A test of each name. The server quotes it for the table, so that both have to come to the same one.
macro_rules! names {
    ($($test:ident: $name:literal;)*) => {$(
        #[tokio::test]
        async fn $test() {
            #[derive(Debug, Clone, PartialEq, BatchModel)]
            #[batch(table = $name, schema = $name)]
            struct Named {
                #[batch(key, rename = $name)]
                key: i32,
                #[batch(unique)]
                other: i32,
            }
            let db = database("CREATE TABLE other (key int4)").await;
            let client = db.pool.get().await.unwrap();
            let sql = "SELECT format('CREATE SCHEMA %1$I; \
                CREATE TABLE %1$I.\"referenced\" (%1$I int4 PRIMARY KEY); INSERT INTO %1$I.\"referenced\" VALUES (1), (4); \
                CREATE TABLE %1$I.%1$I (%1$I int4 PRIMARY KEY CONSTRAINT %1$I CHECK (%1$I < 1000), other int4 NOT NULL UNIQUE, \
                CONSTRAINT known FOREIGN KEY (other) REFERENCES %1$I.\"referenced\" (%1$I))', $1::text)";
                        let sql: String = client.query_one(sql, &[&$name]).await.unwrap().get(0);
            client.batch_execute(&sql).await.unwrap();
            let operations = BatchOperations::<Named>::new(db.pool.clone());
            let table = operations.describe().await.unwrap();
            assert_eq!((table.name.as_str(), table.schema.as_str(), table.columns[0].name.as_str()), ($name, $name, $name));
            for transport in TRANSPORTS {
                let rows = [Named { key: 1, other: 1 }, Named { key: 2, other: 1 }, Named { key: 3, other: 2 }, Named { key: 2_000, other: 4 }];
                let call = operations.batch_insert(&rows).transport(transport).on_row_error(OnRowError::Reject);
                let report = call.report().await.unwrap();
                let expected = [Outcome::Inserted, Outcome::Rejected, Outcome::Rejected, Outcome::Rejected];
                assert_eq!(report.outcomes().unwrap(), expected, "{transport:?} {:?}", report.rejects());
                assert_eq!(report.rejects()[2].constraint.as_deref(), Some($name), "{transport:?}");
                let one = &rows[..1];
                assert_eq!(operations.batch_insert(one).ignore_conflicts().transport(transport).await.unwrap(), 0, "{transport:?}");
                assert_eq!(operations.batch_upsert(one).transport(transport).await.unwrap().updated, 1, "{transport:?}");
                assert_eq!(operations.batch_update(one).transport(transport).returning().await.unwrap(), one, "{transport:?}");
                assert_eq!(operations.batch_get([1]).transport(transport).await.unwrap(), one, "{transport:?}");
                let filter = Filter::all() & Named::FIELDS.key.eq(1);
                assert_eq!(operations.list(filter).await.unwrap(), one, "{transport:?}");
                assert_eq!(operations.batch_delete([1]).transport(transport).await.unwrap(), 1, "{transport:?}");
            }
        }
    )*};
}

names! {
    an_ordinary_name: "ordinary";
    a_keyword: "select";
    capitals_and_spaces: " Capital Letters ";
    quotes: "\"";
    quotes_and_apostrophes: "a\"\"b'c''\"";
    an_injection: "x\"; DROP TABLE other; --";
    a_comment: "/* x */ -- y";
    dollars_and_parameters: "$1$$ $tag$ %I %s ?";
    braces_and_commas: "{a,b}(c)[d]";
    backslashes: "\\ \\u0041 E'\\n'";
    control_characters: "\u{1}\t\r\n\u{8}\u{7f}\u{1b}[31m";
    unicode: "ünïcode 名前 \u{1f426} \u{202e}rtl\u{200b}";
    unicode_that_is_not_normal: "e\u{301}\u{fe0f}\u{feff}";
    sixty_three_bytes: "123456789 123456789 123456789 123456789 123456789 123456789 123";
    our_own_alias: "o";
    our_own_column: "c0";
    our_own_source: "s";
    our_own_target: "t";
    our_own_stage: "batchkit_stage";
    our_own_ordinal: "batchkit ordinal";
}
