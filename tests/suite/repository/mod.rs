//! The repository's contract: one body over PostgreSQL with batch operations, PostgreSQL with single statements, and
//! the in-memory twin. Nothing here looks into the database but through the repository.

mod concurrency;
mod failures;
pub(crate) mod graphs;
mod habits;
mod model;
mod places;
mod random;
mod rows;
mod transactions;

use places::{Place, Way};

/// A test of each part of the contract, at each place.
macro_rules! contract {
    ($($room:ident: $($part:ident)*;)*) => {
        contract!(@at on_postgres_in_batches Batches $($room: $($part)*;)*);
        contract!(@at on_postgres_by_single_statements Single $($room: $($part)*;)*);
        contract!(@at on_the_twin Twin $($room: $($part)*;)*);
    };
    (@at $place:ident $way:ident $($room:ident: $($part:ident)*;)*) => {
        mod $place {
            use super::{Place, Way};

            $($(
                #[tokio::test]
                async fn $part() {
                    super::$room::$part(&Place::new(Way::$way).await).await;
                }
            )*)*
        }
    };
}

contract! {
    rows: add_and_get update upsert_and_remove conditions orders_and_pages plain defaults_and_keys references;
    failures: a_chunk_fails_as_a_whole unique_keys_are_kept references_are_kept rows_without_a_form
        the_duplicate_policy null_in_the_conflict_key bad_rows_are_turned_away all_or_nothing names_and_settings;
    transactions: commit_rollback_and_drop two_repositories nested an_error_leaves_it_usable isolation
        transactions_of_others the_servers_time;
    concurrency: a_taken_key_waits_for_its_rival a_locked_row_waits_for_its_rival a_referenced_row_is_held
        a_deadlock_ends_one a_lock_timeout many_tasks;
    graphs: graphs_are_stored_and_loaded what_is_not_loaded_and_what_is_unknown trees graphs_fail_whole
        graphs_in_a_transaction;
    habits: versions marks_of_deletion values_of_new_rows;
}
