//! On-demand streams: they split the shards that take much, by themselves.
//!
//! The service promises room for twice the highest throughput that a stream has seen, and looks at shards one by one: a
//! shard that in some minute takes more than half of what a shard can take is split, so that each part can take as much
//! as the whole did. Here this begins as soon as the minute is over, where the service may need a quarter of an hour. A
//! producer that doubles its traffic is therefore throttled for up to a minute, if limits hold.
//!
//! Shards are not merged when traffic goes, as the service does after a month without it, and stay when the stream is
//! given another mode.

use kcl_core::{HashKey, HashKeyRange, StreamName, Timestamp};

use super::{Engine, lifecycle::Update, reshard::Reshard, stream::Stream};
use crate::api::{StreamMode, StreamStatus};

const MINUTE_MS: i64 = 60_000;
/// Half of the data and keys that a shard takes in a minute.
const BUSY_BYTES: u64 = 30 << 20;
/// Half of the records that a shard takes in a minute.
const BUSY_RECORDS: u64 = 30_000;

/// What a shard has taken in the latest minute in which it has taken anything.
#[derive(Debug, Default)]
pub(super) struct Heat {
    minute: i64,
    bytes: u64,
    records: u64,
    /// The lowest and the highest hash key.
    keys: Option<(HashKey, HashKey)>,
}

impl Heat {
    /// Counts a record of so many bytes, its key included.
    pub(super) fn count(&mut self, key: HashKey, bytes: u64, now: Timestamp) {
        if self.minute != minute_of(now) {
            *self = Self {
                minute: minute_of(now),
                ..Self::default()
            };
        }
        self.bytes += bytes;
        self.records += 1;
        let (lowest, highest) = self.keys.unwrap_or((key, key));
        self.keys = Some((lowest.min(key), highest.max(key)));
    }

    /// Where to split the shard that serves `range`, if it was busy in `minute` and if that divides its traffic.
    ///
    /// That is in the middle, or else in the middle of the keys that were seen; a single key cannot be divided.
    fn split_at(&self, range: HashKeyRange, minute: i64) -> Option<HashKey> {
        let (lowest, highest) = self.keys?;
        let is_busy = self.minute == minute && (self.bytes > BUSY_BYTES || self.records > BUSY_RECORDS);
        if !is_busy || lowest == highest {
            return None;
        }
        let middle = upper_middle(range.start, range.end);
        Some(if lowest < middle && middle <= highest {
            middle
        } else {
            upper_middle(lowest, highest)
        })
    }
}

/// The first key of the upper half.
fn upper_middle(first: HashKey, last: HashKey) -> HashKey {
    HashKey(first.0 + (last.0 - first.0) / 2 + 1)
}

fn minute_of(at: Timestamp) -> i64 {
    at.epoch_millis().div_euclid(MINUTE_MS)
}

/// When a write at `now` is looked at: as soon as its minute is over.
pub(super) fn due_after(now: Timestamp) -> Timestamp {
    Timestamp::from_epoch_millis(minute_of(now).saturating_add(1).saturating_mul(MINUTE_MS))
}

impl Stream {
    /// The splits that follow from what was taken in `minute`.
    ///
    /// A stream that is changing already has none: if its traffic lasts, the next minute shows it.
    fn growth(&self, minute: i64) -> Vec<Reshard> {
        if self.mode != StreamMode::OnDemand || self.status() != StreamStatus::Active {
            return Vec::new();
        }
        let open = self.shards.values().filter(|shard| shard.is_open());
        open.filter_map(|shard| {
            let at = shard.heat.split_at(shard.range(), minute)?;
            let shard = shard.range().start;
            Some(Reshard::Split { shard, at })
        })
        .collect()
    }
}

impl Engine {
    /// Lets on-demand streams begin to split the shards that were busy, if a minute in which such streams were written
    /// is over; as of its end, whenever the first call after it comes.
    pub(super) fn grow(&mut self, now: Timestamp) {
        let Some(due) = self.growth_due.take_if(|due| *due <= now) else {
            return;
        };
        self.settle(due);
        let growth = |stream: &Stream| (stream.name.clone(), stream.growth(minute_of(due) - 1));
        let growing: Vec<(StreamName, Vec<Reshard>)> = self.streams.values().map(growth).collect();
        for (name, mut steps) in growing {
            // The service has no shards beyond the account's either, and says nothing about it.
            while !steps.is_empty() && self.check_steps(&steps, due).is_err() {
                steps.pop();
            }
            if !steps.is_empty() {
                self.begin_update(&name, Update::Shards(steps), due);
            }
        }
    }
}
