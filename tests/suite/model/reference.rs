//! The sequential reference model: a table in memory that takes one row after the other.

use std::collections::BTreeMap;

use batchkit::{BatchModel, DuplicatePolicy, ErrorKind, Outcome, Reject};
use rust_decimal::Decimal;

/// A row as it is handed over.
#[derive(Debug, Clone, PartialEq, BatchModel)]
#[batch(table = "parts")]
pub(super) struct Part {
    /// The column rounds it to two digits, and holds none of 10,000 or more.
    #[batch(key)]
    pub(super) id: Decimal,
    /// Compared without regard to case.
    #[batch(unique)]
    pub(super) code: Option<String>,
    /// 1 and 2 are there.
    pub(super) kind: Option<i32>,
    /// More than 0.
    pub(super) size: i32,
    /// At most four characters, no NULL.
    pub(super) note: Option<String>,
    /// Whose write it was: the row's position.
    pub(super) tag: i32,
}

pub(super) const TABLES: &str = "
    CREATE EXTENSION citext;
    CREATE TABLE kinds (id int4 PRIMARY KEY);
    INSERT INTO kinds VALUES (1), (2);
    CREATE TABLE parts (
        id numeric(6, 2) CONSTRAINT parts_id PRIMARY KEY,
        code citext CONSTRAINT parts_code UNIQUE,
        kind int4 CONSTRAINT parts_kind REFERENCES kinds,
        size int4 NOT NULL CONSTRAINT parts_size CHECK (size > 0),
        note varchar(4) NOT NULL,
        tag int4 NOT NULL);
    CREATE TABLE children (part numeric(6, 2) CONSTRAINT children_part REFERENCES parts)";

/// The column's own value of the key, in hundredths; `None` where it holds none.
fn rounded(id: Decimal) -> Option<i64> {
    let cents = i64::try_from(
        (id * Decimal::ONE_HUNDRED).round_dp_with_strategy(0, rust_decimal::RoundingStrategy::MidpointAwayFromZero),
    )
    .unwrap();
    (cents < 1_000_000).then_some(cents)
}

fn folded(code: &Option<String>) -> Option<String> {
    code.as_ref().map(|code| code.to_lowercase())
}

/// What is done with the rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verb {
    Insert,
    InsertIgnoring,
    Upsert { by_code: bool, fields: Fields, if_changed: bool },
    Update { fields: Fields, if_changed: bool },
    Delete { by_code: bool },
    Get { by_code: bool },
}

/// The fields that are set; `None` is all.
pub(super) type Fields = Option<&'static [&'static str]>;

impl Verb {
    /// Whether it sets this column of a known row.
    fn sets(self, column: &str) -> bool {
        match self {
            Verb::Upsert { fields: Some(fields), .. } | Verb::Update { fields: Some(fields), .. } => {
                fields.contains(&column)
            }
            Verb::Upsert { by_code: true, fields: None, .. } => !matches!(column, "id" | "code"),
            Verb::Upsert { .. } | Verb::Update { .. } => column != "id",
            _ => false,
        }
    }

    /// Whether its rows give this column.
    fn gives(self, column: &str) -> bool {
        match self {
            Verb::Insert | Verb::InsertIgnoring | Verb::Upsert { .. } => true,
            Verb::Update { .. } => column == "id" || self.sets(column),
            Verb::Delete { by_code } | Verb::Get { by_code } => column == if by_code { "code" } else { "id" },
        }
    }

    /// The column of which the input may have each value once.
    pub(super) fn target(self) -> Option<&'static str> {
        match self {
            Verb::Insert | Verb::InsertIgnoring | Verb::Get { .. } => None,
            Verb::Update { .. } => Some("id"),
            Verb::Upsert { by_code, .. } | Verb::Delete { by_code } => Some(if by_code { "code" } else { "id" }),
        }
    }

    /// The column by which stored rows are found.
    fn found_by_code(self) -> bool {
        matches!(
            self,
            Verb::Upsert { by_code: true, .. } | Verb::Delete { by_code: true } | Verb::Get { by_code: true }
        )
    }

    fn inserts(self) -> bool {
        matches!(self, Verb::Insert | Verb::InsertIgnoring | Verb::Upsert { .. })
    }
}

