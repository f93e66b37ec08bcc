//! What subscriptions give.

use std::{ops::Range, sync::Arc};

use kcl_core::{ChildShard, Record, SequenceNumber};

/// What a subscription gives from time to time: records as they arrive, and now and then none, so that the reader knows
/// that it is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeToShardEvent {
    /// The records, in order; none if none arrived.
    pub records: Vec<Arc<Record>>,
    /// The places of those among the records that were encrypted when they were written.
    pub encrypted: Vec<Range<usize>>,
    /// Where another subscription goes on, be it at or after this number. There is none at the end of the shard, and
    /// there only.
    pub continuation_sequence_number: Option<SequenceNumber>,
    /// How long the next unread record has been waiting.
    pub millis_behind_latest: u64,
    /// The shards that go on with this shard's hash keys, at its end.
    pub child_shards: Vec<ChildShard>,
}
