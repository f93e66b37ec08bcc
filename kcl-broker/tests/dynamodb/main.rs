//! The AWS SDK for DynamoDB against the broker, through both doors: every scenario must go the same way in process and over
//! HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod doors;
mod scenarios;

use doors::World;

/// Runs the scenario of this name through both doors.
macro_rules! through_both_doors {
    ($($scenario:ident)*) => {
        mod in_process {
            $(#[tokio::test(start_paused = true)]
            async fn $scenario() {
                super::scenarios::$scenario(&super::World::in_process()).await;
            })*
        }

        mod over_http {
            $(#[tokio::test]
            async fn $scenario() {
                let world = super::World::over_http().await;
                super::scenarios::$scenario(&world).await;
                world.shutdown().await;
            })*
        }
    };
}

through_both_doors! {
    a_table_is_made_described_and_removed
    an_index_of_owners_is_added_and_queried
    of_many_that_take_a_lease_at_once_one_gets_it
    items_of_every_type_come_back_unchanged
    a_refused_write_shows_the_item
    parallel_segments_find_every_lease_once
    a_transaction_is_done_whole_or_refused_with_reasons
    trouble_is_met_and_retried
}
