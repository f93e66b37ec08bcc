//! `--until-idle`: when a worker has had nothing to do for a while.

use std::time::Duration;

use kcl_core::worker::WorkerPhase;
use kcl_runtime::{Report, WorkerHandle};
use tokio::time::{Instant, MissedTickBehavior};

/// A worker is asked a few times within the wished duration, within these limits.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(250);

/// Ends when the worker has been idle for `duration`; never without one. Gives the rows of the lease table that are no
/// leases: what their shards hold was not read by anybody.
///
/// What happens between two looks is not missed: `records_so_far` counts the records that passed through.
pub(crate) async fn until_idle(
    handle: &WorkerHandle,
    records_so_far: impl Fn() -> u64,
    duration: Option<Duration>,
) -> Vec<String> {
    let Some(duration) = duration else {
        return std::future::pending().await;
    };
    let mut looks = tokio::time::interval((duration / 10).clamp(SHORTEST, LONGEST));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut delivered = records_so_far();
    let mut idle_since: Option<Instant> = None;
    loop {
        let now = looks.tick().await;
        // Counted before the look: a record that arrives after it makes the next look count anew.
        let records = records_so_far();
        let Some(report) = handle.report().await else {
            return std::future::pending().await;
        };
        if !(report.is_idle() || has_nothing_to_read(&report)) || records != delivered {
            delivered = records;
            idle_since = None;
            continue;
        }
        if now.duration_since(*idle_since.get_or_insert(now)) >= duration {
            return report.worker.unreadable;
        }
    }
}

/// Whether the table has rows, and none of them is a lease: nothing will ever come.
fn has_nothing_to_read(report: &Report) -> bool {
    let worker = &report.worker;
    worker.phase == WorkerPhase::Running && worker.leases.is_empty() && !worker.unreadable.is_empty()
}
