//! The error of every call: what went wrong, where, for which rows, and what was written all the same.
//!
//! An error never prints a row's value: the server's DETAIL and, in the classes whose messages quote
//! input, its message are left out of `Display` and `Debug`, and no driver error is kept as a source.

use std::fmt;
use std::ops::Range;

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::reject::Reject;
use crate::report::{Outcome, Report};
use crate::retry::{Answer, Failure, Stage, classify};
use crate::source::{Positions, ranges};
use crate::wire::Fault;

/// A `Result` with batchkit's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings, or the options of a call, make no sense together.
    Config,
    /// No connection could be had from the pool.
    Pool,
    /// The connection broke, or the server ended it.
    Connection,
    /// The call's `timeout` has passed.
    Timeout,
    /// The connection broke while a chunk was being committed: whether the chunk is in is not known.
    CommitUnknown,
    /// The model does not match the table; [`Error::mismatches`] lists everything that differs.
    Schema,
    /// A name of no column of the model.
    UnknownField,
    /// Columns that the model did not declare as a unique key.
    UnknownKey,
    /// A value of a filter that has no form in its column's type, or a condition that the column's type has not.
    InvalidFilter,
    /// A text that is no cursor, or a cursor of another order.
    InvalidCursor,
    /// A row that has no form in the table's types; it was not sent.
    InvalidRow,
    /// The caller's own pre-processing failed for a row; it was not sent. [`Error::reason`] has what it said.
    PreProcess,
    /// The stream that was to give the rows gave an error.
    Input,
    /// The caller's own post-processing failed at rows; they are stored. [`Error::report`] tells which.
    PostProcess,
    /// Rows of one input with the same key, under [`DuplicatePolicy::Error`](crate::DuplicatePolicy::Error).
    DuplicateKey,
    /// Rows whose key is stored with another version than the one that they give: someone else has changed them since
    /// they were read. They were not overwritten. [`Error::rows`] has exactly these.
    Stale,
    /// A unique or primary key was broken (SQLSTATE 23505).
    UniqueViolation,
    /// A foreign key was broken (23503).
    ForeignKeyViolation,
    /// A NULL in a column that refuses it (23502).
    NotNullViolation,
    /// A check constraint was broken (23514).
    CheckViolation,
    /// An exclusion constraint was broken (23P01).
    ExclusionViolation,
    /// Any other refusal of the server; see [`Error::sqlstate`].
    Database,
    /// A stored value that the model's type cannot hold.
    Decode,
    /// A relation was read that nobody had loaded: see [`Related`](crate::Related).
    NotLoaded,
    /// A relation was loaded whose reference points nowhere, and its field must have a row.
    DanglingReference,
    /// A name of no relation of the model.
    UnknownRelation,
    /// Rows were turned away, and the call did not ask for a report; [`Error::report`] has it.
    Rejected,
    /// More rows were turned away than `max_rejects` allows.
    TooManyRejects,
    /// The server's answer does not account for every row. The chunk was rolled back.
    Accounting,
}

/// The error of a call. See the accessors for what it knows.
pub struct Error(Box<Inner>);

