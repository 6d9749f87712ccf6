//! Bad rows are turned away: each row has the model's outcome, and a reject the model's reason.

use batchkit::{BatchOperations, ExecutionStrategy, Outcome, Report};

use super::generate::{Case, Way};
use super::reference::{Fact, Part, Table, Unsent, Verb};

pub(super) async fn check(
    operations: &BatchOperations<Part>,
    case: &Case,
    before: &Table,
    unsent: &Unsent,
    report: &Report,
) {
    let outcomes = report.outcomes().unwrap();
    assert_eq!((report.not_attempted(), report.failed(), report.unknown()), (0, 0, 0));
    let mut after = before.clone();
    let verdicts = after.run(case.verb, &case.rows, unsent.sent());
    let reject = |row| report.rejects().iter().find(|reject| reject.position == row).unwrap();
    let refused = |row: usize, facts: &[Fact]| {
        let is_told = facts.iter().any(|fact| fact.is_told_by(reject(row)));
        assert!(is_told, "row {row} is turned away for one of {facts:?}: {:?}", reject(row));
    };
    for (row, &outcome) in outcomes.iter().enumerate() {
        match unsent.refused[row] {
            Some(fact) => {
                assert_eq!(outcome, Outcome::Rejected, "row {row}: {fact:?}");
                refused(row, &[fact]);
            }
            None => assert_eq!(outcome == Outcome::Duplicate, unsent.duplicate[row], "row {row}"),
        }
    }
    if before.is_contested(case.verb, &case.rows) {
        // It depends on the order in which the server takes the rows which of them get the code. That the table
        // has what the outcomes say was seen before.
        return;
    }
    for (row, verdict) in unsent.sent().into_iter().zip(&verdicts) {
        let outcome = outcomes[row];
        assert!(verdict.allows(outcome), "row {row} is {outcome:?}, by the model {verdict:?}; all: {outcomes:?}");
        if outcome == Outcome::Rejected {
            refused(row, verdict.facts());
        }
    }
    // What was turned away fails alone, too.
    let way = Way { strategy: ExecutionStrategy::Chunked, ..case.way };
    for reject in report.rejects() {
        let row = std::slice::from_ref(&case.rows[reject.position]);
        let verdict = after.clone().run(case.verb, row, [0]).remove(0);
        if case.verb == Verb::InsertIgnoring && !verdict.is_refused() && unsent.refused[reject.position].is_none() {
            // A later row has its key by now: it would be left out, and refused no more.
            continue;
        }
        let alone = super::call(operations, case.verb, way, row).await.unwrap();
        assert_eq!(alone.rejected(), 1, "row {} alone", reject.position);
        assert_eq!(alone.rejects()[0].sqlstate.is_none(), reject.sqlstate.is_none(), "row {} alone", reject.position);
    }
}
