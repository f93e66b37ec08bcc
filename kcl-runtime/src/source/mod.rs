//! Where records come from.

mod kinesis;

use std::fmt;

use async_trait::async_trait;
use kcl_core::{
    Position, Shard, ShardFilter, ShardId, StreamId, StreamName,
    fetch::{Fetch, FetchFailure},
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

    /// Places a reader in a shard so that it gives everything after `position`. It may give the record at the position
    /// again; the caller leaves that out.
    async fn open(&self, shard: &ShardId, position: &Position) -> Result<Box<dyn ShardReader>, FetchFailure>;
}

/// A place in a shard.
#[async_trait]
pub trait ShardReader: fmt::Debug + Send + 'static {
    /// Reads the next records, at most `max_records`, and moves on behind them. After a failure the place is where it
    /// was.
    async fn read(&mut self, max_records: u32) -> Result<Fetch, FetchFailure>;
}
