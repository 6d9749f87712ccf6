//! Tables that lie on other servers: these commit before this one does.

use batchkit::{BatchModel, BatchOperations, ErrorKind, Outcome, Transport};

use crate::common::database;

#[derive(Debug, Clone, BatchModel)]
#[batch(table = "spread")]
struct Spread {
    id: i64,
    part: i32,
}

/// Of two partitions on other servers one commits and the other does not: the rows are not sent again, and nobody is told
/// that they are not in.
#[tokio::test]
async fn what_another_server_may_have_committed_is_not_repeated() {
    let db = database("").await;
    if db.number("SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'").await == 0 {
        eprintln!("SKIPPED: this server has no postgres_fdw");
        return;
    }
    let folder = db.server_folder().display().to_string();
    let names = [db.text("SELECT current_database()").await, db.text("SELECT current_user").await];
    let server = |name: &str| {
        let [database, user] = &names;
        format!(
            "CREATE SERVER {name} FOREIGN DATA WRAPPER postgres_fdw \
                OPTIONS (host '{folder}', port '5432', dbname '{database}');
             CREATE USER MAPPING FOR CURRENT_USER SERVER {name} OPTIONS (user '{user}', password_required 'false');"
        )
    };
    db.run(&format!(
        "CREATE EXTENSION postgres_fdw; {} {}
         CREATE SEQUENCE tries;
         CREATE TABLE one (id int8 NOT NULL, part int4 NOT NULL);
         CREATE TABLE two (LIKE one);
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF nextval(''public.tries'') = 1 THEN RAISE EXCEPTION ''refused'' USING ERRCODE = ''40001''; END IF;
             RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON two DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION refuse();
         CREATE TABLE spread (id int8 NOT NULL, part int4 NOT NULL) PARTITION BY LIST (part);
         CREATE FOREIGN TABLE spread_1 PARTITION OF spread FOR VALUES IN (0) SERVER here OPTIONS (table_name 'one');
         CREATE FOREIGN TABLE spread_2 PARTITION OF spread FOR VALUES IN (1) SERVER there OPTIONS (table_name 'two')",
        server("here"),
        server("there")
    ))
    .await;
    let operations = BatchOperations::<Spread>::new(db.pool.clone());
    let rows = |from: i64| (from..from + 300).map(|id| Spread { id, part: i32::try_from(id % 2).unwrap() });
    for transport in [Transport::Auto, Transport::UnnestRows] {
        db.run("TRUNCATE one, two; ALTER SEQUENCE tries RESTART").await;
        let error = operations.batch_insert(rows(0)).transport(transport).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.sqlstate().map(|state| state.code())),
            (ErrorKind::CommitUnknown, Some("40001"))
        );
        assert_eq!(error.report().unwrap().counts().of(Outcome::Unknown), 300, "{error}");
        assert!(db.number("SELECT count(*) FROM one").await <= 150, "{transport:?}");
        assert_eq!(db.number("SELECT count(*) FROM two").await, 0, "{transport:?}");
        // What they do not refuse is in once.
        assert_eq!(operations.batch_insert(rows(1_000)).transport(transport).await.unwrap(), 300, "{transport:?}");
        assert_eq!(db.number("SELECT count(*) FROM spread WHERE id >= 1000").await, 300, "{transport:?}");
    }
}
