//! The first bad row ends the call: whole chunks are in or out, and the error tells of the right rows.

use bytes::BytesMut;
use postgres_types::{ToSql, Type};

use batchkit::{Error, ErrorKind, ExecutionStrategy, Outcome, Report};

use super::generate::Case;
use super::reference::{Table, Unsent, Verb};

/// What an aborting call does.
#[derive(Debug)]
struct Plan {
    /// The rows of each chunk that is made.
    chunks: Vec<Vec<usize>>,
    /// Whether a row that cannot be sent ends the call behind them.
    ends_early: bool,
}

pub(super) fn check(case: &Case, before: &Table, unsent: &Unsent, policy_refuses: bool, result: Result<Report, Error>) {
    use ExecutionStrategy::{Optimistic, Parallel, SingleQuery};
    let way = &case.way;
    let whole = matches!(way.strategy, SingleQuery | Optimistic);
    // Rows whose keys are compared are all made ready first.
    let collected = case.verb.target().is_some() || (way.strategy == Parallel && case.verb == Verb::InsertIgnoring);
    let first_bad = unsent.refused.iter().position(Option::is_some);
    let sent = unsent.sent();
    if (collected && first_bad.is_some()) || policy_refuses || (whole && first_bad.is_some()) {
        let error = result.unwrap_err();
        let report = error.report().unwrap();
        let untouched = report.not_attempted() + report.duplicates();
        assert_eq!((untouched, report.chunks()), (report.total(), 0), "nothing was tried: {error}");
        if let Some(row) = first_bad {
            // Of several rows without a form, which is found first depends on what is wrong with them.
            let [range] = error.rows() else { unreachable!("{error}") };
            assert!(unsent.refused[range.start].is_some() && range.len() == 1, "{error}; row {row} is bad");
            assert_eq!(error.kind(), ErrorKind::InvalidRow);
        } else {
            let named: Vec<usize> = error.rows().iter().cloned().flatten().collect();
            assert_eq!((error.kind(), &named), (ErrorKind::DuplicateKey, &unsent.paired));
        }
        return;
    }
    let mut sendable: Vec<usize> = sent.into_iter().filter(|row| first_bad.is_none_or(|bad| *row < bad)).collect();
    if case.verb.target().is_some() && way.strategy == Parallel {
        // Chunks at once have ranges of keys, by the bytes that are sent.
        sendable.sort_by_cached_key(|row| (sent_key(case, *row), *row));
    }
    let size = if whole { usize::MAX } else { way.chunk };
    let mut chunks: Vec<Vec<usize>> = sendable.chunks(size.min(sendable.len().max(1))).map(<[usize]>::to_vec).collect();
    if first_bad.is_some() && chunks.last().is_some_and(|last| last.len() < size) {
        // The bad row would have been in this one.
        chunks.pop();
    }
    let plan = Plan { chunks, ends_early: first_bad.is_some() };
    match way.strategy {
        Parallel => at_once(case, before, &plan, result),
        _ => in_order(case, before, unsent, plan, result),
    }
}

/// The bytes of a row's key.
fn sent_key(case: &Case, row: usize) -> Vec<u8> {
    let part = &case.rows[row];
    if case.verb.target() == Some("code") {
        return part.code.clone().unwrap_or_default().into_bytes();
    }
    let mut bytes = BytesMut::new();
    part.id.to_sql(&Type::NUMERIC, &mut bytes).unwrap();
    bytes.to_vec()
}