#[derive(Default)]
struct Inner {
    kind: Option<ErrorKind>,
    what: String,
    table: Option<String>,
    column: Option<String>,
    constraint: Option<String>,
    sqlstate: Option<SqlState>,
    server_message: Option<String>,
    reason: Option<String>,
    rows: Vec<Range<usize>>,
    path: Option<String>,
    /// Whether its rows are positions in a chunk still.
    of_chunk: bool,
    chunk: Option<usize>,
    mismatches: Vec<String>,
    report: Option<Report>,
    fatal: bool,
    routine: Option<String>,
    cache_lookup: bool,
    changed_table: bool,
    not_begun: bool,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind: Some(kind), what: what.into(), ..Inner::default() }))
    }

    /// A refusal of this kind, as the server words it.
    pub(crate) fn refusal(kind: ErrorKind) -> Self {
        if kind == ErrorKind::Stale {
            return Error::stale();
        }
        let known = REFUSALS.iter().find(|(known, ..)| *known == kind);
        let mut error = Error::new(kind, known.map_or("the server refused", |(_, _, what)| what));
        error.0.sqlstate = known.map(|(_, state, _)| state.clone());
        error
    }

    pub(crate) fn schema(table: &str, mismatches: Vec<String>) -> Self {
        let mut error = Error::new(ErrorKind::Schema, "the model does not match the table").in_table(table);
        error.0.mismatches = mismatches;
        error
    }

    /// A statement answers other types than the table's columns had when it was asked about.
    pub(crate) fn changed_table() -> Self {
        let mut error = Error::new(ErrorKind::Schema, "the types of the table's columns have changed");
        error.0.changed_table = true;
        error
    }

    pub(crate) fn invalid_row(row: usize, column: &str, fault: Fault) -> Self {
        Error::new(ErrorKind::InvalidRow, fault.to_string()).in_column(column).of_row(row)
    }

    pub(crate) fn of_pre_process(row: usize, reason: String) -> Self {
        let mut error = Error::new(ErrorKind::PreProcess, "pre-processing failed").of_row(row);
        error.0.reason = Some(reason);
        error
    }

    pub(crate) fn of_input(row: usize, reason: String) -> Self {
        let mut error = Error::new(ErrorKind::Input, "the stream of rows gave an error").of_row(row);
        error.0.reason = Some(reason);
        error
    }

    pub(crate) fn in_table(mut self, table: impl Into<String>) -> Self {
        self.0.table.get_or_insert(table.into());
        self
    }

    pub(crate) fn in_column(mut self, column: impl Into<String>) -> Self {
        self.0.column.get_or_insert(column.into());
        self
    }

    pub(crate) fn with_constraint(mut self, constraint: String) -> Self {
        self.0.constraint = Some(constraint);
        self
    }

    pub(crate) fn with_sqlstate(mut self, code: &str) -> Self {
        self.0.sqlstate = Some(SqlState::from_code(code));
        self
    }

    pub(crate) fn with_mismatches(mut self, mismatches: Vec<String>) -> Self {
        self.0.mismatches = mismatches;
        self
    }

    pub(crate) fn of_rows(mut self, rows: impl IntoIterator<Item = Range<usize>>) -> Self {
        if self.0.rows.is_empty() {
            self.0.rows.extend(rows);
        }
        self
    }

    pub(crate) fn of_row(self, row: usize) -> Self {
        self.of_rows(std::iter::once(row..row + 1))
    }

    /// It is about a row by its position in its chunk.
    pub(crate) fn of_chunk_row(mut self, row: usize) -> Self {
        self.0.of_chunk = true;
        self.of_row(row)
    }

    /// The same error of the rows that are to blame for it, by their positions in the chunk.
    pub(crate) fn blaming(mut self, rejects: &[Reject]) -> Self {
        let Some(first) = rejects.first() else { return self };
        self.0.rows = ranges(&rejects.iter().map(|reject| reject.position).collect::<Vec<_>>());
        self.0.of_chunk = true;
        self.0.path = first.path.clone().or(self.0.path.take());
        self
    }

    /// The positions in its chunk of an error of a statement whose rows begin behind so many.
    pub(crate) fn behind(mut self, rows: usize) -> Self {
        if self.0.of_chunk {
            self.0.rows.iter_mut().for_each(|range| *range = range.start + rows..range.end + rows);
        }
        self
    }

    /// It is about rows below others, on the relation `name`; `owner` tells which one each is below.
    pub(crate) fn met_below(mut self, name: &str, owner: impl Fn(usize) -> Option<usize>) -> Self {
        let rows = std::mem::take(&mut self.0.rows);
        let mut owners: Vec<usize> = rows.into_iter().flatten().filter_map(owner).collect();
        owners.dedup();
        self.0.rows = ranges(&owners);
        self.0.of_chunk |= !owners.is_empty();
        let path = self.0.path.take().map_or_else(|| name.to_owned(), |path| format!("{name}.{path}"));
        self.below(path)
    }

    /// What is wrong is below the row, on this path.
    pub(crate) fn below(mut self, path: impl Into<String>) -> Self {
        self.0.path.get_or_insert(path.into());
        self
    }

    pub(crate) fn in_chunk(mut self, chunk: usize) -> Self {
        self.0.chunk.get_or_insert(chunk);
        self
    }

    pub(crate) fn with_report(mut self, report: Report) -> Self {
        self.0.report = Some(report);
        self
    }

    /// Whether the connection is gone: it broke, or the server ended it.
    pub(crate) fn is_lost(&self) -> bool {
        // A connection that nobody waited for any longer is as good as broken.
        let broke = matches!(self.kind(), ErrorKind::Connection | ErrorKind::Timeout);
        // So is one that says itself that it does not know what it did, or that it has lost the server: a pooler's, or
        // a distributed server's.
        let code = self.0.sqlstate.as_ref().map(SqlState::code);
        self.0.fatal || code.map_or(broke, |code| code == "40003" || code.starts_with("08"))
    }

    /// What the decision about it depends on.
    pub(crate) fn failure(&self, stage: Stage, snapshot: bool) -> Failure<'_> {
        let inner = &*self.0;
        Failure {
            stage,
            code: inner.sqlstate.as_ref().map(SqlState::code),
            fatal: inner.fatal,
            routine: inner.routine.as_deref(),
            cache_lookup: inner.cache_lookup,
            snapshot,
            invalid_row: self.kind() == ErrorKind::InvalidRow,
            changed_table: inner.changed_table,
        }
    }

    /// Whether something can be done about it: it is about the connection, of the server's making, or a row's fault.
    /// Anything else is the caller's matter, and no retry will help.
    pub(crate) fn can_be_answered(&self) -> bool {
        let kinds = [ErrorKind::Connection, ErrorKind::Pool, ErrorKind::Timeout, ErrorKind::InvalidRow];
        self.0.sqlstate.is_some() || self.0.changed_table || kinds.contains(&self.kind())
    }

    /// Whether the server refused it for what a row holds.
    pub(crate) fn is_a_rows_fault(&self) -> bool {
        self.0.sqlstate.is_some() && classify(self.failure(Stage::Work, false)) == Answer::FindBadRows
    }

    /// Whether what was known of the table and its statements may be out of date.
    pub(crate) fn tells_of_a_changed_table(&self) -> bool {
        let code = self.0.sqlstate.as_ref().map_or("", SqlState::code);
        let changed = code.starts_with("42") && code != "42501";
        changed || self.0.changed_table || code.starts_with("26") || matches!(code, "0A000" | "XX000" | "22P03")
    }

    /// Whether the server has no connection to spare.
    pub(crate) fn is_of_too_many_connections(&self) -> bool {
        self.0.sqlstate.as_ref() == Some(&SqlState::TOO_MANY_CONNECTIONS)
    }

    /// The same error of a row without a form.
    pub(crate) fn clone_invalid_row(&self) -> Self {
        let inner = &*self.0;
        let what = inner.what.clone();
        let (column, rows) = (inner.column.clone(), inner.rows.clone());
        Error(Box::new(Inner { kind: inner.kind, what, column, rows, ..Inner::default() }))
    }

    /// Rows that were changed since they were read.
    pub(crate) fn stale() -> Self {
        let mut error =
            Error::new(ErrorKind::Stale, "the stored row has another version: it was changed since it was read");
        error.0.of_chunk = true;
        error
    }

    /// The same error with the input positions of its rows; `positions` are those of the chunk's rows, in order.
    pub(crate) fn at(mut self, positions: &Positions) -> Self {
        if std::mem::take(&mut self.0.of_chunk) {
            let rows = std::mem::take(&mut self.0.rows);
            let rows: Vec<usize> = rows.into_iter().flatten().filter_map(|row| positions.get(row)).collect();
            self.0.rows = ranges(&rows);
        }
        self
    }

    /// The call's deadline has passed.
    pub(crate) fn timeout() -> Self {
        Error::new(ErrorKind::Timeout, "the call's timeout has passed")
    }

    /// The call was dropped before the chunk was begun.
    pub(crate) fn abandoned() -> Self {
        let mut error = Error::new(ErrorKind::Timeout, "the call was dropped");
        error.0.not_begun = true;
        error
    }

    /// Whether the chunk was not begun at all.
    pub(crate) fn is_not_begun(&self) -> bool {
        self.0.not_begun
    }

    /// What breaks a constraint, known by asking for it.
    pub(crate) fn of_constraint(kind: ErrorKind, code: &str, constraint: &str) -> Self {
        let mut error = Error::new(kind, "the row breaks a constraint");
        error.0.sqlstate = Some(SqlState::from_code(code));
        error.0.constraint = Some(constraint.to_owned());
        error
    }

    /// The commit's fate could not be found out.
    pub(crate) fn commit_unknown(self, why: &str) -> Self {
        let what = format!("{why}, and whether the chunk is in cannot be told: {}", self.0.what);
        Error(Box::new(Inner { kind: Some(ErrorKind::CommitUnknown), what, ..*self.0 }))
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind.unwrap_or(ErrorKind::Database)
    }

    /// The table, as the model names it.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// The column, where one is to blame.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        self.0.column.as_deref()
    }

    /// The name of the constraint that was broken.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        self.0.constraint.as_deref()
    }

    /// The SQLSTATE that the server answered with.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&SqlState> {
        self.0.sqlstate.as_ref()
    }

    /// The positions in the input, from 0, of the rows concerned, ascending: single rows where they are
    /// known, else the rows of the chunk.
    #[must_use]
    pub fn rows(&self) -> &[Range<usize>] {
        &self.0.rows
    }

    /// In a graph, the way from the row in [`rows`](Self::rows) to the one below it that is to blame: `lines[3]`, or
    /// `lines` where it is not known which.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// The number of the chunk, from 0.
    #[must_use]
    pub fn chunk(&self) -> Option<usize> {
        self.0.chunk
    }

    /// Everything in which the model differs from the table.
    #[must_use]
    pub fn mismatches(&self) -> &[String] {
        &self.0.mismatches
    }

    /// What became of the rows all the same: which chunks were committed, which rows were never tried. Every error
    /// of a call that was awaited has it.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.0.report.as_ref()
    }

    /// What the caller's own pre-processing said of the row. `Display` does not print it.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The server's own message. **It may quote values of a row**; `Display` never prints it in the
    /// classes where it can.
    #[must_use]
    pub fn server_message(&self) -> Option<&str> {
        self.0.server_message.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(table) = &inner.table {
            write!(f, "table {table:?}: ")?;
        }
        if let Some(column) = &inner.column {
            write!(f, "column {column:?}: ")?;
        }
        f.write_str(&inner.what)?;
        if let Some(constraint) = &inner.constraint {
            write!(f, ", constraint {constraint:?}")?;
        }
        if let Some(state) = &inner.sqlstate {
            write!(f, " (SQLSTATE {})", state.code())?;
        }
        for mismatch in &inner.mismatches {
            write!(f, "\n  - {mismatch}")?;
        }
        if !inner.rows.is_empty() {
            write!(f, "; {}", RowRanges(&inner.rows))?;
        }
        if let Some(path) = &inner.path {
            write!(f, ", at {path:?} below")?;
        }
        if let Some(chunk) = inner.chunk {
            write!(f, " in chunk {chunk}")?;
        }
        match &inner.report {
            // A read writes nothing in any case.
            Some(report) if report.found() > 0 => Ok(()),
            Some(report) => {
                let unknown = report.counts().of(Outcome::Unknown);
                match report.inserted() + report.updated() + report.deleted() {
                    0 if unknown > 0 => {}
                    0 => f.write_str("; nothing was written")?,
                    rows => write!(f, "; written before: {rows} rows in {} chunks", report.chunks())?,
                }
                if unknown > 0 {
                    write!(f, "; {unknown} rows may be in or not")?;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.kind())
    }
}

impl std::error::Error for Error {}

/// Prints positions, the first few of many.
struct RowRanges<'a>(&'a [Range<usize>]);

