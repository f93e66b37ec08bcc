//! Splitting and merging shards.

use kcl_core::{HashKey, HashKeyRange, StreamName, Timestamp};

use super::{
    Engine, Operation, Subject,
    lifecycle::Update,
    shard::ShardLog,
    stream::Stream,
    validate::{Constraints, present, shard_index},
};
use crate::api::{ApiError, ErrorKind, MergeShards, SplitShard, StreamMode};

/// One step of resharding. Open shards go by the first of their hash keys, which names those to come as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reshard {
    /// Puts two shards in the place of one. The upper one begins at this key.
    Split { shard: HashKey, at: HashKey },
    /// Puts one shard in the place of two that touch.
    Merge { shard: HashKey, adjacent: HashKey },
}

impl Reshard {
    /// How many shards the steps open.
    fn opened(steps: &[Self]) -> usize {
        let opened = |step: &Self| match step {
            Self::Split { .. } => 2,
            Self::Merge { .. } => 1,
        };
        steps.iter().map(opened).sum()
    }

    /// The most shards that are open in the course of these steps beyond those that are open before.
    pub(super) fn additional(steps: &[Self]) -> usize {
        let (mut open, mut most) = (0_isize, 0);
        for step in steps {
            open += match step {
                Self::Split { .. } => 1,
                Self::Merge { .. } => -1,
            };
            most = most.max(open);
        }
        most.unsigned_abs()
    }
}

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
        let stream = engine.reshardable(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
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
        let split = Reshard::Split {
            shard: start,
            at: middle,
        };
        engine.check_steps(&[split], now)?;
        engine.begin_update(&stream.name.clone(), Update::Shards(vec![split]), now);
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

    fn shards(&self, _: &Engine) -> Vec<String> {
        let both = [&self.shard_to_merge, &self.adjacent_shard_to_merge];
        both.into_iter().flatten().cloned().collect()
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<(), ApiError> {
        Constraints::default()
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .required("shardToMerge", self.shard_to_merge.as_ref())
            .name("shardToMerge", self.shard_to_merge.as_ref())
            .required("adjacentShardToMerge", self.adjacent_shard_to_merge.as_ref())
            .name("adjacentShardToMerge", self.adjacent_shard_to_merge.as_ref())
            .check()?;
        let stream = engine.reshardable(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
        let shard = engine.open_shard(stream, &present(self.shard_to_merge)?, now)?;
        let adjacent = engine.open_shard(stream, &present(self.adjacent_shard_to_merge)?, now)?;
        let (one, other) = (shard.range(), adjacent.range());
        let touch = |low: HashKeyRange, high: HashKeyRange| low.end.0.checked_add(1) == Some(high.start.0);
        if !touch(one, other) && !touch(other, one) {
            return Err(ApiError::invalid(format!(
                "Shards {} and {} in stream {} under account {} are not an adjacent pair of shards eligible for merging",
                shard.id(),
                adjacent.id(),
                stream.name,
                engine.config.account
            )));
        }
        let merge = Reshard::Merge {
            shard: one.start,
            adjacent: other.start,
        };
        engine.check_steps(&[merge], now)?;
        engine.begin_update(&stream.name.clone(), Update::Shards(vec![merge]), now);
        Ok(())
    }
}

impl Stream {
    /// The open shards that a step replaces, and the ranges of those that it opens.
    fn resolve(&self, step: Reshard) -> Option<(Vec<u32>, Vec<HashKeyRange>)> {
        match step {
            Reshard::Split { shard, at } => {
                let shard = self.open_at(shard)?;
                let HashKeyRange { start, end } = shard.range();
                let lower = HashKeyRange {
                    start,
                    end: HashKey(at.0.checked_sub(1)?),
                };
                Some((vec![shard.index], vec![lower, HashKeyRange { start: at, end }]))
            }
            Reshard::Merge { shard, adjacent } => {
                let (shard, adjacent) = (self.open_at(shard)?, self.open_at(adjacent)?);
                let union = HashKeyRange {
                    start: shard.range().start.min(adjacent.range().start),
                    end: shard.range().end.max(adjacent.range().end),
                };
                Some((vec![shard.index, adjacent.index], vec![union]))
            }
        }
    }
}

impl Engine {
    /// Takes all steps at the time `at`.
    pub(super) fn reshard_all(&mut self, name: &StreamName, steps: &[Reshard], at: Timestamp) {
        for step in steps {
            let resolved = self.streams.get(name).and_then(|stream| stream.resolve(*step));
            if let Some((parents, ranges)) = resolved {
                self.reshard(name, &parents, &ranges, at);
            }
        }
    }

    /// Refuses steps that make too many shards. Closed ones count too: they stay until their retention ends.
    pub(super) fn check_steps(&self, steps: &[Reshard], now: Timestamp) -> Result<(), ApiError> {
        self.check_open_shards(Reshard::additional(steps))?;
        let (opened, limit) = (Reshard::opened(steps), self.config.shards_max);
        let fits = |kept: usize| kept.saturating_add(opened) <= limit;
        let known = self.streams.values().map(|stream| stream.shards.len()).sum();
        // Some that are known may be retained no longer. To count the others is work, and rarely needed.
        let retained = || {
            self.streams
                .values()
                .map(|stream| stream.retained(None, now).count())
                .sum()
        };
        if steps.is_empty() || fits(known) || fits(retained()) {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorKind::LimitExceeded,
            format!(
                "This broker keeps at most {limit} shards, open and closed, and has no room for {opened} more. Closed shards \
                 leave when their retention ends; delete a stream."
            ),
        ))
    }

    /// The stream whose shards a request replaces.
    pub(super) fn reshardable(&self, name: Option<&String>, arn: Option<&String>) -> Result<&Stream, ApiError> {
        let stream = self.active_stream(name, arn)?;
        if stream.mode == StreamMode::Provisioned {
            return Ok(stream);
        }
        let message = format!(
            "Stream {} under account {} is in the ON_DEMAND capacity mode, in which the service counts the shards. \
             This operation is supported only in the PROVISIONED capacity mode.",
            stream.name, self.config.account
        );
        Err(ApiError::new(ErrorKind::Validation, message))
    }

    pub(super) fn reshard(&mut self, name: &StreamName, parents: &[u32], ranges: &[HashKeyRange], now: Timestamp) {
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