/// Chunks one after the other: it is known how far they come.
fn in_order(case: &Case, before: &Table, unsent: &Unsent, plan: Plan, result: Result<Report, Error>) {
    if before.is_contested(case.verb, &case.rows) {
        return;
    }
    let mut chunks = plan.chunks;
    let fails = |table: &Table, chunk: &[usize]| {
        let verdicts = table.clone().run(case.verb, &case.rows, chunk.iter().copied());
        verdicts.iter().any(|verdict| verdict.is_refused())
    };
    if let (ExecutionStrategy::Optimistic, [all]) = (case.way.strategy, &chunks[..])
        && all.len() > case.way.chunk
        && fails(before, all)
    {
        chunks = all.chunks(case.way.chunk).map(<[usize]>::to_vec).collect();
    }
    let mut table = before.clone();
    let mut expected: Vec<_> =
        unsent.duplicate.iter().map(|is| if *is { Outcome::Duplicate } else { Outcome::NotAttempted }).collect();
    let mut failed = None;
    for (number, chunk) in chunks.iter().enumerate() {
        let mut after = table.clone();
        let verdicts = after.run(case.verb, &case.rows, chunk.iter().copied());
        if verdicts.iter().any(|verdict| matches!(verdict, super::reference::Verdict::MissingOrRefused(_))) {
            // Whether this one fails depends on how it travels.
            return;
        }
        for (&row, verdict) in chunk.iter().zip(&verdicts) {
            if let super::reference::Verdict::Is(outcome) = verdict {
                expected[row] = *outcome;
            }
        }
        if verdicts.iter().any(|verdict| verdict.is_refused()) {
            chunk.iter().for_each(|&row| expected[row] = Outcome::Failed);
            failed = Some((number, chunk));
            break;
        }
        table = after;
    }
    let report = match (&failed, &result) {
        (None, Ok(report)) if !plan.ends_early => report,
        (None, Err(error)) if plan.ends_early => {
            assert_eq!(error.kind(), ErrorKind::InvalidRow, "{error}");
            error.report().unwrap()
        }
        (Some((number, chunk)), Err(error)) => {
            let named: Vec<usize> = error.rows().iter().cloned().flatten().collect();
            assert_eq!((error.chunk(), &named), (Some(*number), *chunk), "{error}");
            let facts = table.possible_faults(case.verb, &case.rows, chunk);
            let sqlstate = error.sqlstate().map(|state| state.code());
            assert!(
                facts.iter().any(|fact| (fact.kind, fact.sqlstate) == (error.kind(), sqlstate)),
                "{error}: {facts:?}"
            );
            error.report().unwrap()
        }
        _ => unreachable!("by the model {failed:?}; {result:?}"),
    };
    assert_eq!(report.outcomes().unwrap(), expected);
}

/// Chunks at once: each is wholly in, or failed, or was not tried.
fn at_once(case: &Case, before: &Table, plan: &Plan, result: Result<Report, Error>) {
    let report = match &result {
        Ok(report) => report,
        Err(error) => error.report().unwrap(),
    };
    let outcomes = report.outcomes().unwrap();
    if case.verb != Verb::InsertIgnoring {
        let fate = |row: usize| match outcomes[row] {
            Outcome::Failed => 'f',
            Outcome::NotAttempted => 'n',
            _ => 'i',
        };
        for chunk in &plan.chunks {
            assert!(chunk.iter().all(|&row| fate(row) == fate(chunk[0])), "{chunk:?} is one: {outcomes:?}");
        }
    }
    if before.is_contested(case.verb, &case.rows) {
        return;
    }
    let verdicts = before.clone().run(case.verb, &case.rows, plan.chunks.iter().flatten().copied());
    let is_unsure =
        |verdict: &super::reference::Verdict| matches!(verdict, super::reference::Verdict::MissingOrRefused(_));
    if verdicts.iter().any(is_unsure) {
        return;
    }
    let fails = plan.ends_early || verdicts.iter().any(|verdict| verdict.is_refused());
    assert_eq!(result.is_err(), fails, "{result:?}");
    if !fails {
        for (&row, verdict) in plan.chunks.iter().flatten().zip(&verdicts) {
            assert!(verdict.allows(outcomes[row]), "row {row} is {:?}, by the model {verdict:?}", outcomes[row]);
        }
    }
}
