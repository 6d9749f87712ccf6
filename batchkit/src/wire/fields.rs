//! The raw fields of one encoded row, in order.

use super::columns::Column;

/// The value of a field with its length in front; `None` is NULL.
#[inline]
pub(super) fn value(whole: &[u8]) -> Option<&[u8]> {
    let (length, value) = whole.split_first_chunk::<4>()?;
    (i32::from_be_bytes(*length) >= 0).then_some(value)
}

/// The raw fields of one row; `None` is NULL.
#[derive(Clone)]
pub(crate) struct RawFields<'a>(Place<'a>);

#[derive(Clone)]
enum Place<'a> {
    /// One behind the other, each behind so many bytes that are not its own.
    Row { rest: &'a [u8], gap: usize },
    /// Each in a column of its own.
    Columns { columns: &'a [Column], row: usize },
}

impl<'a> RawFields<'a> {
    /// Fields that lie one after the other.
    pub(crate) fn new(fields: &'a [u8]) -> Self {
        RawFields::behind(fields, 0)
    }

    /// Fields that lie one after the other, each behind so many bytes.
    pub(super) fn behind(fields: &'a [u8], gap: usize) -> Self {
        RawFields(Place::Row { rest: fields, gap })
    }

    /// The fields of a row in its columns.
    pub(super) fn across(columns: &'a [Column], row: usize) -> Self {
        RawFields(Place::Columns { columns, row })
    }

    /// All fields that were not taken, each with its length in front. (Of a row in the form of COPY.)
    pub(crate) fn rest(&self) -> &'a [u8] {
        match self.0 {
            Place::Row { rest, gap } => {
                debug_assert_eq!(gap, 0);
                rest
            }
            Place::Columns { .. } => &[],
        }
    }

    /// The next field with its length in front; `None` at the end.
    #[inline]
    pub(crate) fn next_whole(&mut self) -> Option<&'a [u8]> {
        match &mut self.0 {
            Place::Row { rest, gap } => {
                let at = rest.get(*gap..)?;
                let length = i32::from_be_bytes(*at.first_chunk::<4>()?);
                let (field, behind) = at.split_at_checked(4 + usize::try_from(length).unwrap_or(0))?;
                *rest = behind;
                Some(field)
            }
            Place::Columns { columns, row } => {
                let (column, others) = columns.split_first()?;
                *columns = others;
                Some(column.whole(*row))
            }
        }
    }
}

impl<'a> Iterator for RawFields<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Place::Row { rest, gap } = &mut self.0 else {
            return Some(value(self.next_whole()?));
        };
        let (length, behind) = rest.get(*gap..)?.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            *rest = behind;
            return Some(None);
        };
        let (value, behind) = behind.split_at_checked(length)?;
        *rest = behind;
        Some(Some(value))
    }
}
