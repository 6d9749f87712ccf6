//! The one query that describes a table, answered as a JSON document.

use postgres_types::Type;

use super::table::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::session::Session;
use crate::sql::table_name;

/// `$1` is the table's quoted name. No row means no such table. `to_jsonb(i) ->> …` asks for a column that
/// older servers do not have.
const DESCRIBE: &str = r#"
SELECT jsonb_build_object(
  'database', current_database(),
  'schema', n.nspname,
  'name', c.relname,
  'kind', c.relkind,
  'row_type', c.reltype::int8,
  'rows', nullif(greatest(c.reltuples, -1), -1)::int8,
  'row_security', row_security_active(c.oid),
  'rules', c.relhasrules AND c.relkind <> 'v',
  'is_foreign', c.relkind = 'f' OR EXISTS (
    WITH RECURSIVE below AS (
        SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = c.oid
        UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.inhrelid)
    SELECT FROM below b JOIN pg_class f ON f.oid = b.inhrelid WHERE f.relkind = 'f'),
  'rights', jsonb_build_object(
    'select', has_table_privilege(c.oid, 'SELECT'), 'insert', has_table_privilege(c.oid, 'INSERT'),
    'update', has_table_privilege(c.oid, 'UPDATE'), 'delete', has_table_privilege(c.oid, 'DELETE'),
    'temp', has_database_privilege(current_database(), 'TEMP')),
  'columns', coalesce((
    SELECT jsonb_agg(jsonb_build_object(
        'name', a.attname,
        'type_oid', a.atttypid::int8,
        'type_sql', format_type(a.atttypid, CASE WHEN e.base IN ('varchar'::regtype, 'bpchar'::regtype, 'bit'::regtype, 'varbit'::regtype)
                                                 THEN -1 ELSE a.atttypmod END),
        'bare_type_sql', format_type(a.atttypid, -1),
        'not_null', a.attnotnull,
        'refuses_null', (WITH RECURSIVE below AS (
            SELECT t.oid, t.typbasetype, t.typnotnull
            UNION ALL SELECT b.oid, b.typbasetype, b.typnotnull FROM pg_type b JOIN below ON b.oid = below.typbasetype)
            SELECT bool_or(typnotnull) FROM below),
        'taken_apart', t.typcategory = 'C' OR (t.typcategory = 'A' AND t.typtype = 'b' AND t.typlen = -1),
        'modified', a.atttypmod <> -1 OR t.typtypmod <> -1,
        'identity', nullif(a.attidentity, ''),
        'generated', a.attgenerated <> '',
        'default', CASE WHEN a.attgenerated <> '' THEN NULL
                        WHEN s.seq IS NOT NULL AND a.attidentity <> '' THEN format('nextval(%L::regclass)', s.seq)
                        ELSE coalesce(pg_get_expr(d.adbin, d.adrelid), t.typdefault) END,
        'default_allowed', s.seq IS NULL OR has_sequence_privilege(s.seq, 'USAGE, UPDATE'),
        'collation', CASE WHEN a.attcollation <> t.typcollation
                          THEN (SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_collation co
                                JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END,
        'deterministic', getdatabaseencoding() IN ('UTF8', 'SQL_ASCII')
                         AND coalesce((SELECT co.collisdeterministic FROM pg_collation co WHERE co.oid = a.attcollation), true)
      ) ORDER BY a.attnum)
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    CROSS JOIN LATERAL (SELECT CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem ELSE t.oid END AS base) e
    CROSS JOIN LATERAL (SELECT CASE WHEN c.relkind IN ('r', 'p', 'f')
                                    THEN pg_get_serial_sequence(c.oid::regclass::text, a.attname) END AS seq) s
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
  'keys', coalesce((
    SELECT jsonb_agg(jsonb_build_object(
        'name', ic.relname,
        'columns', (SELECT jsonb_agg((SELECT k.attname FROM pg_attribute k WHERE k.attrelid = c.oid AND k.attnum = p.attnum AND p.attnum > 0) ORDER BY p.pos)
                    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS p(attnum, pos) WHERE p.pos <= i.indnkeyatts),
        'primary', i.indisprimary,
        'predicate', pg_get_expr(i.indpred, i.indrelid),
        'deferrable', NOT i.indimmediate,
        'valid', i.indisvalid AND i.indisready,
        'nulls_not_distinct', coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false)
      ) ORDER BY i.indisprimary DESC, ic.relname)
    FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
    WHERE i.indrelid = c.oid AND i.indisunique), '[]'),
  'checks', coalesce((
    SELECT jsonb_agg(jsonb_build_object('name', k.conname, 'expression', pg_get_expr(k.conbin, k.conrelid)) ORDER BY k.conname)
    FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'), '[]'),
  'foreign_keys', coalesce((
    SELECT jsonb_agg(jsonb_build_object(
        'name', k.conname,
        'columns', (SELECT jsonb_agg(f.attname ORDER BY p.pos) FROM unnest(k.conkey) WITH ORDINALITY AS p(attnum, pos)
                    JOIN pg_attribute f ON f.attrelid = k.conrelid AND f.attnum = p.attnum),
        'references', (SELECT format('%I.%I', rn.nspname, rc.relname) FROM pg_class rc
                       JOIN pg_namespace rn ON rn.oid = rc.relnamespace WHERE rc.oid = k.confrelid),
        'referenced_columns', (SELECT jsonb_agg(f.attname ORDER BY p.pos) FROM unnest(k.confkey) WITH ORDINALITY AS p(attnum, pos)
                    JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = p.attnum),
        'deferrable', k.condeferrable,
        'to_itself', k.confrelid = k.conrelid,
        'visible', NOT row_security_active(k.confrelid) AND has_table_privilege(k.confrelid, 'SELECT')
      ) ORDER BY k.conname)
    FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f'), '[]'),
  'triggers', coalesce((
    SELECT jsonb_agg(jsonb_build_object(
        'name', g.tgname, 'row', g.tgtype::int4 & 1 <> 0, 'before', g.tgtype::int4 & 2 <> 0,
        'insert', g.tgtype::int4 & 4 <> 0, 'delete', g.tgtype::int4 & 8 <> 0, 'update', g.tgtype::int4 & 16 <> 0) ORDER BY g.tgname)
    FROM pg_trigger g WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND (g.tgrelid = c.oid
        -- What partitions have of the table's own triggers are copies.
        OR c.relkind = 'p' AND coalesce((to_jsonb(g) ->> 'tgparentid')::oid, 0) = 0 AND g.tgrelid IN (
            WITH RECURSIVE below AS (
                SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = c.oid
                UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.inhrelid)
            SELECT inhrelid FROM below))), '[]')
)::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1)
"#;

/// Asks the server about the table of `model`.
pub(super) async fn load(model: &Model, session: &mut Session<'_>) -> Result<Table> {
    let name = model.display_name();
    let document = session
        .text(DESCRIBE, &table_name(model))
        .await?
        .ok_or_else(|| Error::schema(&name, vec!["there is no such table".to_owned()]))?;
    let mut table: Table = serde_json::from_str(&document)
        .map_err(|error| Error::new(ErrorKind::Schema, format!("the catalogue's answer has another form: {error}")))?;
    for column in &mut table.columns {
        if let Some(ty) = Type::from_oid(column.type_oid) {
            column.ty = ty;
        }
    }
    // Types that the driver does not know by heart are looked up by preparing a statement that names them.
    let custom: Vec<usize> =
        (0..table.columns.len()).filter(|&c| Type::from_oid(table.columns[c].type_oid).is_none()).collect();
    if !custom.is_empty() {
        let casts = custom.iter().enumerate().map(|(n, &c)| format!("${}::{}", n + 1, table.columns[c].type_sql));
        let types = session.parameter_types(&format!("SELECT {}", casts.collect::<Vec<_>>().join(", "))).await?;
        for (&column, ty) in custom.iter().zip(types) {
            table.columns[column].ty = ty;
        }
    }
    Ok(table)
}
