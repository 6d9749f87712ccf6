//! Properties of encoded rows: every form holds the same fields, whatever they are.

use bytes::{Buf, Bytes};
use postgres_types::Type;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{
    Array, ColumnType, EncodedRows, Fault, RowForm, RowType, RowsBuilder, column_arrays, row_array, staged_rows,
};

type Rows = Vec<Vec<Option<Vec<u8>>>>;

/// Rows of one to four columns, with empty and NULL fields.
fn rows() -> impl Strategy<Value = Rows> {
    (1..=4usize).prop_flat_map(|columns| vec(vec(option::of(vec(any::<u8>(), 0..9)), columns), 1..20))
}

/// The three forms of rows of so many columns; elements are of the table's type when these are their types.
fn forms(columns: usize) -> [RowForm; 3] {
    let types = (0..columns).map(|field| 20 + u32::try_from(field).unwrap()).collect();
    [RowForm::Copy, RowForm::Elements(types), RowForm::Columns]
}

fn encode(rows: &Rows, form: RowForm) -> EncodedRows {
    let types = vec![ColumnType::new(Type::BYTEA, false, |_| true); rows[0].len()];
    let mut builder = RowsBuilder::of(form, types.len());
    for (number, row) in rows.iter().enumerate() {
        builder.reserve(1, usize::MAX);
        // A row that fails leaves nothing behind.
        let failed = builder.push(&types, |field, out| {
            row[..number % row.len()].get(field).map_or(Err(Fault::Refused), |field| out.put(field))
        });
        assert_eq!(failed, Err((number % row.len(), Fault::Refused)));
        builder.push(&types, |field, out| out.put(&row[field])).unwrap();
        assert_eq!(builder.len(), number + 1);
    }
    let bytes = builder.byte_len();
    let encoded = builder.finish();
    assert_eq!((encoded.byte_len(), builder.len(), builder.byte_len()), (bytes, 0, 0));
    encoded
}

/// The same rows in each form.
fn encoded(rows: &Rows) -> [EncodedRows; 3] {
    forms(rows[0].len()).map(|form| encode(rows, form))
}

fn decode(rows: &EncodedRows) -> Rows {
    (0..rows.len()).map(|row| rows.row(row).map(|field| field.map(<[u8]>::to_vec)).collect()).collect()
}

/// Takes a length and so many bytes.
fn field(bytes: &mut Bytes) -> Option<Vec<u8>> {
    let length = usize::try_from(bytes.get_i32()).ok()?;
    Some(bytes.split_to(length).to_vec())
}

/// The bytes of an array.
fn bytes(Array { head, elements }: Array) -> Bytes {
    [&head[..], &elements].concat().into()
}

