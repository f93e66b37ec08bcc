//! When to believe that the loads of the workers are uneven.

use std::time::Duration;

use crate::{assign::Move, time::Tick};

/// What leases weigh changes all the time, and each move costs the shard a pause. A difference must last before one is made.
const FAILOVER_TIMES: u32 = 3;

/// Since when each look has found something to move for the sake of the loads.
#[derive(Debug, Default)]
pub(super) struct Uneven {
    since: Option<Tick>,
}

impl Uneven {
    /// Takes in what a look has found; gives it back when looks have found something for long enough.
    pub(super) fn settle(&mut self, now: Tick, failover_time: Duration, planned: Option<Move>) -> Option<Move> {
        let Some(planned) = planned else {
            self.since = None;
            return None;
        };
        let since = *self.since.get_or_insert(now);
        if now.since(since) < failover_time * FAILOVER_TIMES {
            return None;
        }
        self.since = None;
        Some(planned)
    }
}
