//! What every log promises, as tests that any implementation of `Log` can be put through.
//!
//! One function a promise; each makes topics and groups of its own, so they can share a broker. Offsets may have gaps
//! (transaction markers take some), and assignments may take a few polls.
//!
//! A crate of tests includes this folder by `#[path]` and calls [`log_suite!`] with a function that hands a log to a
//! closure: `fn with_log(test: impl FnOnce(MyLog))`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

pub(crate) mod committing;
pub(crate) mod handover;
pub(crate) mod outside;
pub(crate) mod reading;
pub(crate) mod sharing;
pub(crate) mod support;

/// Makes a test of every promise.
macro_rules! log_suite {
    ($with_log:path) => {
        log_suite! { $with_log, reading:
            records_are_read_in_the_order_written,
            missing_and_empty_keys_and_values_differ,
            headers_and_timestamps_come_back,
            a_record_of_ten_megabytes_passes,
            a_reader_starts_where_it_is_told,
            a_reader_of_one_partition_reads_no_other,
            offsets_are_found_by_time,
            settings_of_a_topic_are_those_it_was_made_with,
            no_partition_starves_beside_a_long_one,
            bounds_follow_the_records,
            keys_choose_partitions_as_in_kafkas_own_client,
            an_unknown_topic_is_named_and_never_made,
            a_deleted_topic_is_gone_and_its_name_free,
            a_topic_made_twice_stays_as_it_was,
            topics_with_bad_names_are_refused,
        }
        log_suite! { $with_log, committing:
            a_commit_shows_records_offsets_and_metadata,
            a_refused_commit_leaves_nothing,
            an_empty_commit_is_harmless,
            a_reader_knows_the_end_of_a_partition_that_commits_have_written,
            a_partition_is_read_whole_whatever_it_ends_with,
            a_commit_may_span_topics,
            a_newer_session_fences_the_older,
            a_commit_tells_where_its_records_lie,
            offsets_of_partitions_that_are_not_ones_own_are_refused,
            a_session_that_is_no_member_yet_commits_nothing,
            commits_at_least_once_show_records_and_offsets_too,
            what_is_committed_stands_when_its_session_has_ended,
            a_later_session_goes_on_at_the_committed_offsets,
            metadata_of_any_text_comes_back,
        }
        log_suite! { $with_log, sharing:
            a_lone_session_gets_every_partition_of_its_topics,
            sessions_share_partitions_and_each_record_is_read_once,
            a_topic_apart_is_shared_by_itself_and_committed_with_the_others,
            partitions_of_a_session_that_leaves_go_to_the_others,
            groups_do_not_disturb_each_other,
            a_session_reads_on_where_it_seeks,
            seeking_elsewhere_is_refused,
        }
        log_suite! { $with_log, handover:
            nothing_is_fetched_of_a_partition_before_it_is_begun,
            steps_out_of_their_order_are_refused,
            a_partition_changes_hands_only_after_its_release,
            what_is_kept_is_read_on_without_a_gap_while_others_move,
            what_is_paused_brings_nothing_until_it_is_resumed,
            a_partition_that_was_given_up_while_paused_comes_back_unpaused,
        }
        log_suite! { $with_log, outside:
            a_group_tells_from_outside_where_it_stands,
            a_group_knows_its_members,
            offsets_are_set_from_outside_only_while_nobody_is_there,
            ending_what_dead_members_left_open_disturbs_nobody_alive,
        }
    };
    ($with_log:path, $part:ident: $($promise:ident,)*) => {
        $(
            #[test]
            fn $promise() {
                $with_log(|log| log_suite::$part::$promise(&log));
            }
        )*
    };
}
pub(crate) use log_suite;