/// Takes an array's header; its number of elements.
fn array_length(bytes: &mut Bytes, element: u32) -> usize {
    assert_eq!(bytes.get_i32(), 1, "one dimension");
    assert!(matches!(bytes.get_i32(), 0 | 1), "the flag for NULLs");
    assert_eq!(bytes.get_u32(), element);
    let length = usize::try_from(bytes.get_i32()).unwrap();
    assert_eq!(bytes.get_i32(), 1, "the lower bound");
    length
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(rows in rows()) {
        for encoded in encoded(&rows) {
            prop_assert_eq!(&decode(&encoded), &rows);
            prop_assert_eq!(&decode(&encoded.in_copy_form()), &rows);
            for (number, row) in rows.iter().enumerate() {
                row.iter().enumerate().for_each(|(at, field)| assert_eq!(encoded.field(number, at), field.as_deref()));
            }
            for field in 0..rows[0].len() {
                let Some((values, width)) = encoded.values(field) else { continue };
                for (value, row) in values.chunks_exact(width).zip(&rows) {
                    prop_assert_eq!(Some(&value[4..]), row[field].as_deref());
                }
            }
        }
    }

    #[test]
    fn rows_that_were_encoded_elsewhere_come_behind(rows in rows(), more in rows()) {
        let more: Rows = more.into_iter().filter(|row| row.len() == rows[0].len()).collect();
        let all: Rows = rows.iter().chain(&more).cloned().collect();
        let forms = forms(rows[0].len());
        for (form, other) in forms.iter().flat_map(|form| forms.iter().map(move |other| (form, other))) {
            let mut builder = RowsBuilder::of(form.clone(), rows[0].len());
            builder.append(&encode(&rows, other.clone()));
            if !more.is_empty() {
                builder.append(&encode(&more, form.clone()));
            }
            let at_once = encode(&all, form.clone());
            prop_assert_eq!((builder.len(), builder.byte_len()), (all.len(), at_once.byte_len()));
            let appended = builder.finish();
            prop_assert_eq!(appended.bytes_in(form), at_once.bytes_in(form));
            prop_assert_eq!(&decode(&appended), &all);
        }
    }

    #[test]
    fn a_slice_and_a_subset_are_those_rows(rows in rows(), from in 0..20usize, to in 0..20usize) {
        let (from, to) = (from.min(rows.len()), to.min(rows.len()));
        let range = from.min(to)..from.max(to);
        let even: Vec<usize> = range.clone().filter(|row| row % 2 == 0).collect();
        let expected: Rows = even.iter().map(|&row| rows[row].clone()).collect();
        for encoded in encoded(&rows) {
            let slice = encoded.slice(range.clone());
            prop_assert_eq!((decode(&slice), slice.byte_len()), (rows[range.clone()].to_vec(), encoded.bytes_of(range.clone())));
            prop_assert_eq!(&decode(&encoded.subset(&even)), &expected);
        }
    }

    #[test]
    fn cuts_are_all_rows_in_order_within_the_limits(rows in rows(), most_rows in 1..8usize, most_bytes in 1..200usize) {
        for encoded in encoded(&rows) {
            let ranges = encoded.cut(most_rows, most_bytes);
            let flat: Vec<usize> = ranges.iter().cloned().flatten().collect();
            prop_assert_eq!(flat, (0..rows.len()).collect::<Vec<_>>());
            for range in ranges {
                prop_assert!(range.len() <= most_rows);
                prop_assert!(range.len() == 1 || encoded.slice(range).byte_len() <= most_bytes);
            }
        }
    }

    #[test]
    fn an_array_of_rows_has_every_field_and_null_for_what_is_not_given(rows in rows()) {
        // The table has one column more, in front, that the rows do not give, and the others backwards.
        let columns = rows[0].len();
        let given = (0..columns).rev().map(|field| (20 + u32::try_from(field).unwrap(), Some(field)));
        let row_type = RowType { oid: 7, columns: std::iter::once((19, None)).chain(given).collect(), lock: None };
        for encoded in encoded(&rows) {
            let mut bytes = bytes(row_array(&encoded, &row_type));
            prop_assert_eq!(array_length(&mut bytes, 7), rows.len());
            for row in &rows {
                let mut element = Bytes::from(field(&mut bytes).unwrap());
                prop_assert_eq!(element.get_i32(), i32::try_from(columns + 1).unwrap());
                prop_assert_eq!((element.get_u32(), field(&mut element)), (19, None));
                for (at, value) in row.iter().enumerate().rev() {
                    prop_assert_eq!((element.get_u32(), field(&mut element)), (20 + u32::try_from(at).unwrap(), value.clone()));
                }
                prop_assert!(element.is_empty());
            }
            prop_assert!(bytes.is_empty());
        }
        // As they are, where the table has these columns and no other.
        let columns = (0..columns).map(|field| (20 + u32::try_from(field).unwrap(), Some(field))).collect();
        let row_type = RowType { oid: 7, columns, lock: None };
        let [copy, elements, columns] = encoded(&rows).map(|encoded| bytes(row_array(&encoded, &row_type)));
        prop_assert_eq!(&elements, &copy);
        prop_assert_eq!(&elements, &columns);
    }

    #[test]
    fn arrays_of_columns_are_the_rows_turned(rows in rows()) {
        let fields: Vec<(usize, u32)> = (0..rows[0].len()).rev().map(|at| (at, 30)).collect();
        for encoded in encoded(&rows) {
            let arrays = column_arrays(&encoded, &fields);
            for ((at, oid), array) in fields.iter().zip(arrays) {
                let mut bytes = bytes(array);
                prop_assert_eq!(array_length(&mut bytes, *oid), rows.len());
                for row in &rows {
                    prop_assert_eq!(field(&mut bytes), row[*at].clone());
                }
                prop_assert!(bytes.is_empty());
            }
        }
    }

    #[test]
    fn staged_rows_have_their_position_at_the_end(rows in rows()) {
        for encoded in encoded(&rows) {
            let mut bytes = staged_rows(&encoded);
            for (position, row) in (1i64..).zip(&rows) {
                prop_assert_eq!(usize::try_from(bytes.get_i16()).unwrap(), row.len() + 1);
                for value in row {
                    prop_assert_eq!(field(&mut bytes), value.clone());
                }
                prop_assert_eq!(field(&mut bytes), Some(position.to_be_bytes().to_vec()));
            }
            prop_assert!(bytes.is_empty());
        }
    }
}
