//! What the server would refuse in a value, seen in its bytes: so one bad row costs no round trip.

use memchr::{memchr, memmem};

use super::column_type::Check;
use super::fault::Fault;

/// Checks a value's binary form.
pub(super) fn check(check: Check, value: &[u8]) -> Result<(), Fault> {
    match check {
        Check::Nothing => Ok(()),
        Check::Text => text(value),
        Check::Jsonb => jsonb(value),
        Check::TextArray => elements(value, text),
        Check::JsonbArray => elements(value, jsonb),
    }
}

#[inline]
fn text(value: &[u8]) -> Result<(), Fault> {
    if has_nul(value) { Err(Fault::NulInText) } else { Ok(()) }
}

#[inline]
fn has_nul(value: &[u8]) -> bool {
    /// Below, `memchr` takes longer to begin than this to end.
    const LONG: usize = 64;
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    if value.len() > LONG {
        return memchr(0, value).is_some();
    }
    // A byte that is 0 borrows from the bit above it, and has not had that bit before.
    let nuls = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        word.wrapping_sub(ONES) & !word & (ONES << 7)
    };
    match value.last_chunk() {
        // The last word overlaps the one before it.
        Some(last) => value.as_chunks().0.iter().fold(nuls(last), |found, word| found | nuls(word)) != 0,
        None => value.contains(&0),
    }
}

/// Finds `\u0000` that is an escape: preceded by an even number of backslashes.
fn jsonb(value: &[u8]) -> Result<(), Fault> {
    // The first byte is jsonb's version number.
    let document = value.get(1..).unwrap_or_default();
    let escaped = |at: usize| document[..at].iter().rev().take_while(|&&b| b == b'\\').count() % 2 == 0;
    if memmem::find_iter(document, br"\u0000").any(escaped) {
        return Err(Fault::NulInJson);
    }
    text(document)
}

/// Walks the elements of an array's binary form: dimensions, flags, type, then a length and bytes each.
fn elements(array: &[u8], one: fn(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let int = |bytes: &[u8]| bytes.first_chunk::<4>().map(|b| i32::from_be_bytes(*b));
    let dimensions = int(array).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let mut rest = array.get(12 + 8 * dimensions..).unwrap_or_default();
    while let Some(length) = int(rest) {
        rest = &rest[4..];
        if let Ok(length) = usize::try_from(length) {
            let (value, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            one(value)?;
            rest = after;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_backslash_before_u0000_is_no_escape() {
        assert_eq!(jsonb(b"\x01\"\\\\u0000\""), Ok(()));
        assert_eq!(jsonb(b"\x01\"\\u0000\""), Err(Fault::NulInJson));
        assert_eq!(jsonb(b"\x01\"\\\\\\u0000\""), Err(Fault::NulInJson));
    }

    #[test]
    fn a_nul_is_found_wherever_it_is() {
        for length in 0..80 {
            let text_of = |nul: Option<usize>| {
                (0..length).map(|at| if nul == Some(at) { 0 } else { 0x80 >> (at % 8) }).collect::<Vec<u8>>()
            };
            assert_eq!(text(&text_of(None)), Ok(()), "{length}");
            (0..length).for_each(|at| assert_eq!(text(&text_of(Some(at))), Err(Fault::NulInText), "{at} of {length}"));
        }
    }

    #[test]
    fn a_nul_is_found_in_every_element() {
        let array = |texts: &[&[u8]]| {
            let mut bytes = Vec::new();
            for int in [1, 0, 25, i32::try_from(texts.len()).unwrap(), 1] {
                bytes.extend(int.to_be_bytes());
            }
            for text in texts {
                bytes.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
                bytes.extend(*text);
            }
            bytes
        };
        assert_eq!(elements(&array(&[b"a", b"", b"b"]), text), Ok(()));
        assert_eq!(elements(&array(&[b"a", b"b\0"]), text), Err(Fault::NulInText));
    }
}
