//! A place in an order as a string, to be handed out and taken back.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut, BytesMut};
use postgres_types::Type;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::OrderColumn;
use crate::error::{Error, ErrorKind, Result};
use crate::model::BatchModel;
use crate::wire::{RawFields, put_field};

/// A place in an order of rows: what [`List::page`](crate::List::page) gives to read on from.
///
/// It is written as a string of letters, digits, `-` and `_` (`Display`, `FromStr`, serde). That holds the values
/// that one row has in the columns of the order, neither encrypted nor signed: who changes it reads from another
/// place under the same filter, or gets an error of the server. It fits only the order that it was made for, in which columns,
/// directions, the place of NULLs and the columns' types count, and the filter does not; any other use is
/// [`ErrorKind::InvalidCursor`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    order: u64,
    values: Vec<Option<Vec<u8>>>,
}

/// The first byte of a cursor of this form.
const FORM: u8 = 1;

impl Cursor {
    /// The place with these values in the columns of `order`, which have these types. For those who evaluate an
    /// order.
    #[must_use]
    pub fn new<M: BatchModel>(order: &[OrderColumn], types: &[Type], values: Vec<Option<Vec<u8>>>) -> Self {
        Cursor { order: fingerprint::<M>(order, types), values }
    }

    /// The values, if it is a cursor of this order.
    pub(super) fn values<M: BatchModel>(&self, order: &[OrderColumn], types: &[Type]) -> Result<&[Option<Vec<u8>>]> {
        if self.order != fingerprint::<M>(order, types) || self.values.len() != order.len() {
            return Err(Error::new(ErrorKind::InvalidCursor, "the cursor was made for another order"));
        }
        Ok(&self.values)
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&form, rest) = bytes.split_first()?;
        let (order, rest) = rest.split_first_chunk::<8>()?;
        let mut values = Vec::new();
        let mut length = 0;
        for value in RawFields::new(rest) {
            length += 4 + value.map_or(0, <[u8]>::len);
            values.push(value.map(<[u8]>::to_vec));
        }
        (form == FORM && length == rest.len()).then(|| Cursor { order: u64::from_be_bytes(*order), values })
    }
}

/// A number for an order of a model: the same as long as the cursors of one are those of the other (FNV-1a).
fn fingerprint<M: BatchModel>(order: &[OrderColumn], types: &[Type]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(&M::MODEL.display_name());
    for (one, ty) in order.iter().zip(types) {
        add(M::MODEL.columns[one.column].name);
        add(if one.descending { "desc" } else { "asc" });
        add(if one.nulls_first { "first" } else { "last" });
        add(ty.name());
    }
    hash
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = BytesMut::new();
        out.put_u8(FORM);
        out.put_u64(self.order);
        self.values.iter().for_each(|value| put_field(&mut out, value.as_deref()));
        f.write_str(&URL_SAFE_NO_PAD.encode(&out))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Cursor::parse(text).ok_or_else(|| Error::new(ErrorKind::InvalidCursor, "the text is no cursor"))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Cursor::parse(&text).ok_or_else(|| serde::de::Error::custom("the text is no cursor"))
    }
}

// Never prints a value.
impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} values)", self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = Cursor { order: u64::MAX, values: vec![None, Some(Vec::new()), Some(vec![0, 255, 7])] };
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        let json = serde_json::to_string(&cursor).unwrap();
        assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let text = Cursor { order: 1, values: vec![Some(vec![1, 2, 3])] }.to_string();
        for wrong in ["", "?", "AAAA", &text[1..], &text[..text.len() - 2], &format!("{text}AAAA")] {
            assert_eq!(wrong.parse::<Cursor>().unwrap_err().kind(), ErrorKind::InvalidCursor, "{wrong:?}");
        }
    }
}
