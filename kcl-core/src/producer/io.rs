//! What goes into a [`ProducerMachine`](super::ProducerMachine) and what comes out of it.

use crate::{aggregate::UserRecord, catalog::Shard, ids::ShardId, sequence::SequenceNumber};

/// What happened to a producer, as told to its machine.
#[derive(Debug)]
pub enum ProducerInput {
    /// A record is to be written. Its id comes back with what became of it.
    Put {
        /// Chosen by the caller.
        id: u64,
        /// The record, which [`ProducerConfig::check`](super::ProducerConfig::check) found in order.
        record: UserRecord,
    },
    /// What is here is to go now.
    Flush,
    /// A call ended.
    Answered {
        /// Which.
        call: u64,
        /// What became of each of its records, in their order.
        result: Result<Vec<Result<Written, Refusal>>, CallFailure>,
    },
    /// All shards of the stream, or why they could not be listed.
    Listed(Result<Vec<Shard>, String>),
    /// Time passed.
    Wake,
}

/// What a machine wants done.
#[derive(Debug)]
pub enum ProducerEffect {
    /// Write these in one call, and answer with [`ProducerInput::Answered`].
    Call {
        /// Names the call.
        call: u64,
        /// What to write; aggregates among them.
        records: Vec<UserRecord>,
        /// How many user records they hold.
        user_records: usize,
    },
    /// List all shards, and answer with [`ProducerInput::Listed`].
    ListShards,
    /// This became of a record.
    Done {
        /// Its id.
        id: u64,
        /// Where it is, or why it is not in the stream.
        result: Result<Placed, PutFailure>,
    },
    /// Records are sent again, for this reason.
    Again {
        /// How many user records.
        records: usize,
        /// The error code of the service.
        code: String,
    },
}

/// Where the service put a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The shard.
    pub shard: ShardId,
    /// The number that it got.
    pub sequence_number: SequenceNumber,
}

/// Why the service did not take one record of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error code of the service.
    pub code: String,
    /// What it said.
    pub message: String,
}

/// What to do about a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallFailureKind {
    /// Try again: trouble on the way or at the service.
    Passing,
    /// One of the records may be at fault: try each alone.
    Invalid,
    /// Nothing can be written: no such stream, no permission.
    Permanent,
}

/// A call that failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    /// What to do about it.
    pub kind: CallFailureKind,
    /// Why.
    pub refusal: Refusal,
}

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placed {
    /// The shard.
    pub shard: ShardId,
    /// The number of the record, or of the aggregate that it is in.
    pub sequence_number: SequenceNumber,
    /// The place in the aggregate; 0 for a record that was sent alone.
    pub sub_sequence_number: u64,
    /// How often it was sent.
    pub attempts: u32,
}

/// A record was given up. It may be in the stream nevertheless, if an answer was lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutFailure {
    /// It was not taken within its time.
    #[error("not written within the record's time to live, after {attempts} attempts{}", reason(last.as_ref()))]
    Expired {
        /// How often it was sent.
        attempts: u32,
        /// Why the last attempt failed.
        last: Option<Refusal>,
    },
    /// The service will not take it.
    #[error("the service refuses the record: {}: {}", refusal.code, refusal.message)]
    Refused {
        /// How often it was sent.
        attempts: u32,
        /// Why.
        refusal: Refusal,
    },
}

fn reason(last: Option<&Refusal>) -> String {
    last.map_or_else(String::new, |last| format!(": {}: {}", last.code, last.message))
}
