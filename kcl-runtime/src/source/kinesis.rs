//! Kinesis by polling: `GetShardIterator` and `GetRecords` through the AWS SDK.

use std::{error::Error, fmt::Debug, time::Duration};

use async_trait::async_trait;
use aws_sdk_kinesis::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::get_records::GetRecordsOutput,
    primitives::DateTime,
    types::{self, ShardFilterType, ShardIteratorType, StreamStatus},
};
use kcl_core::{
    Batch, ChildShard, HashKeyRange, InvalidId, Position, Record, SequenceNumber, Shard, ShardFilter, ShardId,
    StreamArn, StreamId, StreamName, Timestamp,
    fetch::{Fetch, FetchFailure, FetchFailureKind},
};

use super::{RecordSource, ShardReader};

/// How long one request may take, retries included. KCL's default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The most shards that one page of a listing holds, and the most pages: 20,000 shards are AWS's largest quota.
const SHARDS_PER_PAGE: i32 = 1_000;
const MAX_PAGES: usize = 100;

/// A Kinesis stream, read by polling.
///
/// The client brings region, endpoint, credentials and retries; throttling that outlasts its retries slows the shard
/// down and is counted.
#[derive(Clone, Debug)]
pub struct KinesisSource {
    client: Client,
    stream: StreamName,
    arn: Option<StreamArn>,
    request_timeout: Duration,
}

impl KinesisSource {
    /// Reads `stream`, of the caller's own account, through `client`.
    #[must_use]
    pub fn new(client: Client, stream: StreamName) -> Self {
        Self {
            client,
            stream,
            arn: None,
            request_timeout: REQUEST_TIMEOUT,
        }
    }

    /// Reads the stream that `arn` names, of the caller's account or of another one whose policy allows it, through `client`.
    #[must_use]
    pub fn by_arn(client: Client, arn: StreamArn) -> Self {
        let source = Self::new(client, arn.name().clone());
        Self {
            arn: Some(arn),
            ..source
        }
    }

    /// The stream's name in a request, unless its ARN is there.
    fn name_to_send(&self) -> Option<String> {
        self.arn.is_none().then(|| self.stream.to_string())
    }

    fn arn_to_send(&self) -> Option<String> {
        self.arn.as_ref().map(ToString::to_string)
    }

    /// The same source, with another limit on how long a request may take. The default is 30 s.
    #[must_use]
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }
}

#[async_trait]
impl RecordSource for KinesisSource {
    fn stream(&self) -> &StreamName {
        &self.stream
    }

    async fn identify(&self) -> Result<StreamId, FetchFailure> {
        let request = self
            .client
            .describe_stream_summary()
            .set_stream_name(self.name_to_send())
            .set_stream_arn(self.arn_to_send());
        let answer = timed("DescribeStreamSummary", self.request_timeout, request.send()).await?;
        let summary = answer
            .stream_description_summary
            .ok_or_else(|| malformed("DescribeStreamSummary gave no stream".to_owned()))?;
        if summary.stream_status == StreamStatus::Deleting {
            return Err(FetchFailure {
                kind: FetchFailureKind::NotFound,
                message: format!("DescribeStreamSummary: the stream {} is being deleted", self.stream),
            });
        }
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

    async fn list_shards(&self, filter: ShardFilter) -> Result<Vec<Shard>, FetchFailure> {
        let mut shards = Vec::new();
        let mut next_token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            // A token brings the stream and the filter with it; naming them again is an error.
            let request = match next_token.take() {
                Some(token) => self.client.list_shards().next_token(token),
                None => self
                    .client
                    .list_shards()
                    .set_stream_name(self.name_to_send())
                    .set_stream_arn(self.arn_to_send())
                    .set_shard_filter(sdk_filter(filter)?),
            };
            let page = timed(
                "ListShards",
                self.request_timeout,
                request.max_results(SHARDS_PER_PAGE).send(),
            )
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

    async fn open(&self, shard: &ShardId, position: &Position) -> Result<Box<dyn ShardReader>, FetchFailure> {
        let request = self
            .client
            .get_shard_iterator()
            .set_stream_name(self.name_to_send())
            .set_stream_arn(self.arn_to_send())
            .shard_id(shard.as_str());
        let request = match position {
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            Position::AtTimestamp(at) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(at.epoch_millis())),
            // At, not after: records that were aggregated into this one may not have been handled yet.
            Position::Record(record) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(record.sequence_number.as_str()),
            other => {
                let message = format!("a shard cannot be read from {other}");
                return Err(FetchFailure {
                    kind: FetchFailureKind::InvalidPosition,
                    message,
                });
            }
        };
        let answer = timed("GetShardIterator", self.request_timeout, request.send()).await?;
        let Some(iterator) = answer.shard_iterator else {
            return Err(malformed("GetShardIterator gave no iterator".to_owned()));
        };
        let (source, shard) = (self.clone(), shard.clone());
        Ok(Box::new(KinesisReader {
            source,
            shard,
            iterator,
        }))
    }
}

#[derive(Debug)]
struct KinesisReader {
    source: KinesisSource,
    shard: ShardId,
    iterator: String,
}

#[async_trait]
impl ShardReader for KinesisReader {
    async fn read(&mut self, max_records: u32) -> Result<Fetch, FetchFailure> {
        let limit = i32::try_from(max_records).unwrap_or(i32::MAX);
        let request = self
            .source
            .client
            .get_records()
            .set_stream_arn(self.source.arn_to_send())
            .shard_iterator(&self.iterator)
            .limit(limit);
        let answer = timed("GetRecords", self.source.request_timeout, request.send())
            .await
            .map_err(|failure| {
                // An iterator that the service does not accept any more is no fault of the position.
                match failure.kind {
                    FetchFailureKind::InvalidPosition => FetchFailure {
                        kind: FetchFailureKind::Expired,
                        ..failure
                    },
                    _ => failure,
                }
            })?;
        self.accept(answer)
    }
}

impl KinesisReader {
    fn accept(&mut self, answer: GetRecordsOutput) -> Result<Fetch, FetchFailure> {
        let children = answer.child_shards.unwrap_or_default();
        if answer.next_shard_iterator.is_some() && !children.is_empty() {
            return Err(malformed("GetRecords gave child shards and a next iterator".to_owned()));
        }
        let records = answer.records.into_iter().map(read_record).collect::<Result<_, _>>()?;
        let behind = answer
            .millis_behind_latest
            .and_then(|millis| u64::try_from(millis).ok());
        let batch =
            Batch::new(self.source.stream.clone(), self.shard.clone(), records).with_millis_behind_latest(behind);
        let end = match answer.next_shard_iterator {
            Some(next) => {
                self.iterator = next;
                None
            }
            None => Some(children.iter().map(read_child).collect::<Result<_, _>>()?),
        };
        Ok(Fetch { batch, end })
    }
}

/// Waits for a request, within the limit, and reads errors by what to do about them.
async fn timed<T, E, R>(
    operation: &'static str,
    limit: Duration,
    request: impl Future<Output = Result<T, SdkError<E, R>>>,
) -> Result<T, FetchFailure>
where
    E: Error + ProvideErrorMetadata + Debug + 'static,
    R: Debug + 'static,
{
    match tokio::time::timeout(limit, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failure(operation, &error)),
        Err(_) => Err(FetchFailure {
            kind: FetchFailureKind::Unavailable,
            message: format!("{operation} gave no answer within {} s", limit.as_secs_f64()),
        }),
    }
}

