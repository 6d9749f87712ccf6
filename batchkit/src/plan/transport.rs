//! The choice of how rows travel, and its reason.

use super::by_rows::ByRows;
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
    /// Whether they can without a parameter of the table's own type, for which the table has to be locked first.
    pub(crate) columns_alone: bool,
    /// Whether a statement numbers its rows, so that what it answers of each finds it.
    pub(crate) numbered: bool,
    /// Whether the rows have columns at all.
    pub(crate) gives_columns: bool,
    /// Whether answered rows find their input: by a key that is given or drawn beforehand, or by another column that
    /// is unique and given.
    pub(crate) matchable: bool,
    /// Whether a trigger may change or drop a row before it is inserted.
    pub(crate) triggered: bool,
    /// Whether an expression sets a column of the inserted rows.
    pub(crate) fills_in: bool,
    /// Whether the rows give few of the table's columns.
    pub(crate) narrow: bool,
    /// Whether all that is answered of a stored row can be known before it is sent.
    pub(crate) foretold: bool,
    /// Whether columns of stored rows are set.
    pub(crate) updates: bool,
    /// Whether a statement that counts may answer of each row that was written what became of it.
    pub(crate) counts_each: bool,
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

/// Why each row has a statement of its own.
const UNMATCHABLE: &str = "returned rows would not find their input: no key is given or drawn beforehand, nor is \
                           another unique column given";

/// Why few rows do not go by COPY.
const FEW: &str = "for few rows, a statement with them as its parameters has fewer round trips than COPY";

/// Why rows are not sent as whole rows.
const BESIDE: &str = "columns go beside each other, as quickly as whole rows, for which the table has to be locked";

/// Why few rows are not sent as whole rows.
const FEW_WHOLE: &str = "few rows go by columns, for which the table need not be locked beforehand";

/// Why one row is not sent as many are.
const ONE: &str = "what comes back of one row can only be of that one: nothing has to be joined";

/// Why many rows are staged.
const MANY: &str = "many rows that update stored ones are quickest by a staging table";

/// Why COPY does not write into the target.
const FILLS_IN: &str = "an expression sets a column of the new rows, which COPY into the target cannot do";

/// The fewest rows that are worth a COPY (this and the next numbers are read off docs/performance.md). It has one round
/// trip more than a statement, and less work with each row: by a socket it is level from some ten rows on, but to a
/// server behind any network the round trip costs more than the work with so many.
const WORTH_COPY: usize = 200;

/// The fewest rows that are worth locking their table, as whole rows in one parameter need it.
const WORTH_A_LOCK: usize = 50;

/// The fewest rows that are worth to be counted by the server: it has a few microseconds of work with setting that up,
/// and then less with each row than if it told of it.
const WORTH_COUNTING: usize = 50;

/// The fewest rows of which it is worth to know all that will be stored, so that they go by COPY: it costs two round
/// trips, and the server less work with each row.
const WORTH_FORETELLING: usize = 2_000;

/// The same where a statement would have to number its rows and join what it answers with them.
const WORTH_NOT_NUMBERING: usize = 300;

/// The fewest rows to update that are worth a staging table: making it costs some milliseconds, and joining it less
/// than an array.
const WORTH_STAGING: usize = 20_000;

/// How many rows a statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// One.
    One,
    /// So few that what is done once for all of them counts more than what is done with each.
    Few,
    /// Any number.
    Many,
}

impl Size {
    /// That of the statements of chunks with fewer rows than `below`.
    pub(crate) fn of(choice: Choice, below: usize) -> Self {
        match choice.transport {
            Transport::Single => Size::One,
            _ if below <= WORTH_COUNTING => Size::Few,
            _ => Size::Many,
        }
    }
}

