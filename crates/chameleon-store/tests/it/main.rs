//! Both stores keep the same contract, and each its own promises.

mod board;
mod contract;
mod place;
#[cfg(unix)]
mod poolers;
mod postgres;
mod sqlite;
mod write;

use self::contract::{
    audit, cancelling, compaction, following, history, holds, lineage, migrating, reading, retries,
    sessions, tokens, writing,
};

/// Runs every case of the contract on one kind of store, each on a database of its own, under an
/// attribute.
macro_rules! store_tests {
    ($store:ident, $place:ty, $attribute:meta, [$($area:ident :: $case:ident,)*]) => {
        mod $store {
            $(
                #[$attribute]
                #[tokio::test]
                async fn $case() {
                    let place = <$place as crate::place::Place>::new().await;
                    super::$area::$case(&place).await;
                }
            )*
        }
    };
}

macro_rules! both_stores {
    ($($area:ident :: $case:ident,)*) => {
        store_tests!(on_postgres, crate::postgres::PostgresPlace, cfg(test), [$($area::$case,)*]);
        store_tests!(on_sqlite, crate::sqlite::SqlitePlace, cfg(test), [$($area::$case,)*]);
        #[cfg(unix)]
        store_tests!(
            through_a_pooler,
            crate::poolers::PooledPlace,
            ignore = "needs PgBouncer: cargo xtask poolers",
            [$($area::$case,)*]
        );
    };
}

both_stores! {
    writing::a_transaction_is_applied_whole_or_not_at_all,
    writing::every_unmet_precondition_refuses,
    writing::met_preconditions_let_pass,
    writing::a_group_is_decided_in_order,
    writing::what_changes_nothing_spends_no_revision,
    writing::revisions_have_no_gaps_under_concurrent_writers,
    writing::of_two_that_exclude_each_other_one_is_refused,
    writing::a_writer_that_is_behind_gets_what_others_committed,
    writing::a_large_transaction_is_stored_whole,
    writing::text_that_a_database_refuses_does_not_fail_the_group,
    retries::a_retry_gets_the_first_outcome,
    retries::a_retry_gets_the_first_outcome_whatever_it_comes_with,
    retries::a_retry_of_what_changed_nothing_changes_nothing_later,
    retries::a_refused_request_is_judged_anew,
    retries::a_request_twice_in_a_group_is_applied_once,
    retries::answers_are_forgotten_after_a_day,
    reading::an_empty_store_has_a_name,
    reading::entries_of_any_content_are_kept,
    reading::loading_equals_replaying,
    reading::sessions_and_locks_survive_loading,
    reading::markers_move_with_their_transaction,
    history::everything_about_a_commit_is_kept,
    history::commits_are_found_by_key_and_prefix,
    history::history_is_paged_from_the_newest,
    history::every_past_state_can_be_read,
    following::a_reader_gets_what_it_missed,
    following::a_reader_far_behind_is_told_to_load,
    following::a_follower_that_loses_any_notification_converges,
    following::the_first_nudge_comes_at_once,
    compaction::live_values_outlive_their_history,
    compaction::indexes_never_fall,
    compaction::a_deletion_stays_a_deletion,
    compaction::readers_below_the_floor_are_told_to_load,
    compaction::a_floor_above_the_head_is_refused,
    compaction::revisions_are_found_by_their_age,
    lineage::a_state_of_another_database_is_noticed,
    lineage::a_restored_copy_is_noticed,
    lineage::an_epoch_begins_only_where_it_was_meant_to,
    lineage::an_epoch_lies_above_all_that_readers_hold,
    lineage::commits_go_on_under_a_new_epoch,
    sessions::a_renewal_takes_no_revision_and_knows_who_lives,
    sessions::overdue_sessions_end_and_others_do_not,
    sessions::a_lock_delay_holds_for_every_server,
    sessions::the_index_of_sessions_never_falls,
    holds::everything_about_a_hold_is_kept,
    holds::a_hold_ends_for_everybody,
    holds::holds_are_a_part_of_every_past_state,
    tokens::a_token_is_kept_as_it_was_created,
    tokens::a_name_is_given_once,
    tokens::a_replaced_secret_is_known_for_its_grace,
    tokens::an_expired_token_is_not_rotated,
    tokens::a_change_of_tokens_wakes_every_follower,
    tokens::history_keeps_to_its_scopes,
    audit::a_record_is_kept_as_it_was_and_once,
    audit::a_large_batch_is_kept_whole_and_once,
    audit::records_are_found_by_what_they_tell,
    audit::a_token_sees_its_acts_and_its_keys,
    audit::a_time_is_a_sharp_border,
    audit::old_records_are_pruned,
    audit::what_a_later_version_wrote_can_be_read,
    migrating::what_a_later_version_adds_disturbs_no_store_that_serves,
    cancelling::a_commit_cancelled_anywhere_leaves_nothing_behind,
    cancelling::a_cancelled_commit_holds_up_nobody,
    cancelling::an_append_to_the_audit_cancelled_anywhere_leaves_nothing_behind,
    cancelling::a_read_cancelled_anywhere_leaves_nothing_behind,
    cancelling::a_compaction_cancelled_anywhere_leaves_nothing_behind,
}
