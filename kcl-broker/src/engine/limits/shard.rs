//! [`ShardMeters`]: what one shard takes and gives.

use kcl_core::Timestamp;

use super::{Bucket, Rate};

const MIB: u64 = 1 << 20;

/// The data and keys that a shard takes.
const WRITTEN_BYTES: Rate = Rate::per_second(MIB);
/// The largest record may come at once, and is paid for by what the shard does not take before and after.
const WRITTEN_BYTES_WITH_LARGE: Rate = WRITTEN_BYTES.with_burst(10 * MIB);
/// A record that is larger than this comes out of the burst.
const LARGE_BYTES: u64 = MIB;
const WRITTEN_RECORDS: Rate = Rate::per_second(1000);
const READS: Rate = Rate::per_second(5);
const READ_BYTES_BURST: u64 = 2 * MIB;
const READ_BYTES: Rate = Rate::per_second(READ_BYTES_BURST);
const ITERATORS: Rate = Rate::per_second(5);

/// Meters what one shard takes and gives.
#[derive(Debug, Default)]
pub(in crate::engine) struct ShardMeters {
    written_bytes: Bucket,
    /// All records, the large ones among them.
    written_bytes_with_large: Bucket,
    written_records: Bucket,
    reads: Bucket,
    read_bytes: Bucket,
    /// Reads are refused before, because one of them was given more than a second's worth.
    reads_from: Option<Timestamp>,
    iterators: Bucket,
}

impl ShardMeters {
    /// Lets a record of so many bytes, its key included, be written, or not.
    ///
    /// A large record needs so much room in the burst as it has bytes. All others need room in the current second; and if
    /// a large one has emptied the burst, they share what comes back second by second.
    pub(in crate::engine) fn take_write(&mut self, bytes: u64, now: Timestamp) -> bool {
        let is_large = bytes > LARGE_BYTES;
        let fits = self.written_records.room(WRITTEN_RECORDS, now) > 0
            && self.written_bytes_with_large.room(WRITTEN_BYTES_WITH_LARGE, now) >= bytes
            && (is_large || self.written_bytes.room(WRITTEN_BYTES, now) >= bytes);
        if fits {
            self.written_records.pour(WRITTEN_RECORDS, 1, now);
            self.written_bytes_with_large.pour(WRITTEN_BYTES_WITH_LARGE, bytes, now);
            if !is_large {
                self.written_bytes.pour(WRITTEN_BYTES, bytes, now);
            }
        }
        fits
    }

    /// Lets a read of so many bytes pass, or not.
    ///
    /// How much a read gives does not count, but how much those before it were given: a second's worth or more shuts
    /// the shard until the rate has caught up. After the 10 MiB that one read may give this takes five seconds.
    pub(in crate::engine) fn take_read(&mut self, bytes: u64, now: Timestamp) -> bool {
        let passes = self.reads_from.is_none_or(|from| from <= now) && self.reads.take(READS, 1, now);
        if passes {
            self.read_bytes.pour(READ_BYTES, bytes, now);
            let caught_up = self.read_bytes.fits_at(READ_BYTES, READ_BYTES_BURST, now);
            self.reads_from = (self.read_bytes.room(READ_BYTES, now) == 0).then_some(caught_up);
        }
        passes
    }

    /// Lets an iterator be made, or not.
    pub(in crate::engine) fn take_iterator(&mut self, now: Timestamp) -> bool {
        self.iterators.take(ITERATORS, 1, now)
    }
}
