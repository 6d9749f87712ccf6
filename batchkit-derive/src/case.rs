//! Column names from field names, in the cases that serde knows.

/// How a column's name is made from its field's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    pub(crate) const NAMES: [(&'static str, Case); 8] = [
        ("lowercase", Case::Lower),
        ("UPPERCASE", Case::Upper),
        ("PascalCase", Case::Pascal),
        ("camelCase", Case::Camel),
        ("snake_case", Case::Snake),
        ("SCREAMING_SNAKE_CASE", Case::ScreamingSnake),
        ("kebab-case", Case::Kebab),
        ("SCREAMING-KEBAB-CASE", Case::ScreamingKebab),
    ];

    /// The name in this case of a field, which is in snake case. As in serde, only ASCII letters change.
    pub(crate) fn apply(self, field: &str) -> String {
        match self {
            Case::Lower | Case::Snake => field.to_owned(),
            Case::Upper | Case::ScreamingSnake => field.to_ascii_uppercase(),
            Case::Pascal => field.split('_').map(|word| first_letter(word, char::to_ascii_uppercase)).collect(),
            Case::Camel => first_letter(&Case::Pascal.apply(field), char::to_ascii_lowercase),
            Case::Kebab => field.replace('_', "-"),
            Case::ScreamingKebab => field.to_ascii_uppercase().replace('_', "-"),
        }
    }
}

/// The word with another first letter.
fn first_letter(word: &str, change: fn(&char) -> char) -> String {
    let mut letters = word.chars();
    letters.next().iter().map(change).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::Case;

    #[test]
    fn each_case_is_serdes() {
        let names: Vec<String> = Case::NAMES.iter().map(|(_, case)| case.apply("unit_price_2")).collect();
        let expected = [
            "unit_price_2",
            "UNIT_PRICE_2",
            "UnitPrice2",
            "unitPrice2",
            "unit_price_2",
            "UNIT_PRICE_2",
            "unit-price-2",
            "UNIT-PRICE-2",
        ];
        assert_eq!(names, expected);
    }
}