/// Chooses how rows travel. Where COPY into the target may turn out not to do what it was chosen for, the last of the
/// transports of few rows is taken instead.
pub(crate) fn by_rows(asked: Transport, facts: &Facts) -> Result<ByRows<Choice>> {
    let mut many = choose(asked, facts)?;
    let by_parameters = matches!(many.transport, Transport::UnnestRows | Transport::UnnestColumns);
    let mut few: Vec<(usize, Choice)> = Vec::new();
    if many.into_target {
        few.extend(other(asked, facts));
    } else if asked == Transport::Auto && by_parameters && facts.updates && facts.may_stage {
        few.push((WORTH_STAGING, many));
        many = Choice { transport: Transport::Copy, into_target: false, reason: MANY };
    }
    let (most, least) = few.first().map_or((usize::MAX, many), |(below, choice)| (*below, *choice));
    if asked == Transport::Auto && least.transport == Transport::UnnestRows && facts.columns_alone {
        let columns = Choice { transport: Transport::UnnestColumns, into_target: false, reason: FEW_WHOLE };
        match few.first_mut() {
            Some(first) if most <= WORTH_A_LOCK => first.1 = columns,
            _ => few.insert(0, (WORTH_A_LOCK, columns)),
        }
    }
    if asked == Transport::Auto && facts.counts_each && !least.into_target {
        let least = few.first().map_or(many, |(_, choice)| *choice);
        few.insert(0, (WORTH_COUNTING, least));
    }
    let one_possible = facts.rows_possible || facts.columns_possible;
    let answers_many = facts.form != Form::Count && least.transport != Transport::Single && !least.into_target;
    if asked == Transport::Auto && facts.plain_insert && answers_many && one_possible {
        few.insert(0, (2, Choice { transport: Transport::Single, into_target: false, reason: ONE }));
    }
    Ok(ByRows { few, many })
}

/// Another transport than COPY into the target.
fn other(asked: Transport, facts: &Facts) -> Option<(usize, Choice)> {
    if facts.form.has_rows() {
        let other = choose(asked, &Facts { foretold: false, ..*facts }).ok()?;
        let below = match (asked, other.transport) {
            (Transport::Copy, _) => 0,
            (_, Transport::Single) => 2,
            _ if facts.numbered => WORTH_NOT_NUMBERING,
            _ => WORTH_FORETELLING,
        };
        return Some((below, other));
    }
    let other = choose(asked, &Facts { takes_copy: false, ..*facts }).ok()?;
    let is_quick = matches!(other.transport, Transport::UnnestRows | Transport::UnnestColumns);
    (asked == Transport::Auto && is_quick).then_some((WORTH_COPY, Choice { reason: FEW, ..other }))
}

/// Chooses how rows travel. A transport that was asked for is used or refused, never replaced.
pub(crate) fn choose(asked: Transport, facts: &Facts) -> Result<Choice> {
    // What is stored of rows that COPY has written is known only if it was before; and should that turn out not to
    // hold, there has to be another way.
    let foretold = facts.form.has_rows()
        && facts.foretold
        && choose(asked, &Facts { foretold: false, ..*facts }).is_ok_and(|other| !other.into_target);
    // Where no trigger can drop a row, the number of rows that COPY tells is the outcome of each.
    let told = facts.form == Form::Count || (facts.form == Form::Outcomes && !facts.triggered) || foretold;
    let could_copy = facts.plain_insert && told && facts.takes_copy && facts.gives_columns;
    let into_target = could_copy && (foretold || !facts.fills_in);
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
            asked_for(false, UNMATCHABLE)
        }
        Transport::Copy if unmatchable => asked_for(false, UNMATCHABLE),
        Transport::Copy => asked_for(
            into_target || stage,
            "the current user may not make temporary tables, or the rows have no columns",
        ),
        Transport::UnnestRows => asked_for(facts.rows_possible, REFUSES_NULL),
        Transport::UnnestColumns if !facts.gives_columns => asked_for(false, "the rows have no columns"),
        Transport::UnnestColumns => asked_for(facts.columns_possible, REFUSES_NULL),
        Transport::Auto if unmatchable => chosen(Transport::Single, UNMATCHABLE),
        Transport::Auto if foretold && into_target => chosen(
            Transport::Copy,
            "all that comes back is known before the rows are sent, so COPY writes into the target",
        ),
        Transport::Auto if into_target => {
            chosen(Transport::Copy, "no rows have to come back, so COPY writes into the target")
        }
        Transport::Auto if facts.columns_alone && !facts.numbered => chosen(Transport::UnnestColumns, because(BESIDE)),
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
