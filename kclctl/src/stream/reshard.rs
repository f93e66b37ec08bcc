//! Splitting and merging shards.

use aws_sdk_kinesis::types::Shard;
use kcl_core::{HashKey, ShardId, StreamName};

use super::{
    listing::{self, is_open, parents},
    ready::wait_until_active,
};
use crate::{aws::Kinesis, error::Error, output};

/// Splits a shard at a hash key, or in the middle.
pub(crate) async fn split(
    kinesis: &Kinesis,
    stream: &StreamName,
    shard: &ShardId,
    at: Option<HashKey>,
) -> Result<(), Error> {
    let shards = listing::shards(kinesis, stream).await?;
    let found = open_shard(&shards, stream, shard)?;
    let at = match at {
        Some(at) => at,
        None => middle(found).ok_or_else(|| Error::NarrowShard {
            stream: stream.clone(),
            shard: shard.clone(),
        })?,
    };
    let request = kinesis.client.split_shard().stream_name(stream.as_str());
    let request = request
        .shard_to_split(shard.as_str())
        .new_starting_hash_key(at.to_string());
    request
        .send()
        .await
        .map_err(|error| kinesis.stream_error("SplitShard", stream, &error))?;
    wait_until_active(kinesis, stream).await?;
    let shards = listing::shards(kinesis, stream).await?;
    let children = children_of(&shards, shard);
    output::line(&format!("split {shard} into {}", children.join(" and ")))
}

/// Merges two shards.
pub(crate) async fn merge(
    kinesis: &Kinesis,
    stream: &StreamName,
    shard: &ShardId,
    with: &ShardId,
) -> Result<(), Error> {
    let shards = listing::shards(kinesis, stream).await?;
    open_shard(&shards, stream, shard)?;
    open_shard(&shards, stream, with)?;
    let request = kinesis.client.merge_shards().stream_name(stream.as_str());
    let request = request
        .shard_to_merge(shard.as_str())
        .adjacent_shard_to_merge(with.as_str());
    request
        .send()
        .await
        .map_err(|error| kinesis.stream_error("MergeShards", stream, &error))?;
    wait_until_active(kinesis, stream).await?;
    let shards = listing::shards(kinesis, stream).await?;
    let children = children_of(&shards, shard);
    output::line(&format!("merged {shard} and {with} into {}", children.join(" and ")))
}

fn open_shard<'a>(shards: &'a [Shard], stream: &StreamName, id: &ShardId) -> Result<&'a Shard, Error> {
    match shards.iter().find(|shard| shard.shard_id == id.as_str()) {
        None => Err(Error::UnknownShard {
            stream: stream.clone(),
            shard: id.clone(),
        }),
        Some(shard) if !is_open(shard) => Err(Error::ClosedShard {
            stream: stream.clone(),
            shard: id.clone(),
        }),
        Some(shard) => Ok(shard),
    }
}

/// The first hash key of the upper half of a shard's range; `None` if there are no two halves.
fn middle(shard: &Shard) -> Option<HashKey> {
    let range = shard.hash_key_range.as_ref()?;
    let start: HashKey = range.starting_hash_key.parse().ok()?;
    let end: HashKey = range.ending_hash_key.parse().ok()?;
    // The sum of both ends may not fit.
    let width = end.0.checked_sub(start.0).filter(|width| *width > 0)?;
    Some(HashKey(start.0 + width / 2 + 1))
}

fn children_of<'a>(shards: &'a [Shard], parent: &ShardId) -> Vec<&'a str> {
    let is_child = |shard: &&Shard| parents(shard).contains(&parent.as_str());
    shards
        .iter()
        .filter(is_child)
        .map(|shard| shard.shard_id.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::types::HashKeyRange;

    use super::*;

    fn shard(start: u128, end: u128) -> Shard {
        let range = HashKeyRange::builder()
            .starting_hash_key(start.to_string())
            .ending_hash_key(end.to_string());
        Shard::builder()
            .shard_id("s")
            .hash_key_range(range.build().unwrap())
            .build()
            .unwrap()
    }

    #[test]
    fn the_middle_halves_the_range() {
        assert_eq!(middle(&shard(0, u128::MAX)), Some(HashKey(1 << 127)));
        assert_eq!(
            middle(&shard(1 << 127, u128::MAX)),
            Some(HashKey((1 << 127) + (1 << 126)))
        );
        assert_eq!(middle(&shard(10, 13)), Some(HashKey(12)));
        assert_eq!(middle(&shard(7, 7)), None);
    }
}
