//! From an error to what is done about it: a pure function over a table of SQLSTATEs.

/// Where in a chunk's course an error came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// While a connection was had from the pool.
    Connect,
    /// While the transaction was opened and its settings were made.
    Begin,
    /// Before `COMMIT` was sent: the chunk is not in.
    Work,
    /// After `COMMIT` was sent.
    Commit,
}

/// What is known of an error. Severity outranks the code; texts are localised and count for nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    /// Where it came up.
    pub(crate) stage: Stage,
    /// The SQLSTATE; `None` when the connection broke without a word.
    pub(crate) code: Option<&'a str>,
    /// Whether the server ended the connection with it (FATAL, PANIC).
    pub(crate) fatal: bool,
    /// The server's function that raised it.
    pub(crate) routine: Option<&'a str>,
    /// Whether the server met the id of something that is gone ("cache lookup failed", which it never
    /// translates).
    pub(crate) cache_lookup: bool,
    /// Whether transactions run under repeatable read or serializable.
    pub(crate) snapshot: bool,
    /// Whether a row was found to be wrong before the server saw it: it names another row above than it is below.
    pub(crate) invalid_row: bool,
    /// Whether a statement was found to answer other types than the table's columns had.
    pub(crate) changed_table: bool,
}

/// What is done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The commit's fate is looked up first.
    Resolve,
    /// The same chunk is tried again.
    Again,
    /// The same chunk is tried again, once.
    AgainOnce,
    /// The chunk is tried again on a fresh connection.
    Fresh,
    /// The chunk is tried again on a fresh connection, once.
    FreshOnce,
    /// The chunk was too much for the server: it is cut in two. Where all rows are to be one transaction, the call
    /// stops.
    Halve,
    /// What is known of the table and its statements is asked again, once.
    ClearCaches,
    /// The rows to blame are looked for.
    FindBadRows,
    /// The call stops.
    Stop,
}

