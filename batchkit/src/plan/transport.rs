//! The choice of how rows travel, and its reason.

use crate::config::Transport;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::Form;

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// Whether COPY into the target does what the verb means: an insert without a conflict clause.
    pub(crate) plain_insert: bool,
    /// Whether the table takes COPY.
    pub(crate) takes_copy: bool,
    /// Whether the current user may make temporary tables.
    pub(crate) may_stage: bool,
    /// Whether an array of the table's row type can carry the rows (no column that is not given refuses NULL).
    pub(crate) rows_possible: bool,
    /// Whether one array per column can carry the rows.
    pub(crate) columns_possible: bool,
    /// Whether the rows have columns at all.
    pub(crate) gives_columns: bool,
    /// Whether answered rows find their input (by a key that is given or drawn beforehand).
    pub(crate) matchable: bool,
    /// Whether a trigger may change or drop a row before it is inserted.
    pub(crate) triggered: bool,
    /// Whether an expression sets a column of the inserted rows.
    pub(crate) fills_in: bool,
    /// Whether the rows give few of the table's columns.
    pub(crate) narrow: bool,
    /// What the statement has to answer.
    pub(crate) form: Form,
}

/// The transport that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// What is used; never `Auto`.
    pub(crate) transport: Transport,
    /// Whether COPY goes straight into the target.
    pub(crate) into_target: bool,
    /// Why.
    pub(crate) reason: &'static str,
}

/// Why an array of the table's row type cannot be used.
const REFUSES_NULL: &str = "a column that the rows do not give has a domain type that refuses NULL";

/// Why COPY does not write into the target.
const FILLS_IN: &str = "an expression sets a column of the new rows, which COPY into the target cannot do";

/// Chooses how rows travel. A transport that was asked for is used or refused, never replaced.
pub(crate) fn choose(asked: Transport, facts: &Facts) -> Result<Choice> {
    // Where no trigger can drop a row, the number of rows that COPY tells is the outcome of each.
    let told = facts.form == Form::Count || (facts.form == Form::Outcomes && !facts.triggered);
    let could_copy = facts.plain_insert && told && facts.takes_copy && facts.gives_columns;
    let into_target = could_copy && !facts.fills_in;
    let because = |reason| if could_copy { FILLS_IN } else { reason };
    let stage = facts.may_stage && facts.gives_columns;
    let unmatchable = facts.form != Form::Count && !facts.matchable && !into_target;
    let single = facts.rows_possible || facts.columns_possible;
    let chosen =
        |transport, reason| Ok(Choice { transport, into_target: into_target && transport == Transport::Copy, reason });
    let asked_for = |possible: bool, why: &str| match possible {
        true => chosen(asked, "it was asked for"),
        false => Err(Error::new(ErrorKind::Config, format!("the transport cannot be used here: {why}"))),
    };
    match asked {
        Transport::Single => asked_for(single, REFUSES_NULL),
        Transport::UnnestRows | Transport::UnnestColumns if facts.form != Form::Count && !facts.matchable => {
            asked_for(false, "no key is given or drawn beforehand by which the returned rows would find their input")
        }
        Transport::Copy if unmatchable => {
            asked_for(false, "no key is given or drawn beforehand by which the returned rows would find their input")
        }
        Transport::Copy => asked_for(
            into_target || stage,
            "the current user may not make temporary tables, or the rows have no columns",
        ),
        Transport::UnnestRows => asked_for(facts.rows_possible, REFUSES_NULL),
        Transport::UnnestColumns if !facts.gives_columns => asked_for(false, "the rows have no columns"),
        Transport::UnnestColumns => asked_for(facts.columns_possible, REFUSES_NULL),
        Transport::Auto if unmatchable => chosen(
            Transport::Single,
            "returned rows could find their input in no other way: no key is given or drawn beforehand",
        ),
        Transport::Auto if into_target => {
            chosen(Transport::Copy, "no rows have to come back, so COPY writes into the target")
        }
        Transport::Auto if facts.narrow && facts.columns_possible => {
            chosen(Transport::UnnestColumns, because("the rows give few of the table's columns"))
        }
        Transport::Auto if facts.rows_possible => {
            chosen(Transport::UnnestRows, because("one parameter carries whole rows"))
        }
        Transport::Auto if facts.columns_possible => chosen(Transport::UnnestColumns, REFUSES_NULL),
        Transport::Auto if stage => chosen(Transport::Copy, REFUSES_NULL),
        Transport::Auto => asked_for(false, REFUSES_NULL),
    }
}
