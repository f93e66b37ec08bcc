//! Splitting and merging shards.

use kcl_core::{HashKey, HashKeyRange, StreamName, Timestamp};

use super::{
    Engine, Operation, Subject,
    shard::ShardLog,
    stream::Stream,
    validate::{Constraints, present, shard_index},
};
use crate::api::{ApiError, ErrorKind, MergeShards, SplitShard};

impl Operation for SplitShard {
    const NAME: &'static str = "SplitShard";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::shard(
            self.stream_name.as_ref(),
            self.stream_arn.as_ref(),
            self.shard_to_split.as_ref(),
        )
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .required("shardToSplit", self.shard_to_split.as_ref())
            .name("shardToSplit", self.shard_to_split.as_ref())
            .required("newStartingHashKey", self.new_starting_hash_key.as_ref())
            .hash_key("newStartingHashKey", self.new_starting_hash_key.as_ref())
            .check()?;
        let stream = engine.stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let shard = engine.open_shard(stream, &present(self.shard_to_split)?, now)?;
        let HashKeyRange { start, end } = shard.range();
        let text = present(self.new_starting_hash_key)?;
        let middle = text.parse().ok().filter(|middle: &HashKey| {
            // Written with differences, because the sums may not fit.
            middle.0.checked_sub(start.0).is_some_and(|width| width > 1) && *middle < end
        });
        let Some(middle) = middle else {
            return Err(ApiError::invalid(format!(
                "NewStartingHashKey {text} used in SplitShard() on shard {} in stream {} under account {} is not both \
                 greater than one plus the shard's StartingHashKey {start} and less than the shard's EndingHashKey \
                 {end}.",
                shard.id(),
                stream.name,
                engine.config.account
            )));
        };
        engine.check_open_shards(1)?;
        let (name, index) = (stream.name.clone(), shard.index);
        let lower = HashKeyRange {
            start,
            end: HashKey(middle.0 - 1),
        };
        let upper = HashKeyRange { start: middle, end };
        engine.reshard(&name, &[index], &[lower, upper], now);
        Ok(())
    }
}

impl Operation for MergeShards {
    const NAME: &'static str = "MergeShards";
    type Output = ();

    fn subject(&self) -> Subject {
        Subject::shard(
            self.stream_name.as_ref(),
            self.stream_arn.as_ref(),
            self.shard_to_merge.as_ref(),
        )
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .required("shardToMerge", self.shard_to_merge.as_ref())
            .name("shardToMerge", self.shard_to_merge.as_ref())
            .required("adjacentShardToMerge", self.adjacent_shard_to_merge.as_ref())
            .name("adjacentShardToMerge", self.adjacent_shard_to_merge.as_ref())
            .check()?;
        let stream = engine.stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let shard = engine.open_shard(stream, &present(self.shard_to_merge)?, now)?;
        let adjacent = engine.open_shard(stream, &present(self.adjacent_shard_to_merge)?, now)?;
        let (one, other) = (shard.range(), adjacent.range());
        let touch = |low: HashKeyRange, high: HashKeyRange| low.end.0.checked_add(1) == Some(high.start.0);
        let union = if touch(one, other) {
            HashKeyRange {
                start: one.start,
                end: other.end,
            }
        } else if touch(other, one) {
            HashKeyRange {
                start: other.start,
                end: one.end,
            }
        } else {
            return Err(ApiError::invalid(format!(
                "Shards {} and {} in stream {} under account {} are not an adjacent pair of shards eligible for merging",
                shard.id(),
                adjacent.id(),
                stream.name,
                engine.config.account
            )));
        };
        let (name, parents) = (stream.name.clone(), [shard.index, adjacent.index]);
        engine.reshard(&name, &parents, &[union], now);
        Ok(())
    }
}

impl Engine {
    fn reshard(&mut self, name: &StreamName, parents: &[u32], ranges: &[HashKeyRange], now: Timestamp) {
        self.trim(name, now);
        if let Some(stream) = self.streams.get_mut(name) {
            stream.reshard(parents, ranges, now);
        }
        for parent in parents {
            self.subscriptions.wake_shard(name, *parent);
        }
    }

    /// The shard of `stream` with this id, which must be open.
    fn open_shard<'a>(&self, stream: &'a Stream, id: &str, now: Timestamp) -> Result<&'a ShardLog, ApiError> {
        let (name, account) = (&stream.name, &self.config.account);
        let Some(shard) = shard_index(id).and_then(|index| stream.shard(index, now)) else {
            let message = format!("Could not find shard {id} in stream {name} under account {account}.");
            return Err(ApiError::new(ErrorKind::ResourceNotFound, message));
        };
        if shard.is_open() {
            return Ok(shard);
        }
        Err(ApiError::invalid(format!(
            "Shard {} in stream {name} under account {account} has already been merged or split, and thus is not \
             eligible for merging or splitting.",
            shard.id()
        )))
    }
}