/// What a row is turned away for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fact {
    pub(super) kind: ErrorKind,
    pub(super) sqlstate: Option<&'static str>,
    pub(super) constraint: Option<&'static str>,
    pub(super) column: Option<&'static str>,
}

impl Fact {
    /// Whether the reject tells this.
    pub(super) fn is_told_by(&self, reject: &Reject) -> bool {
        self.kind == reject.kind
            && self.sqlstate == reject.sqlstate.as_deref()
            && (self.sqlstate == Some("23502") || self.constraint == reject.constraint.as_deref())
            && (self.column.is_none() || self.column == reject.column.as_deref())
    }
}

fn broken(kind: ErrorKind, sqlstate: &'static str, constraint: &'static str) -> Fact {
    Fact { kind, sqlstate: Some(sqlstate), constraint: Some(constraint), column: None }
}

fn malformed(sqlstate: &'static str) -> Fact {
    Fact { kind: ErrorKind::Database, sqlstate: Some(sqlstate), constraint: None, column: None }
}

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// This is its outcome.
    Is(Outcome),
    /// It is turned away, for one of these.
    Refused(Vec<Fact>),
    /// No stored row has its key, and it has a value that the column does not hold: whether the value is looked at
    /// depends on how it travels.
    MissingOrRefused(Vec<Fact>),
}

impl Verdict {
    /// Whether this outcome fits.
    pub(super) fn allows(&self, outcome: Outcome) -> bool {
        match self {
            Verdict::Is(is) => *is == outcome,
            Verdict::Refused(_) => outcome == Outcome::Rejected,
            Verdict::MissingOrRefused(_) => matches!(outcome, Outcome::Missing | Outcome::Rejected),
        }
    }

    pub(super) fn facts(&self) -> &[Fact] {
        match self {
            Verdict::Is(_) => &[],
            Verdict::Refused(facts) | Verdict::MissingOrRefused(facts) => facts,
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Verdict::Refused(_))
    }
}

/// A stored row without its key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    pub(super) code: Option<String>,
    pub(super) kind: Option<i32>,
    pub(super) size: i32,
    pub(super) note: Option<String>,
    pub(super) tag: i32,
}

/// The table, by the key in hundredths.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<i64, Stored>,
    /// The keys that another table references.
    pub(super) referenced: Vec<i64>,
}

impl Table {
    fn with_code(&self, code: &Option<String>) -> Option<i64> {
        let code = folded(code)?;
        self.rows.iter().find(|(_, row)| folded(&row.code).as_ref() == Some(&code)).map(|(id, _)| *id)
    }

    /// The key of the stored row that this one finds.
    fn found(&self, verb: Verb, part: &Part) -> Option<i64> {
        match verb.found_by_code() {
            true => self.with_code(&part.code),
            false => rounded(part.id).filter(|id| self.rows.contains_key(id)),
        }
    }

    /// The stored row as it would be.
    fn updated(&self, verb: Verb, part: &Part, id: i64) -> Stored {
        let mut row = self.rows[&id].clone();
        if verb.sets("code") {
            row.code.clone_from(&part.code);
        }
        if verb.sets("kind") {
            row.kind = part.kind;
        }
        if verb.sets("size") {
            row.size = part.size;
        }
        if verb.sets("note") {
            row.note.clone_from(&part.note);
        }
        if verb.sets("tag") {
            row.tag = part.tag;
        }
        row
    }

