//! The pure domain of the Kinesis consumer: types, planners and state machines.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and seeds come in as arguments, wishes go out as
//! data. The same code therefore runs under tokio in production and under a simulator in tests.

pub mod ack;
pub mod aggregate;
pub mod assign;
mod catalog;
pub mod coordination;
pub mod delivery;
pub mod doctor;
pub mod fetch;
mod ids;
pub mod lease;
pub mod lineage;
pub mod producer;
mod record;
pub mod retry;
pub mod seek;
mod sequence;
pub mod shard;
mod store;
mod stream;
pub mod sync;
mod time;
pub mod watch;
pub mod worker;

pub use self::{
    catalog::{ChildShard, Shard, ShardFilter},
    ids::{
        AccountId, ApplicationName, ConsumerName, HashKey, HashKeyRange, InvalidId, LeaseKey, Session, ShardId,
        StreamName, WorkerId,
    },
    lease::{Expect, Lease, LeaseWrite, Patch, PendingCheckpoint},
    record::{Batch, Record},
    sequence::{InitialPosition, InvalidSequenceNumber, Position, RecordPosition, SequenceNumber},
    store::{BoxError, LeaseListing, LeaseStore, StoreError, StoreOperation, UnreadableRow, WriteOutcome},
    stream::{LeaseStream, StreamArn, StreamId},
    time::{InvalidTimestamp, Tick, Timestamp},
};
