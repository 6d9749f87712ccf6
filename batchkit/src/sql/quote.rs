//! Quoting of identifiers.

use crate::model::Model;

/// A name as an SQL identifier. Any name without NUL makes exactly that name; the server refuses NUL.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The model's table as SQL: `"schema"."table"` or `"table"`.
pub(crate) fn table_name(model: &Model) -> String {
    match model.schema {
        Some(schema) => format!("{}.{}", quote(schema), quote(model.table)),
        None => quote(model.table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quote(r#"a"b; DROP TABLE "c"#), r#""a""b; DROP TABLE ""c""#);
    }
}
