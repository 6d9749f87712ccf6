//! Why a value could not be encoded or decoded. Never holds the value.

use std::fmt;

/// Why a value has no form in its column: that row's rejection, before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A text with a NUL character, which no PostgreSQL text can hold.
    NulInText,
    /// A JSON document with `\u0000`, which `jsonb` cannot hold.
    NulInJson,
    /// A value outside of the range of the type it is stored as.
    OutOfRange,
    /// The type's own `ToSql` refused the value.
    Refused,
    /// serde could not serialise the value to JSON.
    Json,
    /// NULL in a key that decides whether the row is new: it would be new at every run.
    NullKey,
    /// A row of more bytes than a message can carry: 1 GB, less what goes along with it.
    TooLarge,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::NulInText => "the text holds a NUL character, which PostgreSQL cannot store",
            Fault::NulInJson => "the document holds \\u0000, which jsonb cannot store",
            Fault::OutOfRange => "the value is out of the range of the type it is stored as",
            Fault::Refused => "the value has no form in the column's type",
            Fault::Json => "the value cannot be serialised to JSON",
            Fault::NullKey => "NULL in the key that decides whether the row is new: it would be inserted at every run",
            Fault::TooLarge => "with this value the row is larger than a message to the server can be (1 GB)",
        })
    }
}

/// Why a stored value could not be read into its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadFault {
    /// The position of the column among those read.
    pub column: usize,
    /// What was wrong.
    pub reason: ReadReason,
}

/// What was wrong with a stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadReason {
    /// NULL, into a field that is no `Option`.
    Null,
    /// A value that the field's type cannot hold: an infinite date, NaN in a decimal, an unknown variant.
    Unrepresentable,
    /// Bytes that end early: the server sent another row than was asked for.
    Truncated,
}

impl fmt::Display for ReadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReadReason::Null => "it is NULL, and the field is not an Option",
            ReadReason::Unrepresentable => "the field's type cannot hold the stored value",
            ReadReason::Truncated => "the row has fewer columns than the model",
        })
    }
}