impl fmt::Display for RowRanges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        f.write_str("rows ")?;
        for (index, range) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match range.len() {
                1 => write!(f, "{comma}{}", range.start)?,
                _ => write!(f, "{comma}{}..{}", range.start, range.end)?,
            }
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refusal) => Error::from(refusal),
            // Without the server's part, the driver's texts name no values.
            None => Error::new(ErrorKind::Connection, chain(&error)),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        let what = match &error {
            deadpool_postgres::PoolError::Backend(inner) => match inner.as_db_error() {
                Some(refusal) => Error::from(refusal).to_string(),
                None => chain(inner),
            },
            other => chain(other),
        };
        let mut pool = Error::new(ErrorKind::Pool, format!("no connection could be had: {what}"));
        if let deadpool_postgres::PoolError::Backend(inner) = &error {
            pool.0.sqlstate = inner.code().cloned();
            pool.0.fatal = inner.as_db_error().is_some_and(ends_connection);
        }
        pool
    }
}

/// The refusals that have a kind of their own: their SQLSTATEs, and what is said of them.
const REFUSALS: [(ErrorKind, SqlState, &str); 5] = [
    (ErrorKind::UniqueViolation, SqlState::UNIQUE_VIOLATION, "a unique key was broken"),
    (ErrorKind::ForeignKeyViolation, SqlState::FOREIGN_KEY_VIOLATION, "a foreign key was broken"),
    (ErrorKind::NotNullViolation, SqlState::NOT_NULL_VIOLATION, "the column refuses NULL"),
    (ErrorKind::CheckViolation, SqlState::CHECK_VIOLATION, "a check was broken"),
    (ErrorKind::ExclusionViolation, SqlState::EXCLUSION_VIOLATION, "an exclusion constraint was broken"),
];

