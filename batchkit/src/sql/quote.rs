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

/// A text as an SQL literal, whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a quoted identifier as the server does; what is left behind it.
    fn unquote(sql: &str) -> Option<(String, &str)> {
        let mut name = String::new();
        let mut rest = sql.strip_prefix('"')?;
        loop {
            let (part, behind) = rest.split_once('"')?;
            name.push_str(part);
            match behind.strip_prefix('"') {
                Some(more) => {
                    name.push('"');
                    rest = more;
                }
                None => return Some((name, behind)),
            }
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read_as_just_that_name(name in r#"(\PC|["'\\\x01-\x1f;.$-]){1,70}"#) {
            let quoted = quote(&name);
            prop_assert_eq!(unquote(&quoted), Some((name, "")));
        }
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quote(r#"a"b; DROP TABLE "c"#), r#""a""b; DROP TABLE ""c""#);
    }
}
