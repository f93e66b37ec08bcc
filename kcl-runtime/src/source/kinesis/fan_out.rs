//! Enhanced fan-out: `SubscribeToShard`, as a reader whose reads give the next event.
//!
//! What is not read stays with the service: HTTP/2 holds it back. When to begin, renew and give up a subscription is
//! decided in [`kcl_core::fetch`].

use async_trait::async_trait;
use aws_sdk_kinesis::{
    config::{Builder, StalledStreamProtectionConfig},
    operation::subscribe_to_shard::SubscribeToShardOutput,
    primitives::DateTime,
    types::{
        ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
        error::SubscribeToShardEventStreamError as StreamError,
    },
};
use kcl_core::{
    Batch, Position, SequenceNumber, ShardId, StreamName,
    fetch::{
        Fetch, FetchFailure, FetchFailureKind, SubscribeAt,
        consumer::{ConsumerArn, ConsumerSelector},
    },
};

use super::{
    KinesisSource,
    catalog::read_child,
    failure::{failure, malformed},
    poll::read_record,
};
use crate::source::ShardReader;

const OPERATION: &str = "SubscribeToShard";

impl KinesisSource {
    pub(super) async fn subscribe_as(
        &self,
        shard: &ShardId,
        at: &SubscribeAt,
        consumer: &ConsumerSelector,
    ) -> Result<Box<dyn ShardReader>, FetchFailure> {
        let arn = self.consumer(consumer).await?;
        let request = self
            .client()
            .subscribe_to_shard()
            .consumer_arn(arn.as_str())
            .shard_id(shard.as_str())
            .starting_position(starting_position(at)?)
            .customize()
            // A subscription may have nothing to say for seconds, and one that is dead is noticed by its reader.
            .config_override(Builder::default().stalled_stream_protection(StalledStreamProtectionConfig::disabled()));
        let subscribed = self.timed(OPERATION, request.send()).await;
        let output = self.note_consumer(consumer, &arn, subscribed).await?;
        tracing::debug!(consumer = %arn, ?at, "subscribed");
        Ok(Box::new(Subscription {
            source: self.clone(),
            selector: consumer.clone(),
            consumer: arn,
            stream: self.stream.clone(),
            shard: shard.clone(),
            output,
        }))
    }

    /// A consumer that the service does not know is looked for again next time.
    async fn note_consumer<T>(
        &self,
        selector: &ConsumerSelector,
        arn: &ConsumerArn,
        result: Result<T, FetchFailure>,
    ) -> Result<T, FetchFailure> {
        if matches!(&result, Err(failure) if failure.kind == FetchFailureKind::NotFound) {
            self.consumers.forget(selector, arn).await;
        }
        result
    }
}

fn starting_position(at: &SubscribeAt) -> Result<StartingPosition, FetchFailure> {
    let position = StartingPosition::builder();
    let position = match at {
        SubscribeAt::Continuation(number) => position
            .r#type(ShardIteratorType::AfterSequenceNumber)
            .sequence_number(number.as_str()),
        SubscribeAt::Position(Position::TrimHorizon) => position.r#type(ShardIteratorType::TrimHorizon),
        SubscribeAt::Position(Position::Latest) => position.r#type(ShardIteratorType::Latest),
        SubscribeAt::Position(Position::AtTimestamp(at)) => position
            .r#type(ShardIteratorType::AtTimestamp)
            .timestamp(DateTime::from_millis(at.epoch_millis())),
        // At, not after: records that were aggregated into this one may not have been handled yet.
        SubscribeAt::Position(Position::Record(record)) => position
            .r#type(ShardIteratorType::AtSequenceNumber)
            .sequence_number(record.sequence_number.as_str()),
        SubscribeAt::Position(other) => {
            return Err(FetchFailure {
                kind: FetchFailureKind::InvalidPosition,
                message: format!("a shard cannot be read from {other}"),
            });
        }
    };
    position.build().map_err(|error| malformed(error.to_string()))
}

/// A subscription. Dropping it ends it.
#[derive(Debug)]
struct Subscription {
    source: KinesisSource,
    selector: ConsumerSelector,
    consumer: ConsumerArn,
    stream: StreamName,
    shard: ShardId,
    output: SubscribeToShardOutput,
}

#[async_trait]
impl ShardReader for Subscription {
    /// The next event, whatever it holds: how much that is, the service decides.
    async fn read(&mut self, _max_records: u32) -> Result<Fetch, FetchFailure> {
        loop {
            let event = self.output.event_stream.recv().await.map_err(|error| {
                let failure = failure(OPERATION, &error);
                match error.as_service_error() {
                    Some(told) => FetchFailure {
                        kind: kind_of(told),
                        message: format!("{OPERATION}: {told}"),
                    },
                    None => failure,
                }
            });
            return match self.source.note_consumer(&self.selector, &self.consumer, event).await? {
                Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) => self.accept(event),
                // What later versions of the service may say besides.
                Some(_) => continue,
                None => Err(FetchFailure {
                    kind: FetchFailureKind::Ended,
                    message: format!("{OPERATION}: the subscription is over"),
                }),
            };
        }
    }
}

impl Subscription {
    fn accept(&self, event: SubscribeToShardEvent) -> Result<Fetch, FetchFailure> {
        let children = event.child_shards.unwrap_or_default();
        // The SDK makes an empty text of a number that is absent.
        let continuation = Some(event.continuation_sequence_number).filter(|number| !number.is_empty());
        if continuation.is_some() && !children.is_empty() {
            return Err(malformed(format!(
                "{OPERATION} gave child shards and a place to go on from"
            )));
        }
        let records = event.records.into_iter().map(read_record).collect::<Result<_, _>>()?;
        let behind = u64::try_from(event.millis_behind_latest).ok();
        let batch = Batch::new(self.stream.clone(), self.shard.clone(), records).with_millis_behind_latest(behind);
        let end = match &continuation {
            Some(_) => None,
            None => Some(children.iter().map(read_child).collect::<Result<_, _>>()?),
        };
        let continuation = continuation
            .map(SequenceNumber::new)
            .transpose()
            .map_err(|error| malformed(format!("{OPERATION}: {error}")))?;
        Ok(Fetch {
            batch,
            end,
            continuation,
        })
    }
}

/// What to do about an error that a subscription ends with. It comes without a code.
fn kind_of(error: &StreamError) -> FetchFailureKind {
    match error {
        StreamError::ResourceInUseException(_) => FetchFailureKind::InUse,
        StreamError::ResourceNotFoundException(_) => FetchFailureKind::NotFound,
        StreamError::KmsThrottlingException(_) => FetchFailureKind::Throttled,
        // Somebody has to change something about the key first.
        StreamError::KmsAccessDeniedException(_)
        | StreamError::KmsDisabledException(_)
        | StreamError::KmsInvalidStateException(_)
        | StreamError::KmsNotFoundException(_)
        | StreamError::KmsOptInRequired(_) => FetchFailureKind::Denied,
        _ => FetchFailureKind::Unavailable,
    }
}
