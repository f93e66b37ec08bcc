//! What the service tells about a stream and its shards.

use aws_sdk_kinesis::{
    primitives::DateTime,
    types::{self, ShardFilterType, StreamDescriptionSummary, StreamStatus},
};
use kcl_core::{
    ChildShard, HashKeyRange, InvalidId, SequenceNumber, Shard, ShardFilter, ShardId, StreamArn, StreamId,
    fetch::{FetchFailure, FetchFailureKind},
};

use super::{KinesisSource, failure::malformed};

/// The most shards that one page of a listing holds, and the most pages: 20,000 shards are AWS's largest quota.
const SHARDS_PER_PAGE: i32 = 1_000;
const MAX_PAGES: usize = 100;

impl KinesisSource {
    pub(super) async fn summary(&self) -> Result<StreamDescriptionSummary, FetchFailure> {
        let request = self
            .client()
            .describe_stream_summary()
            .set_stream_name(self.name_to_send())
            .set_stream_arn(self.arn_to_send());
        let answer = self.timed("DescribeStreamSummary", request.send()).await?;
        let summary = answer
            .stream_description_summary
            .ok_or_else(|| malformed("DescribeStreamSummary gave no stream".to_owned()))?;
        if summary.stream_status == StreamStatus::Deleting {
            return Err(FetchFailure {
                kind: FetchFailureKind::NotFound,
                message: format!("DescribeStreamSummary: the stream {} is being deleted", self.stream),
            });
        }
        Ok(summary)
    }

    pub(super) async fn ask_for_id(&self) -> Result<StreamId, FetchFailure> {
        let summary = self.summary().await?;
        let identify = |arn: &str, created: i64| {
            let arn: StreamArn = arn.parse()?;
            StreamId::new(
                arn.account().clone(),
                arn.name().clone(),
                created.try_into().unwrap_or(0),
            )
        };
        identify(&summary.stream_arn, summary.stream_creation_timestamp.secs())
            .map_err(|error: InvalidId| malformed(format!("DescribeStreamSummary: {error}")))
    }

    pub(super) async fn list(&self, filter: ShardFilter) -> Result<Vec<Shard>, FetchFailure> {
        let mut shards = Vec::new();
        let mut next_token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            // A token brings the stream and the filter with it; naming them again is an error.
            let request = match next_token.take() {
                Some(token) => self.client().list_shards().next_token(token),
                None => self
                    .client()
                    .list_shards()
                    .set_stream_name(self.name_to_send())
                    .set_stream_arn(self.arn_to_send())
                    .set_shard_filter(sdk_filter(filter)?),
            };
            let page = self
                .timed("ListShards", request.max_results(SHARDS_PER_PAGE).send())
                .await?;
            for shard in page.shards.unwrap_or_default() {
                shards.push(read_shard(shard)?);
            }
            match page.next_token {
                Some(token) if !token.is_empty() => next_token = Some(token),
                _ => return Ok(shards),
            }
        }
        Err(malformed(format!("ListShards gave more than {MAX_PAGES} pages")))
    }
}

fn sdk_filter(filter: ShardFilter) -> Result<Option<types::ShardFilter>, FetchFailure> {
    let builder = types::ShardFilter::builder();
    let builder = match filter {
        ShardFilter::All => return Ok(None),
        ShardFilter::AtTrimHorizon => builder.r#type(ShardFilterType::AtTrimHorizon),
        ShardFilter::AtLatest => builder.r#type(ShardFilterType::AtLatest),
        ShardFilter::AtTimestamp(at) => builder
            .r#type(ShardFilterType::AtTimestamp)
            .timestamp(DateTime::from_millis(at.epoch_millis())),
        other => return Err(malformed(format!("the shard filter {other:?} is not known"))),
    };
    builder.build().map(Some).map_err(|error| malformed(error.to_string()))
}

fn read_shard(shard: types::Shard) -> Result<Shard, FetchFailure> {
    let range = shard
        .hash_key_range
        .as_ref()
        .ok_or_else(|| malformed(format!("{} has no range", shard.shard_id)))?;
    let mut read = Shard::new(read_id(&shard.shard_id)?, read_range(range)?);
    read.parent = shard.parent_shard_id.as_deref().map(read_id).transpose()?;
    read.adjacent_parent = shard.adjacent_parent_shard_id.as_deref().map(read_id).transpose()?;
    if let Some(range) = shard.sequence_number_range {
        let number = |text: String| SequenceNumber::new(text).map_err(|error| malformed(error.to_string()));
        read.starting_sequence_number = Some(number(range.starting_sequence_number)?);
        read.ending_sequence_number = range.ending_sequence_number.map(number).transpose()?;
    }
    Ok(read)
}

pub(super) fn read_child(child: &types::ChildShard) -> Result<ChildShard, FetchFailure> {
    Ok(ChildShard {
        id: read_id(&child.shard_id)?,
        parents: child
            .parent_shards
            .iter()
            .map(|id| read_id(id))
            .collect::<Result<_, _>>()?,
        hash_key_range: child.hash_key_range.as_ref().map(read_range).transpose()?,
    })
}

fn read_id(id: &str) -> Result<ShardId, FetchFailure> {
    ShardId::new(id).map_err(|error| malformed(error.to_string()))
}

fn read_range(range: &types::HashKeyRange) -> Result<HashKeyRange, FetchFailure> {
    let key = |text: &str| {
        text.parse()
            .map_err(|error: kcl_core::InvalidId| malformed(error.to_string()))
    };
    Ok(HashKeyRange {
        start: key(&range.starting_hash_key)?,
        end: key(&range.ending_hash_key)?,
    })
}
