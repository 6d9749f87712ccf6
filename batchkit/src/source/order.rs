//! Rows in the order of their keys, so that two calls that write the same rows lock them in the same order.

use crate::wire::EncodedRows;

/// These rows in the order of the bytes of their key `fields`; `None` if they are in it already.
///
/// Not the server's order, but one that is the same for every call.
pub(super) fn by_key(rows: &EncodedRows, of: impl Iterator<Item = usize>, fields: &[usize]) -> Option<Vec<usize>> {
    // All keys lie in one buffer, so that none needs an allocation of its own.
    let mut bytes = Vec::new();
    let mut keys: Vec<(std::ops::Range<usize>, usize)> = Vec::new();
    for row in of {
        let start = bytes.len();
        for &field in fields {
            bytes.extend_from_slice(rows.field(row, field).unwrap_or_default());
        }
        keys.push((start..bytes.len(), row));
    }
    let key = |(range, row): &(std::ops::Range<usize>, usize)| (&bytes[range.clone()], *row);
    if keys.is_sorted_by_key(key) {
        return None;
    }
    keys.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
    Some(keys.into_iter().map(|(_, row)| row).collect())
}
