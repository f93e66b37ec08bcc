//! Where records come from.

mod kinesis;

use std::fmt;

use async_trait::async_trait;
use kcl_core::{
    Position, Shard, ShardFilter, ShardId, StreamId, StreamName,
    fetch::{Fetch, FetchFailure, SubscribeAt, consumer::ConsumerSelector},
};

pub use self::kinesis::KinesisSource;

/// A stream that can be read.
#[async_trait]
pub trait RecordSource: fmt::Debug + Send + Sync + 'static {
    /// The stream's name.
    fn stream(&self) -> &StreamName;

    /// Asks which stream it is, of all that have this name or had it. Asked only where a worker reads several streams.
    async fn identify(&self) -> Result<StreamId, FetchFailure>;

    /// Lists the stream's shards.
    async fn list_shards(&self, filter: ShardFilter) -> Result<Vec<Shard>, FetchFailure>;

    /// Makes new connections from now on, if that is in its power: those that there are do not answer, and opening shards
    /// again over them did not help.
    fn reconnect(&self) {}

    /// Places a reader in a shard so that it gives everything after `position`. It may give the record at the position
    /// again; the caller leaves that out.
    async fn open(&self, shard: &ShardId, position: &Position) -> Result<Box<dyn ShardReader>, FetchFailure>;

    /// Begins a subscription of `consumer` to a shard, whose reader gives one event a read. The consumer is looked for, and
    /// registered where one is named that does not exist; while it is not ready, that is a failure
    /// ([`InUse`](kcl_core::fetch::FetchFailureKind::InUse)). A source without subscriptions answers
    /// [`Denied`](kcl_core::fetch::FetchFailureKind::Denied), and its shards are polled.
    async fn subscribe(
        &self,
        shard: &ShardId,
        at: &SubscribeAt,
        consumer: &ConsumerSelector,
    ) -> Result<Box<dyn ShardReader>, FetchFailure>;

    /// Deregisters a consumer, which ends its subscriptions. One that does not exist is none to deregister.
    async fn deregister(&self, consumer: &ConsumerSelector) -> Result<(), FetchFailure>;
}

/// A place in a shard.
#[async_trait]
pub trait ShardReader: fmt::Debug + Send + 'static {
    /// Reads the next records, at most `max_records`, and moves on behind them. After a failure the place is where it
    /// was.
    async fn read(&mut self, max_records: u32) -> Result<Fetch, FetchFailure>;
}
