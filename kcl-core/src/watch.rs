//! [`LeaseWatch`]: who lives and who is gone, judged by watching counters on one's own clock.
//!
//! No time is stored in the lease table, so no two clocks are ever compared: a holder renews its lease by moving the
//! counter, and an observer that has seen the same counter for longer than the failover time takes the holder for gone.

use std::{borrow::Borrow, collections::BTreeMap, time::Duration};

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

    fn expires_at(&self, failover_time: Duration) -> Tick {
        self.first + failover_time + Duration::from_millis(1)
    }

    /// Takes in the row as a scan shows it.
    fn look(&mut self, now: Tick, scan: u64, lease: &Lease) {
        if self.counter == lease.counter {
            self.last = self.last.max(now);
        } else {
            (self.counter, self.first, self.last, self.moved) = (lease.counter, now, now, true);
        }
        self.scan = scan;
    }
}

impl LeaseWatch {
    /// Takes in a scan of the whole table that was made at `now`. Rows that vanished are forgotten.
    ///
    /// A counter that moved, and a row that is seen for the first time, count from `now`. A hand-off request moves no
    /// counter, so the age goes on: it is still the old owner whose renewals tell that it lives.
    pub fn observe<L: Borrow<Lease>>(&mut self, now: Tick, leases: &[L]) {
        self.scans += 1;
        let scan = self.scans;
        // Scans are in order of keys as this memory is, so one walk along both does for all but new rows.
        let mut known = self.seen.iter_mut().peekable();
        let mut others: Vec<&Lease> = Vec::new();
        for lease in leases.iter().map(Borrow::borrow) {
            while known.next_if(|(key, _)| **key < lease.key).is_some() {}
            match known.next_if(|(key, _)| **key == lease.key) {
                Some((_, seen)) => seen.look(now, scan, lease),
                None => others.push(lease),
            }
        }
        for lease in others {
            let seen = self.seen.entry(lease.key.clone());
            seen.and_modify(|seen| seen.look(now, scan, lease)).or_insert(Seen {
                counter: lease.counter,
                first: now,
                last: now,
                moved: false,
                scan,
            });
        }
        self.seen.retain(|_, seen| seen.scan == scan);
    }

    /// The leases of these that have a holder which is gone, as [`is_expired`](Self::is_expired) says; and when the next of
    /// them will be found so, if its counter does not move. Leases in order of keys are judged fastest.
    pub fn expiries<'a>(
        &self,
        now: Tick,
        leases: impl IntoIterator<Item = &'a Lease>,
        failover_time: Duration,
    ) -> (Vec<&'a Lease>, Option<Tick>) {
        let mut known = self.seen.iter().peekable();
        let mut expired = Vec::new();
        let mut next: Option<Tick> = None;
        for lease in leases.into_iter().filter(|lease| lease.holder().is_some()) {
            while known.next_if(|(key, _)| **key < lease.key).is_some() {}
            let here = known
                .peek()
                .filter(|(key, _)| **key == lease.key)
                .map(|(_, seen)| *seen);
            let Some(seen) = here.or_else(|| self.seen.get(&lease.key)) else {
                continue;
            };
            let patience = lease.patience(failover_time);
            if seen.counter == lease.counter && seen.unchanged_for(now) > patience {
                expired.push(lease);
            }
            let at = seen.expires_at(patience);
            if at > now {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        (expired, next)
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

    /// Whether the lease has a holder and this holder is gone: it has not renewed for longer than `failover_time`, or than it
    /// said that it may.
    ///
    /// A lease that nobody holds is free, not expired; and a row that is newer than the last look lives.
    #[must_use]
    pub fn is_expired(&self, now: Tick, lease: &Lease, failover_time: Duration) -> bool {
        let patience = lease.patience(failover_time);
        lease.holder().is_some() && self.unchanged_for(now, lease).is_some_and(|age| age > patience)
    }

    /// Starts to watch anew: every lease gets a whole failover time again. For an observer whose own clock cannot be
    /// trusted, such as after the machine slept.
    pub fn forget_history(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests;
