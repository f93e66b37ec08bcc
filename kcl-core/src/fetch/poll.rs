//! How often and how much to poll.

use std::time::Duration;

use crate::{record::Batch, time::Tick};

/// How often a shard is read.
///
/// The service allows five reads a second and shard, shared by all applications that poll it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollPacing {
    /// From the start of one read to the start of the next while there is more to read. The default of 200 ms uses what
    /// the service allows.
    pub while_behind: Duration,
    /// From the start of one read to the start of the next at the tip of the shard. The default of 1 s leaves room for
    /// others.
    pub at_tip: Duration,
}

impl Default for PollPacing {
    fn default() -> Self {
        Self {
            while_behind: Duration::from_millis(200),
            at_tip: Duration::from_secs(1),
        }
    }
}

/// What the service gives of a shard to all who poll it, in bytes a second.
const SHARED_RATE: u64 = 2 << 20;
/// So long after the service refused a read, others are taken to read the shard too.
const CROWDED_FOR: Duration = Duration::from_mins(5);
/// The first step by which reads are spread out after a refusal, and the longest that they ever are.
const STEP: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// The pace of polling one shard: what is configured, and what the service was seen to allow.
///
/// Reads that the service refuses spread the next ones out, twice as much each time; each read that succeeds takes back an
/// eighth. While others were lately met at the shard, a read is also followed by the time that its bytes take at the
/// rate that all share: the service would shut the shard for as long, and for the others too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    spread: Duration,
    crowded_until: Option<Tick>,
}

impl Pace {
    /// The service refused a read, since too much is read.
    pub fn throttled(&mut self, now: Tick) {
        self.spread = (self.spread * 2).clamp(STEP, LONGEST);
        self.crowded_until = Some(now + CROWDED_FOR);
    }

    /// When to read next, after a read that began at `started` and gave `batch`.
    pub fn next_read(&mut self, pacing: &PollPacing, started: Tick, batch: &Batch) -> Tick {
        let at_tip = match batch.millis_behind_latest() {
            Some(millis) => millis == 0,
            None => batch.is_empty(),
        };
        let idle = if at_tip { pacing.at_tip } else { pacing.while_behind };
        let spread = std::mem::take(&mut self.spread);
        // What is left of the last step is dropped when it is too little to matter.
        self.spread = Some(spread - spread / 8)
            .filter(|left| *left >= STEP / 10)
            .unwrap_or_default();
        let crowded = self.crowded_until.is_some_and(|until| started < until);
        let owed = Duration::from_millis(batch.size() as u64 * 1_000 / SHARED_RATE);
        started + (idle + spread).max(if crowded { owed } else { Duration::ZERO })
    }
}

/// Chooses how many records to ask for, so that an answer fits in the shard's share of memory.
///
/// It learns the weight of records from the answers; before the first it assumes 1 KiB.
#[derive(Clone, Copy, Debug)]
pub struct ReadSize {
    weight_per_record: u64,
}

impl Default for ReadSize {
    fn default() -> Self {
        Self {
            weight_per_record: 1024,
        }
    }
}

impl ReadSize {
    /// Learns from an answer. Growth counts at once, shrinking slowly: memory matters more than speed.
    pub fn observe(&mut self, batch: &Batch) {
        let Ok(records @ 1..) = u64::try_from(batch.len()) else {
            return;
        };
        let seen = (batch.weight() / records).max(1);
        let known = self.weight_per_record;
        self.weight_per_record = if seen > known { seen } else { (known * 3 + seen) / 4 };
    }

    /// How many records to ask for when `free` bytes may still be buffered.
    #[must_use]
    pub fn records_for(&self, free: u64, at_most: u32) -> u32 {
        let fitting = free / self.weight_per_record.max(1);
        u32::try_from(fitting).unwrap_or(u32::MAX).clamp(1, at_most.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Record, ShardId, StreamName, Timestamp};

    const NOW: Tick = Tick::from_origin(Duration::from_secs(100));

    fn batch(bytes: usize, behind: u64) -> Batch {
        let record = Record::new("1".parse().unwrap(), "", Timestamp::default(), vec![0; bytes]);
        let (stream, shard) = (StreamName::new("s").unwrap(), ShardId::new("shardId-0").unwrap());
        Batch::new(stream, shard, vec![record]).with_millis_behind_latest(Some(behind))
    }

    #[test]
    fn given_no_trouble_when_reading_then_it_is_fast_while_behind_and_gentle_at_the_tip() {
        let (mut pace, pacing) = (Pace::default(), PollPacing::default());
        assert_eq!(
            pace.next_read(&pacing, NOW, &batch(8 << 20, 1)),
            NOW + pacing.while_behind
        );
        assert_eq!(pace.next_read(&pacing, NOW, &batch(1, 0)), NOW + pacing.at_tip);
        let none = PollPacing {
            while_behind: Duration::ZERO,
            at_tip: Duration::ZERO,
        };
        assert_eq!(pace.next_read(&none, NOW, &batch(8 << 20, 0)), NOW);
    }

    #[test]
    fn given_refusals_when_reading_goes_on_then_reads_are_spread_out_and_come_closer_again() {
        let (mut pace, pacing) = (Pace::default(), PollPacing::default());
        pace.throttled(NOW);
        pace.throttled(NOW);
        let next = pace.next_read(&pacing, NOW, &batch(1, 1));
        assert_eq!(next, NOW + pacing.while_behind + 2 * STEP);
        for _ in 0..100 {
            pace.throttled(NOW);
        }
        assert_eq!(
            pace.next_read(&pacing, NOW, &batch(1, 1)),
            NOW + pacing.while_behind + LONGEST
        );
        for _ in 0..50 {
            pace.next_read(&pacing, NOW, &batch(1, 1));
        }
        assert_eq!(pace.next_read(&pacing, NOW, &batch(1, 1)), NOW + pacing.while_behind);
    }

    #[test]
    fn given_others_at_the_shard_when_much_was_read_then_the_shared_rate_is_kept() {
        let (mut pace, pacing) = (Pace::default(), PollPacing::default());
        pace.throttled(NOW);
        let next = pace.next_read(&pacing, NOW, &batch(4 << 20, 1));
        assert_eq!(next, NOW + Duration::from_secs(2));
        let later = NOW + CROWDED_FOR;
        assert!(pace.next_read(&pacing, later, &batch(4 << 20, 1)) < later + Duration::from_secs(1));
    }
}
