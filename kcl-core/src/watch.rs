//! [`LeaseWatch`]: who lives and who is gone, judged by watching counters on one's own clock.
//!
//! No time is stored in the lease table, so no two clocks are ever compared: a holder renews its lease by moving the
//! counter, and an observer that has seen the same counter for longer than the failover time takes the holder for gone.

use std::{collections::BTreeMap, time::Duration};

use crate::{ids::LeaseKey, lease::Lease, time::Tick};

/// One observer's memory of the counters in a lease table.
///
/// ```
/// use std::time::Duration;
/// use kcl_core::{Lease, Position, ShardId, Tick, WorkerId, watch::LeaseWatch};
///
/// let mut lease = Lease::new(ShardId::new("shardId-000000000000")?, Position::TrimHorizon);
/// lease.owner = Some(WorkerId::new("somebody-else")?);
///
/// let mut watch = LeaseWatch::default();
/// let failover_time = Duration::from_secs(10);
/// let at = |seconds| Tick::from_origin(Duration::from_secs(seconds));
/// watch.observe(at(0), std::slice::from_ref(&lease));
/// watch.observe(at(11), std::slice::from_ref(&lease));
/// assert!(watch.is_expired(at(11), &lease, failover_time));
///
/// lease.counter += 1; // A renewal.
/// watch.observe(at(12), std::slice::from_ref(&lease));
/// assert!(!watch.is_expired(at(12), &lease, failover_time));
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LeaseWatch {
    seen: BTreeMap<LeaseKey, Seen>,
    scans: u64,
}

/// A counter, and between which two looks at the table it stood still.
#[derive(Clone, Copy, Debug)]
struct Seen {
    counter: u64,
    first: Tick,
    last: Tick,
    /// Whether it was ever seen to move.
    moved: bool,
    /// The last scan that had it.
    scan: u64,
}

impl Seen {
    fn unchanged_for(&self, now: Tick) -> Duration {
        self.last.min(now).since(self.first)
    }
}

impl LeaseWatch {
    /// Takes in a scan of the whole table that was made at `now`. Rows that vanished are forgotten.
    ///
    /// A counter that moved, and a row that is seen for the first time, count from `now`. A hand-off request moves no
    /// counter, so the age goes on: it is still the old owner whose renewals tell that it lives.
    pub fn observe(&mut self, now: Tick, leases: &[Lease]) {
        self.scans += 1;
        let scan = self.scans;
        for lease in leases {
            match self.seen.get_mut(&lease.key) {
                Some(seen) if seen.counter == lease.counter => {
                    seen.last = seen.last.max(now);
                    seen.scan = scan;
                }
                known => {
                    let moved = known.is_some();
                    let seen = Seen {
                        counter: lease.counter,
                        first: now,
                        last: now,
                        moved,
                        scan,
                    };
                    match known {
                        Some(known) => *known = seen,
                        None => {
                            self.seen.insert(lease.key.clone(), seen);
                        }
                    }
                }
            }
        }
        self.seen.retain(|_, seen| seen.scan == scan);
    }

    /// For how long this row is known to have been as it is; `None` for a row that the last scan did not have, or had with
    /// another counter.
    ///
    /// Only looks at the table count: between the last one and `now` the counter may have moved unseen. A worker that
    /// could not read the table for a while therefore does not take all others for gone.
    #[must_use]
    pub fn unchanged_for(&self, now: Tick, lease: &Lease) -> Option<Duration> {
        self.seen
            .get(&lease.key)
            .filter(|seen| seen.counter == lease.counter)
            .map(|seen| seen.unchanged_for(now))
    }

    /// Whether the counter was seen to move, and lately: within `time`. A row that was only ever seen as it is proves nothing
    /// about its holder.
    #[must_use]
    pub fn moved_within(&self, now: Tick, key: &LeaseKey, time: Duration) -> bool {
        self.seen
            .get(key)
            .is_some_and(|seen| seen.moved && now.since(seen.first) <= time)
    }

    /// Whether the lease has a holder and this holder is gone: it has not renewed for longer than `failover_time`.
    ///
    /// A lease that nobody holds is free, not expired; and a row that is newer than the last look lives.
    #[must_use]
    pub fn is_expired(&self, now: Tick, lease: &Lease, failover_time: Duration) -> bool {
        lease.holder().is_some() && self.unchanged_for(now, lease).is_some_and(|age| age > failover_time)
    }

    /// From when on a look at the table shows the lease as expired, if its counter does not move until then; `None` for a
    /// row that was not in the last scan.
    #[must_use]
    pub fn expires_at(&self, key: &LeaseKey, failover_time: Duration) -> Option<Tick> {
        self.seen
            .get(key)
            .map(|seen| seen.first + failover_time + Duration::from_millis(1))
    }

    /// Starts to watch anew: every lease gets a whole failover time again. For an observer whose own clock cannot be
    /// trusted, such as after the machine slept.
    pub fn forget_history(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests;