    /// What becomes of a row that is sent now.
    fn judge(&self, verb: Verb, part: &Part) -> Verdict {
        let found = self.found(verb, part);
        let mut facts = Vec::new();
        if verb.gives("id") && rounded(part.id).is_none() {
            facts.push(malformed("22003"));
        }
        let is_too_long = part.note.as_ref().is_some_and(|note| note.len() > 4);
        if verb.gives("note") && is_too_long {
            facts.push(malformed("22001"));
        }
        if found.is_none() && facts.is_empty() && !verb.inserts() {
            return Verdict::Is(Outcome::Missing);
        }
        // A row that is there is refused for what is set; a new one, or one that might be new, for all of it.
        let writes = |column| verb.inserts() || verb.sets(column);
        if writes("note") && part.note.is_none() {
            let kind = ErrorKind::NotNullViolation;
            facts.push(Fact { kind, sqlstate: Some("23502"), constraint: None, column: Some("note") });
        }
        if writes("size") && part.size <= 0 {
            facts.push(broken(ErrorKind::CheckViolation, "23514", "parts_size"));
        }
        if found.is_none() && !verb.inserts() {
            return if rounded(part.id).is_none() { Verdict::Refused(facts) } else { Verdict::MissingOrRefused(facts) };
        }
        let dangles = part.kind.is_some_and(|kind| !matches!(kind, 1 | 2));
        let foreign_key = broken(ErrorKind::ForeignKeyViolation, "23503", "parts_kind");
        let by_id = rounded(part.id).filter(|id| self.rows.contains_key(id));
        let by_code = self.with_code(&part.code);
        match verb {
            Verb::Get { .. } => return Verdict::Is(Outcome::Found),
            Verb::Delete { .. } if found.is_some_and(|id| self.referenced.contains(&id)) => {
                facts.push(broken(ErrorKind::ForeignKeyViolation, "23503", "children_part"));
            }
            Verb::Delete { .. } => {}
            Verb::InsertIgnoring if by_id.or(by_code).is_some() => {
                return if facts.is_empty() { Verdict::Is(Outcome::Unchanged) } else { Verdict::Refused(facts) };
            }
            Verb::Update { .. } | Verb::Upsert { .. } if found.is_some() => {
                if verb.sets("code") && by_code.is_some() && by_code != found {
                    facts.push(broken(ErrorKind::UniqueViolation, "23505", "parts_code"));
                }
                if verb.sets("kind") && dangles {
                    facts.push(foreign_key);
                }
            }
            _ => {
                if by_id.is_some() {
                    facts.push(broken(ErrorKind::UniqueViolation, "23505", "parts_id"));
                }
                if by_code.is_some() {
                    facts.push(broken(ErrorKind::UniqueViolation, "23505", "parts_code"));
                }
                if dangles {
                    facts.push(foreign_key);
                }
            }
        }
        if !facts.is_empty() {
            return Verdict::Refused(facts);
        }
        let outcome = match (verb, found) {
            (Verb::Delete { .. }, _) => Outcome::Deleted,
            (Verb::Upsert { if_changed, .. } | Verb::Update { if_changed, .. }, Some(id)) => {
                let alike = |row: &Stored| Stored { code: folded(&row.code), ..row.clone() };
                let is_alike = alike(&self.rows[&id]) == alike(&self.updated(verb, part, id));
                if if_changed && is_alike { Outcome::Unchanged } else { Outcome::Updated }
            }
            _ => Outcome::Inserted,
        };
        Verdict::Is(outcome)
    }

    /// Writes a row that is not refused.
    pub(super) fn write(&mut self, verb: Verb, part: &Part) {
        let found = self.found(verb, part);
        match (verb, found) {
            (Verb::Delete { .. }, Some(id)) => {
                self.rows.remove(&id);
            }
            (Verb::Update { .. } | Verb::Upsert { .. }, Some(id)) => {
                let row = self.updated(verb, part, id);
                self.rows.insert(id, row);
            }
            _ => {
                let Part { id, code, kind, size, note, tag } = part.clone();
                self.rows.insert(rounded(id).unwrap(), Stored { code, kind, size, note, tag });
            }
        }
    }

