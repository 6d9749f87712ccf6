//! Input rows with the same key: found by their bytes where the server's equality is the bytes', and
//! resolved by the declared policy.

use std::collections::HashMap;

use crate::config::DuplicatePolicy;
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Positions, ranges};
use crate::wire::EncodedRows;

/// Rows that have the same key as another: each with the first row of its key, that one too.
pub(crate) type Pairs = Vec<(usize, usize)>;

/// Finds the rows whose key `fields` (positions in the encoded rows) have the same bytes as another's. A
/// key with a NULL equals none, unless `nulls_equal`.
pub(crate) fn same_bytes(rows: &EncodedRows, fields: &[usize], nulls_equal: bool) -> Pairs {
    if are_ascending(rows, fields) {
        return Pairs::new();
    }
    // All keys lie in one buffer, so that the map needs no allocation per row.
    let mut keys: Vec<u8> = Vec::new();
    let mut ends = Vec::with_capacity(rows.len());
    for row in 0..rows.len() {
        let start = keys.len();
        for &field in fields {
            match rows.field(row, field) {
                Some(value) => {
                    keys.extend_from_slice(&value.len().to_be_bytes());
                    keys.extend_from_slice(value);
                }
                // No value is as long.
                None if nulls_equal => keys.extend_from_slice(&usize::MAX.to_be_bytes()),
                None => {
                    keys.truncate(start);
                    break;
                }
            }
        }
        ends.push(keys.len());
    }
    let mut firsts: HashMap<&[u8], (usize, bool)> = HashMap::with_capacity(rows.len());
    let mut pairs = Pairs::new();
    let mut start = 0;
    for (row, &end) in ends.iter().enumerate() {
        let key = &keys[start..end];
        start = end;
        if key.is_empty() {
            continue;
        }
        let (first, paired) = firsts.entry(key).or_insert((row, false));
        if *first != row {
            if !*paired {
                pairs.push((*first, *first));
                *paired = true;
            }
            pairs.push((row, *first));
        }
    }
    pairs
}

/// Whether the bytes of each key are greater than those of the one before, as those of rows are that were read in the
/// order of a key: then no two are equal, and none has to be remembered.
pub(crate) fn are_ascending(rows: &EncodedRows, fields: &[usize]) -> bool {
    let &[field] = fields else { return false };
    if let Some((values, width)) = rows.values(field) {
        // Of the same length, they are compared with those in front of them.
        return match width - 4 {
            8 => ascend(values.as_chunks::<12>().0, |&[.., a, b, c, d, e, f, g, h]| {
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            }),
            4 => ascend(values.as_chunks::<8>().0, |&[.., a, b, c, d]| u32::from_be_bytes([a, b, c, d])),
            _ => values.chunks_exact(width).is_sorted_by(|last, key| last < key),
        };
    }
    let mut last: Option<&[u8]> = None;
    rows.fields_at(field).all(|key| {
        let Some(key) = key else { return false };
        last.replace(key).is_none_or(|last| match (last.try_into(), key.try_into()) {
            (Ok(last), Ok(key)) => u64::from_be_bytes(last) < u64::from_be_bytes(key),
            _ => last < key,
        })
    })
}

/// Whether the keys of these fields become ever greater.
fn ascend<const N: usize, K: Ord>(fields: &[[u8; N]], key: impl Fn(&[u8; N]) -> K) -> bool {
    let Some((first, others)) = fields.split_first() else { return true };
    let mut last = key(first);
    others.iter().all(|field| {
        let before = std::mem::replace(&mut last, key(field));
        before < last
    })
}

/// Which rows are not to be sent, by the policy; `positions` are the rows' in the input.
pub(crate) fn resolve(policy: DuplicatePolicy, positions: &Positions, mut pairs: Pairs) -> Result<Vec<bool>> {
    let mut dropped = vec![false; positions.len()];
    pairs.sort_unstable();
    match policy {
        DuplicatePolicy::Error => {
            let positions: Vec<usize> = pairs.iter().filter_map(|(row, _)| positions.get(*row)).collect();
            if !positions.is_empty() {
                let what = format!(
                    "{} rows of the input share their key with another; say which one wins with .duplicates(…)",
                    positions.len()
                );
                return Err(Error::new(ErrorKind::DuplicateKey, what).of_rows(ranges(&positions)));
            }
        }
        DuplicatePolicy::FirstWins => pairs.iter().for_each(|&(row, first)| dropped[row] = row != first),
        DuplicatePolicy::LastWins => {
            let mut last: HashMap<usize, usize> = HashMap::new();
            for (row, first) in pairs {
                if let Some(before) = last.insert(first, row) {
                    dropped[before] = true;
                }
            }
        }
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three keys: 1 at rows 0, 2 and 3, then 5 at rows 1 and 4.
    const PAIRS: [(usize, usize); 5] = [(0, 0), (2, 0), (3, 0), (1, 1), (4, 1)];

    #[test]
    fn equal_keys_are_found_in_whatever_order_rows_come() {
        let pairs = |keys: &[Option<&str>], nulls_equal| {
            let mut rows = crate::wire::RowsBuilder::default();
            keys.iter().for_each(|key| rows.push_raw([Some(&b"x"[..]), key.map(str::as_bytes)].into_iter()));
            same_bytes(&rows.finish(), &[1], nulls_equal)
        };
        assert_eq!(pairs(&[Some(""), Some("a"), Some("ab"), Some("b")], false), []);
        assert_eq!(pairs(&[Some("a"), Some("b"), Some("b")], false), [(1, 1), (2, 1)]);
        assert_eq!(pairs(&[Some("b"), Some("c"), Some("a"), Some("b")], false), [(0, 0), (3, 0)]);
        assert_eq!(pairs(&[Some("a"), None, Some("b"), None], false), []);
        assert_eq!(pairs(&[Some("a"), None, Some("b"), None], true), [(1, 1), (3, 1)]);
        assert_eq!(pairs(&[], true), []);
    }

    #[test]
    fn the_policy_decides_which_row_stays() {
        let kept = |policy| {
            let dropped = resolve(policy, &Positions::Run(0..6), PAIRS.to_vec()).unwrap();
            (0..6).filter(|&row| !dropped[row]).collect::<Vec<_>>()
        };
        assert_eq!(kept(DuplicatePolicy::FirstWins), [0, 1, 5]);
        assert_eq!(kept(DuplicatePolicy::LastWins), [3, 4, 5]);
        let error = resolve(DuplicatePolicy::Error, &Positions::Run(0..6), PAIRS.to_vec()).unwrap_err();
        assert_eq!((error.kind(), error.rows()), (ErrorKind::DuplicateKey, std::slice::from_ref(&(0..5))));
    }
}
