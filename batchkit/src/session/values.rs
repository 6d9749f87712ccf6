//! The values of a statement's parameters, and what is logged of them: nothing.

use bytes::{BufMut, Bytes, BytesMut};
use deadpool_postgres::Object;
use postgres_types::{Format, IsNull, ToSql, Type};
use tokio_postgres::Statement;

use super::client::prepare_cached;
use crate::error::Result;
use crate::wire::Array;

/// A statement that reads, and how its values are encoded once the server has told their types.
pub(crate) struct Question<'a> {
    /// The statement.
    pub(crate) sql: &'a str,
    /// The types of its parameters, as far as they are known; `UNKNOWN` is what the server infers.
    pub(crate) types: &'a [Type],
    /// The values in the binary form of these types; `None` is NULL.
    pub(crate) encode: &'a (dyn Fn(&[Type]) -> Result<Values> + Sync),
}

impl std::fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("sql", &self.sql).finish_non_exhaustive()
    }
}

impl Question<'_> {
    /// Its statement on this connection.
    pub(super) async fn prepare(&self, client: &Object) -> Result<Statement> {
        prepare_cached(client, self.sql, self.types).await
    }
}

/// The values of a statement's parameters; `None` is NULL.
pub(crate) type Values = Vec<Option<Encoded>>;

/// Bytes that are a parameter's binary form already.
#[derive(Clone)]
pub(crate) enum Encoded {
    /// All of them.
    Value(Bytes),
    /// Those of an array, and how many bytes the parameters behind it have.
    Array(Array, usize),
}

impl Encoded {
    /// These arrays, one parameter each.
    pub(super) fn arrays(arrays: Vec<Array>) -> Vec<Encoded> {
        let mut behind = 0;
        let mut parameters: Vec<Encoded> = arrays
            .into_iter()
            .rev()
            .map(|array| {
                let parameter = Encoded::Array(array, behind);
                behind += parameter.len();
                parameter
            })
            .collect();
        parameters.reverse();
        parameters
    }

    fn len(&self) -> usize {
        match self {
            Encoded::Value(bytes) => bytes.len(),
            Encoded::Array(Array { head, elements }, _) => head.len() + elements.len(),
        }
    }
}

/// More bytes than a message has behind its parameters, with the short messages that follow it.
const MESSAGE_END: usize = 1 << 10;

impl ToSql for Encoded {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Encoded::Value(bytes) => out.put_slice(bytes),
            Encoded::Array(Array { head, elements }, behind) => {
                // Else the buffer would grow, and be copied, with each of them and with what ends the message.
                out.reserve(head.len() + elements.len() + behind + MESSAGE_END);
                out.put_slice(head);
                out.put_slice(elements);
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres_types::to_sql_checked!();
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoded({} bytes)", self.len())
    }
}

/// A parameter whose `Debug`, which the driver logs, prints no value.
pub(super) struct Unprinted<'a>(pub(super) &'a (dyn ToSql + Sync));

impl ToSql for Unprinted<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.to_sql_checked(ty, out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, ty: &Type) -> Format {
        self.0.encode_format(ty)
    }

    postgres_types::to_sql_checked!();
}

impl std::fmt::Debug for Unprinted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}