impl From<&DbError> for Error {
    fn from(refusal: &DbError) -> Self {
        let violation = REFUSALS.iter().find(|(_, state, _)| state == refusal.code());
        let (kind, known) =
            violation.map_or((ErrorKind::Database, "the server refused"), |(kind, _, what)| (*kind, *what));
        let class = refusal.code().code().get(..2).unwrap_or_default();
        // These classes tell of names, rights and resources. The others (22, 23, P0, …) quote values.
        // What a function of the user's raises, under whatever code, has a context, and may quote them too.
        let tells = refusal.where_().is_none()
            && matches!(class, "08" | "0A" | "25" | "26" | "28" | "3D" | "3F" | "42" | "53" | "55" | "57");
        let what = if tells { format!("the server refused: {}", refusal.message()) } else { known.to_owned() };
        let mut error = Error::new(kind, what);
        error.0.fatal = ends_connection(refusal);
        error.0.routine = refusal.routine().map(str::to_owned);
        error.0.cache_lookup = refusal.message().starts_with("cache lookup failed");
        error.0.column = refusal.column().map(str::to_owned);
        error.0.constraint = refusal.constraint().map(str::to_owned);
        error.0.sqlstate = Some(refusal.code().clone());
        error.0.server_message = Some(refusal.message().to_owned());
        error
    }
}

/// Whether the connection has ended with it. Poolers tell the severity only in the field that servers translate, and do
/// not translate it.
fn ends_connection(refusal: &DbError) -> bool {
    match refusal.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        None => matches!(refusal.severity(), "FATAL" | "PANIC"),
    }
}

/// An error and its sources in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