fn failure<E, R>(operation: &'static str, error: &SdkError<E, R>) -> FetchFailure
where
    E: Error + ProvideErrorMetadata + Debug + 'static,
    R: Debug + 'static,
{
    let kind = match error.code() {
        Some("ProvisionedThroughputExceededException" | "LimitExceededException" | "KMSThrottlingException") => {
            FetchFailureKind::Throttled
        }
        Some("ThrottlingException" | "Throttling" | "RequestLimitExceeded") => FetchFailureKind::Throttled,
        Some("ExpiredIteratorException") => FetchFailureKind::Expired,
        Some("ResourceNotFoundException") => FetchFailureKind::NotFound,
        Some("InvalidArgumentException" | "ValidationException") => FetchFailureKind::InvalidPosition,
        Some("AccessDeniedException" | "KMSAccessDeniedException" | "UnrecognizedClientException") => {
            FetchFailureKind::Denied
        }
        Some("InvalidSignatureException" | "MissingAuthenticationTokenException" | "ExpiredTokenException") => {
            FetchFailureKind::Denied
        }
        _ => FetchFailureKind::Unavailable,
    };
    let message = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{operation}: {code}: {message}"),
        (Some(code), None) => format!("{operation}: {code}"),
        _ => format!("{operation}: {}", short_cause(error)),
    };
    FetchFailure { kind, message }
}

/// The innermost cause in plain words: the SDK's own first sentence is no more than "dispatch failure".
fn short_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let (outer, inner) = (error.to_string(), cause.to_string());
    match (outer == inner, inner.is_empty()) {
        (true, false) => inner,
        (false, false) => format!("{outer}: {inner}"),
        (_, true) => DisplayErrorContext(error).to_string(),
    }
}

fn malformed(message: String) -> FetchFailure {
    FetchFailure {
        kind: FetchFailureKind::Malformed,
        message,
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

fn read_record(record: types::Record) -> Result<Record, FetchFailure> {
    let sequence_number =
        SequenceNumber::new(record.sequence_number).map_err(|error| malformed(format!("GetRecords: {error}")))?;
    let arrival = record
        .approximate_arrival_timestamp
        .and_then(|at| at.to_millis().ok())
        .unwrap_or_default();
    let arrival = Timestamp::from_epoch_millis(arrival);
    // On streams that distribute records by themselves producers may leave the key out.
    let partition_key = record.partition_key.unwrap_or_default();
    // `Vec` to `Bytes` takes the allocation over.
    Ok(Record::new(
        sequence_number,
        partition_key,
        arrival,
        record.data.into_inner(),
    ))
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

fn read_child(child: &types::ChildShard) -> Result<ChildShard, FetchFailure> {
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
