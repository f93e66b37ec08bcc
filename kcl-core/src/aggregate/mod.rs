//! Aggregated records: many user records in one Kinesis record, in the format of the Kinesis Producer Library (KPL).
//!
//! An aggregate is the four bytes of [`MAGIC`], a protobuf message, and the MD5 of the message:
//!
//! ```text
//! message AggregatedRecord {
//!   repeated string partition_key_table     = 1;
//!   repeated string explicit_hash_key_table = 2;
//!   repeated Record records                 = 3;
//! }
//! message Record {
//!   required uint64 partition_key_index     = 1;
//!   optional uint64 explicit_hash_key_index = 2;
//!   required bytes  data                    = 3;
//!   repeated Tag    tags                    = 4;  // read over
//! }
//! ```
//!
//! [`Aggregate::read`] takes one apart without a copy, [`Aggregator`] puts one together. What is not an aggregate to the last
//! byte is a plain record, as for Java's KCL: nobody loses data because it happened to begin with the magic bytes.

mod decode;
mod encode;
mod wire;

pub use self::{
    decode::{Aggregate, SubRecord},
    encode::{Aggregator, UserRecord},
};
use crate::ids::HashKey;

/// What aggregates begin with.
pub const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

/// The length of the MD5 that aggregates end with.
const DIGEST_LEN: usize = 16;

/// Numbers of fields in the two messages.
mod field {
    pub(super) const PARTITION_KEY_TABLE: u64 = 1;
    pub(super) const EXPLICIT_HASH_KEY_TABLE: u64 = 2;
    pub(super) const RECORDS: u64 = 3;

    pub(super) const PARTITION_KEY_INDEX: u64 = 1;
    pub(super) const EXPLICIT_HASH_KEY_INDEX: u64 = 2;
    pub(super) const DATA: u64 = 3;
}

/// What becomes of user records whose hash key is not one of the shard that their aggregate is in.
///
/// They come from aggregates that were made for a shard before it was split, and from aggregators that do not look at hash
/// keys at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OutOfRange {
    /// They are delivered and counted. The default, because no other shard has them.
    #[default]
    Deliver,
    /// They are counted and left out. For streams that are written by the KPL alone, which notices that they went to the
    /// wrong shard and sends them again.
    Skip,
}

impl OutOfRange {
    /// The name in lower case, as metrics carry it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Skip => "skip",
        }
    }
}

/// The hash key that decides to which shard a record belongs.
#[must_use]
pub fn effective_hash_key(partition_key: &str, explicit_hash_key: Option<HashKey>) -> HashKey {
    explicit_hash_key.unwrap_or_else(|| HashKey::of_partition_key(partition_key))
}

#[cfg(test)]
mod tests;