/// What is done about a failure.
pub(crate) fn classify(failure: Failure<'_>) -> Answer {
    if failure.invalid_row {
        return Answer::FindBadRows;
    }
    if failure.changed_table {
        return Answer::ClearCaches;
    }
    let Some(code) = failure.code else {
        return if failure.stage == Stage::Commit { Answer::Resolve } else { Answer::Fresh };
    };
    if matches!(code, "08007" | "40003") || (failure.stage == Stage::Commit && code.starts_with("08")) {
        return Answer::Resolve;
    }
    if failure.fatal {
        return match code {
            // A database that is gone, a refused login, a missing database.
            "57P04" | "3D000" => Answer::Stop,
            _ if code.starts_with("28") => Answer::Stop,
            _ if failure.stage == Stage::Commit => Answer::Resolve,
            _ => Answer::Fresh,
        };
    }
    match code {
        // A setting that the server refuses is no row's fault.
        _ if failure.stage == Stage::Begin && code.starts_with("22") => Answer::Stop,
        // Serialization failure, deadlock, other rollbacks, lock not available, object in use.
        "40001" | "40P01" | "40000" | "55P03" | "55006" => Answer::Again,
        // Under a snapshot, a rival's new row is not seen, only run into.
        "23505" | "23P01" if failure.snapshot => Answer::AgainOnce,
        "08000" | "08001" | "08003" | "08006" | "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "25P03" => {
            Answer::Fresh
        }
        // The connection reached a server that only reads: another one may have taken over.
        "25006" => Answer::Fresh,
        "08P01" => Answer::FreshOnce,
        // Out of memory, statement too complex, transaction or statement timeout.
        "53200" | "54001" | "25P04" | "57014" => Answer::Halve,
        "0A000" if failure.routine == Some("RevalidateCachedQuery") => Answer::ClearCaches,
        "26000" | "42P05" => Answer::ClearCaches,
        // An array of rows of a type that the table has no longer.
        "42804" if matches!(failure.routine, Some("record_recv" | "array_recv")) => Answer::ClearCaches,
        "XX000" if failure.cache_lookup => Answer::ClearCaches,
        // Row security.
        "42501" if failure.routine == Some("ExecWithCheckOptions") => Answer::FindBadRows,
        "44000" | "54000" | "21000" | "P0001" | "P0002" | "P0003" => Answer::FindBadRows,
        _ if matches!(code.get(..2), Some("22" | "23" | "38" | "39")) => Answer::FindBadRows,
        _ => Answer::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(code: &str) -> Failure<'_> {
        Failure {
            stage: Stage::Work,
            code: Some(code),
            fatal: false,
            routine: None,
            cache_lookup: false,
            snapshot: false,
            invalid_row: false,
            changed_table: false,
        }
    }

    #[test]
    fn the_table() {
        let table: [(Answer, &[&str]); 7] = [
            (Answer::Resolve, &["08007", "40003"]),
            (Answer::Again, &["40001", "40P01", "40000", "55P03", "55006"]),
            (
                Answer::Fresh,
                &["08000", "08001", "08003", "08006", "57P01", "57P02", "57P03", "57P05", "53300", "25P03", "25006"],
            ),
            (Answer::Halve, &["53200", "54001", "25P04", "57014"]),
            (Answer::ClearCaches, &["26000", "42P05"]),
            (
                Answer::FindBadRows,
                &[
                    "22001", "22003", "22P02", "23502", "23503", "23505", "23514", "23P01", "44000", "54000", "P0001",
                    "P0002", "P0003", "38000", "39P01", "21000",
                ],
            ),
            (
                Answer::Stop,
                &[
                    "42601", "42P01", "42501", "28000", "3D000", "3F000", "53100", "53400", "55000", "57P04", "58030",
                    "XX000", "XX001", "XX002", "0A000", "F0000", "99999",
                ],
            ),
        ];
        for (answer, codes) in table {
            for code in codes {
                assert_eq!(classify(work(code)), answer, "{code}");
            }
        }
        assert_eq!(classify(work("08P01")), Answer::FreshOnce);
    }

    #[test]
    fn severity_outranks_the_code() {
        for code in ["22001", "23505", "42601", "57P01", "XX000", "53100"] {
            assert_eq!(classify(Failure { fatal: true, ..work(code) }), Answer::Fresh, "{code}");
            let commit = Failure { fatal: true, stage: Stage::Commit, ..work(code) };
            assert_eq!(classify(commit), Answer::Resolve, "{code}");
        }
        for code in ["28P01", "28000", "3D000", "57P04"] {
            assert_eq!(classify(Failure { fatal: true, ..work(code) }), Answer::Stop, "{code}");
        }
    }

    #[test]
    fn a_connection_that_breaks_without_a_word() {
        let silent = |stage| Failure { stage, code: None, ..work("") };
        assert_eq!(classify(silent(Stage::Connect)), Answer::Fresh);
        assert_eq!(classify(silent(Stage::Work)), Answer::Fresh);
        assert_eq!(classify(silent(Stage::Commit)), Answer::Resolve);
        // A pooler may have lost the server behind it.
        for code in ["08006", "08P01"] {
            assert_eq!(classify(Failure { stage: Stage::Commit, ..work(code) }), Answer::Resolve);
        }
        // Another plain ERROR at COMMIT has been rolled back: a deferred constraint, a serialization failure.
        assert_eq!(classify(Failure { stage: Stage::Commit, ..work("23503") }), Answer::FindBadRows);
        assert_eq!(classify(Failure { stage: Stage::Commit, ..work("40001") }), Answer::Again);
    }

    #[test]
    fn the_routine_tells_stale_plans_and_row_security() {
        let by = |code, routine| classify(Failure { routine: Some(routine), ..work(code) });
        assert_eq!(by("0A000", "RevalidateCachedQuery"), Answer::ClearCaches);
        assert_eq!(classify(Failure { cache_lookup: true, ..work("XX000") }), Answer::ClearCaches);
        assert_eq!(by("42501", "ExecWithCheckOptions"), Answer::FindBadRows);
        assert_eq!(by("42501", "aclcheck_error"), Answer::Stop);
        assert_eq!(by("42804", "record_recv"), Answer::ClearCaches);
        assert_eq!(by("42804", "transformAssignedExpr"), Answer::Stop);
    }

    #[test]
    fn a_setting_that_is_refused_blames_no_row() {
        assert_eq!(classify(Failure { stage: Stage::Begin, ..work("22023") }), Answer::Stop);
        assert_eq!(classify(Failure { stage: Stage::Begin, ..work("57P01") }), Answer::Fresh);
    }

    #[test]
    fn under_a_snapshot_a_unique_violation_may_be_a_rivals() {
        for code in ["23505", "23P01"] {
            assert_eq!(classify(Failure { snapshot: true, ..work(code) }), Answer::AgainOnce);
        }
    }
}
