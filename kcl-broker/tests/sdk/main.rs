//! The AWS SDK against the broker, through both doors: every scenario must go the same way in process and over HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod consumers;
mod control;
mod doors;
mod fanout;
mod scenarios;
mod settings;
mod tags;
mod trouble;

use doors::World;

/// Runs the scenarios of a module through both doors.
macro_rules! through_both_doors {
    ($tests:ident: $scenarios:ident: $($scenario:ident)*) => {
        mod $tests {
            use super::{World, $scenarios};

            mod in_process {
                $(#[tokio::test(start_paused = true)]
                async fn $scenario() {
                    super::$scenarios::$scenario(&super::World::in_process()).await;
                })*
            }

            mod over_http {
                $(#[tokio::test]
                async fn $scenario() {
                    let world = super::World::over_http().await;
                    super::$scenarios::$scenario(&world).await;
                    world.shutdown().await;
                })*
            }
        }
    };
}

through_both_doors! {
    registering: consumers:
    a_consumer_is_registered_described_listed_and_deregistered
}

through_both_doors! {
    setting: settings:
    records_of_an_encrypted_stream_say_so
    metrics_of_shards_are_enabled_and_disabled
    the_account_tells_its_limits_and_keeps_its_commitment
}

through_both_doors! {
    tagging: tags:
    streams_and_consumers_carry_tags
    the_tags_of_a_stream_are_listed_page_by_page
    streams_and_consumers_carry_policies
}

through_both_doors! {
    controlling: control:
    a_stream_gets_the_shards_that_it_is_to_have
    records_leave_with_a_shorter_retention
    a_stream_that_spreads_its_records_needs_no_keys
    a_stream_is_warmed_up_by_an_account_that_pays_for_it
    a_stream_takes_records_as_large_as_it_is_told_to
    what_is_only_tried_has_no_effect
}

through_both_doors! {
    subscribing: fanout:
    records_come_as_they_are_written
    a_split_ends_a_subscription_and_names_the_children
    another_subscription_takes_over_after_five_seconds
    a_subscription_goes_on_exactly_where_the_last_one_was_cut
    a_subscription_ends_after_five_minutes
    deleting_the_stream_fails_a_subscription
    an_event_of_ten_mebibytes_arrives
}

through_both_doors! {
    polling: scenarios:
    records_come_back_in_order_from_the_shard_that_their_key_points_to
    a_split_shard_drains_to_its_end_and_names_its_children
    merged_shards_name_one_child_with_both_as_parents
    listings_go_on_page_by_page
    an_iterator_expires_after_five_minutes
    a_stream_that_is_not_there_is_not_found
    a_deleted_stream_is_gone_with_its_iterators
    a_record_that_is_too_large_is_refused_and_nothing_of_its_request_is_written
    a_full_request_of_ten_mebibytes_passes
}

through_both_doors! {
    troubled: trouble:
    what_is_throttled_is_refused_as_the_operation_has_it
    records_of_a_throttled_shard_fail_one_by_one
    a_share_of_the_records_fails_by_the_seed
    a_failing_service_answers_with_its_status
    an_sdk_that_tries_again_gets_over_a_failing_service
    a_late_answer_is_waited_for
    a_dropped_answer_leaves_what_was_written
    a_dropped_request_leaves_nothing
    an_iterator_expires_at_once
    an_open_shard_ends_without_children
    a_stale_listing_does_not_know_of_a_split
    a_silent_subscription_opens_and_sends_nothing
    a_subscription_is_cut_off_after_so_many_events
    a_shard_is_in_use_for_the_second_subscription
    the_log_says_who_called_what_and_how_it_went
}

#[tokio::test]
async fn two_servers_share_a_broker_and_a_stopped_one_frees_its_port() {
    let world = World::over_http().await;
    let broker = world.broker().clone();
    let other = kcl_broker::Server::bind(broker.clone(), ([127, 0, 0, 1], 0))
        .await
        .unwrap();
    let client = doors::client_at(&other.endpoint_url());
    client
        .create_stream()
        .stream_name("s")
        .shard_count(1)
        .send()
        .await
        .unwrap();
    assert_eq!(
        world.client().list_streams().send().await.unwrap().stream_names(),
        ["s"]
    );

    let address = other.local_addr();
    assert!(address.ip().is_loopback());
    let taken = kcl_broker::Server::bind(broker.clone(), address).await.unwrap_err();
    assert!(taken.to_string().contains(&address.to_string()));
    other.shutdown().await;
    let again = kcl_broker::Server::bind(broker, address).await.unwrap();
    again.shutdown().await;
    world.shutdown().await;
}