    /// What becomes of these rows, one after the other; the refused ones are passed over.
    pub(super) fn run(&mut self, verb: Verb, parts: &[Part], rows: impl IntoIterator<Item = usize>) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for row in rows {
            let verdict = self.judge(verb, &parts[row]);
            if let Verdict::Is(Outcome::Inserted | Outcome::Updated | Outcome::Deleted) = verdict {
                self.write(verb, &parts[row]);
            }
            verdicts.push(verdict);
        }
        verdicts
    }

    /// All that the server may say of these rows as one statement: it checks references behind the keys, so a row
    /// may also run into one that is bad itself.
    pub(super) fn possible_faults(&self, verb: Verb, parts: &[Part], rows: &[usize]) -> Vec<Fact> {
        let mut table = self.clone();
        let mut facts = Vec::new();
        for part in rows.iter().map(|&row| &parts[row]) {
            facts.extend_from_slice(table.judge(verb, part).facts());
            let is_writable = rounded(part.id).is_some() || table.found(verb, part).is_some();
            if is_writable && (verb.inserts() || table.found(verb, part).is_some()) {
                table.write(verb, part);
            }
        }
        facts
    }

    /// Whether a row wants a code that another row of the input takes from a stored one: then it depends on their
    /// order, which a single UPDATE, or chunks at once, do not have.
    pub(super) fn is_contested(&self, verb: Verb, parts: &[Part]) -> bool {
        if !verb.sets("code") || verb.found_by_code() {
            return false;
        }
        let freed: Vec<String> = parts
            .iter()
            .filter_map(|part| {
                let held = folded(&self.rows.get(&rounded(part.id)?)?.code)?;
                (folded(&part.code).as_ref() != Some(&held)).then_some(held)
            })
            .collect();
        parts.iter().filter_map(|part| folded(&part.code)).any(|code| freed.contains(&code))
    }
}

/// What is found out before anything is sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unsent {
    /// For each row what it is turned away for.
    pub(super) refused: Vec<Option<Fact>>,
    /// For each row whether another one stands for it.
    pub(super) duplicate: Vec<bool>,
    /// The rows that share their key with another one.
    pub(super) paired: Vec<usize>,
}

impl Unsent {
    pub(super) fn new(verb: Verb, parts: &[Part], policy: DuplicatePolicy) -> Self {
        let refused: Vec<Option<Fact>> = parts.iter().map(|part| without_form(verb, part)).collect();
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (row, part) in parts.iter().enumerate().filter(|(row, _)| refused[*row].is_none()) {
            let key = match verb.target() {
                Some("code") => folded(&part.code),
                Some(_) => rounded(part.id).map(|id| id.to_string()),
                None => None,
            };
            if let Some(key) = key {
                groups.entry(key).or_default().push(row);
            }
        }
        let mut duplicate = vec![false; parts.len()];
        let mut paired = Vec::new();
        for group in groups.into_values().filter(|group| group.len() > 1) {
            let first_wins = matches!(verb, Verb::Delete { .. }) || policy != DuplicatePolicy::LastWins;
            let stays = if first_wins { group[0] } else { group[group.len() - 1] };
            group.iter().for_each(|&row| duplicate[row] = row != stays);
            paired.extend(group);
        }
        paired.sort_unstable();
        Unsent { refused, duplicate, paired }
    }

    /// The rows that are sent.
    pub(super) fn sent(&self) -> Vec<usize> {
        (0..self.refused.len()).filter(|&row| self.refused[row].is_none() && !self.duplicate[row]).collect()
    }
}

/// Why a row cannot be sent at all.
fn without_form(verb: Verb, part: &Part) -> Option<Fact> {
    let invalid = |column| Fact { kind: ErrorKind::InvalidRow, sqlstate: None, constraint: None, column: Some(column) };
    let has_nul = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\0'));
    if verb.gives("code") && has_nul(&part.code) {
        Some(invalid("code"))
    } else if verb.gives("note") && has_nul(&part.note) {
        Some(invalid("note"))
    } else if matches!(verb, Verb::Upsert { by_code: true, .. }) && part.code.is_none() {
        Some(invalid("code"))
    } else {
        None
    }
}
