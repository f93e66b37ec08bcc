//! Enhanced fan-out: subscriptions of registered consumers to shards.
//!
//! A subscription is a place in a shard and a few times. Whoever holds its id asks for the next [`Step`], as often as the
//! reader at the other end can take one, and when there is none waits until the time that the engine names or until the
//! engine says that something has happened, whichever comes first.

mod table;

use std::{collections::BTreeSet, ops::Range, sync::Arc, time::Duration};

use kcl_core::{Record, Timestamp};

use self::table::Place;
pub use self::table::SubscriptionId;
pub(super) use self::table::Subscriptions;
use super::{
    Engine, Operation, Subject,
    limits::{Bucket, Limits, Rate},
    shard::{Found, ShardLog, shard_name},
    start::{START_TYPES, Start},
    stream::Stream,
    validate::{Constraints, present},
};
use crate::api::{ApiError, ErrorKind, SubscribeToShard, SubscribeToShardEvent};

/// How long a subscription says nothing when there is nothing to tell. Clients take one that is silent for half a minute
/// for dead.
const EVENT_EVERY: Duration = Duration::from_secs(1);
const EVENT_RECORDS_MAX: usize = 10_000;
/// The most data and keys of one event, unless a single record has more.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// What a consumer may read of a shard when limits are kept.
const BYTES_RATE: Rate = Rate::per_second(2 << 20);

/// What a subscription does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It gives this.
    Event(SubscribeToShardEvent),
    /// It has nothing to give before this time, unless the engine [wakes](Engine::take_woken) it.
    Idle {
        /// When to ask again.
        until: Timestamp,
    },
    /// It has ended as subscriptions do: after five minutes, or at the end of the shard.
    Ended,
    /// It has ended before its time.
    Failed(ApiError),
}

impl Operation for SubscribeToShard {
    const NAME: &'static str = "SubscribeToShard";
    type Output = SubscriptionId;

    fn subject(&self) -> Subject {
        Subject::shard(None, self.consumer_arn.as_ref(), self.shard_id.as_ref())
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<SubscriptionId, ApiError> {
        let start = self.starting_position.as_ref();
        let kind = start.and_then(|start| start.kind.as_ref());
        let number = start.and_then(|start| start.sequence_number.as_ref());
        let mut constraints = Constraints::default();
        constraints
            .required("consumerARN", self.consumer_arn.as_ref())
            .consumer_arn("consumerARN", self.consumer_arn.as_ref())
            .required("shardId", self.shard_id.as_ref())
            .name("shardId", self.shard_id.as_ref())
            .required("startingPosition", start);
        if start.is_some() {
            constraints
                .required("startingPosition.type", kind)
                .one_of("startingPosition.type", kind, &START_TYPES)
                .number("startingPosition.sequenceNumber", number);
        }
        constraints.check()?;
        let start = present(self.starting_position)?;
        let (stream, consumer) = engine.active_consumer(&present(self.consumer_arn)?)?;
        let shard = engine.shard(stream, &present(self.shard_id)?, now)?;
        let start = Start {
            operation: Self::NAME,
            kind: &present(start.kind)?,
            number: start.sequence_number.as_deref(),
            timestamp: start.timestamp,
        };
        let next = engine.counter_at(stream, shard, &start, now)?;
        let place = Place {
            stream: stream.name.clone(),
            shard: shard.index,
            consumer: consumer.name.clone(),
            registered_at: consumer.created_at,
        };
        let life = stream.life;
        if engine.subscriptions.is_held(&place, life, now) {
            return Err(engine.another_subscription(&place));
        }
        if self.dry_run == Some(true) {
            return Err(ApiError::dry_run());
        }
        Ok(engine.subscriptions.begin(place, life, next, now))
    }
}

impl Engine {
    /// What the subscription does next at the time `now`.
    ///
    /// After [`Step::Ended`] and [`Step::Failed`] the engine has forgotten it; what is unknown has ended.
    ///
    /// ```
    /// use kcl_broker::{
    ///     Engine, EngineConfig, Step,
    ///     api::{CreateStream, PutRecord, RegisterStreamConsumer, StartingPosition, SubscribeToShard},
    /// };
    /// use kcl_core::Timestamp;
    ///
    /// let mut engine = Engine::new(EngineConfig::default());
    /// let now = Timestamp::from_epoch_millis(1_357_034_400_000);
    /// engine.call(now, CreateStream::new("rides", 1))?;
    /// let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/rides";
    /// let consumer = engine.call(now, RegisterStreamConsumer::new(stream, "billing"))?.consumer.consumer_arn;
    ///
    /// let latest = StartingPosition::latest();
    /// let id = engine.call(now, SubscribeToShard::new(consumer, "shardId-000000000000", latest))?;
    /// assert!(matches!(engine.poll_subscription(now, id), Step::Event(event) if event.records.is_empty()));
    /// assert!(matches!(engine.poll_subscription(now, id), Step::Idle { .. }));
    /// engine.call(now, PutRecord::new("rides", "taxi-7", "from A to B"))?;
    /// assert!(engine.take_woken().contains(&id));
    /// assert!(matches!(engine.poll_subscription(now, id), Step::Event(event) if event.records.len() == 1));
    /// # Ok::<(), kcl_broker::ApiError>(())
    /// ```
    pub fn poll_subscription(&mut self, now: Timestamp, id: SubscriptionId) -> Step {
        self.now = self.now.max(now);
        let now = self.now;
        self.catch_up(now);
        let step = self.step(id, now).unwrap_or_else(Step::Failed);
        match &step {
            Step::Event(event) if event.continuation_sequence_number.is_some() => {}
            Step::Idle { .. } => self.subscriptions.waits(id),
            // An event without a place to go on from is the last one.
            Step::Event(_) | Step::Ended | Step::Failed(_) => self.subscriptions.end(id),
        }
        step
    }

    /// Ends a subscription whose reader is gone.
    pub fn cancel_subscription(&mut self, id: SubscriptionId) {
        self.subscriptions.end(id);
    }

    /// The subscriptions that were told to wait and for which something has happened since.
    pub fn take_woken(&mut self) -> BTreeSet<SubscriptionId> {
        self.subscriptions.take_woken()
    }

    fn step(&mut self, id: SubscriptionId, now: Timestamp) -> Result<Step, ApiError> {
        let Some(subscription) = self.subscriptions.get(id) else {
            return Ok(Step::Ended);
        };
        let place = &subscription.place;
        let stream = self.existing(&place.stream)?;
        if stream.life != subscription.life {
            return Err(self.no_such_stream(place.stream.as_str()));
        }
        let (consumer, _) = self.consumer_of(stream, &place.consumer)?;
        if consumer.created_at != place.registered_at {
            return Err(self.no_such_consumer(stream, &place.consumer));
        }
        if self.subscriptions.is_taken_over(id, place) {
            return Err(self.another_subscription(place));
        }
        let ends_at = subscription.ends_at();
        if now >= ends_at {
            return Ok(Step::Ended);
        }
        let event_due_at = subscription.event_due_at;
        let Some(shard) = stream.shard(place.shard, now) else {
            // Retention has passed over a reader that is so slow: nothing is left of the shard but its end.
            return self.last_event(stream, place, Vec::new(), Vec::new());
        };
        let next = subscription.next.max(shard.first_at(stream.horizon(now)));
        let mut bucket = self.subscriptions.bucket(place);
        let (found, wait) = self.readable(shard, next, &mut bucket, now);
        if !shard.is_open() && found.next_arrival.is_none() {
            return self.last_event(stream, place, found.records, found.encrypted);
        }
        if found.records.is_empty() && now < event_due_at {
            // A change of the stream that takes time may end the shard, or the stream itself.
            let sooner = [Some(ends_at), wait, stream.changes_at()];
            let until = sooner.into_iter().flatten().fold(event_due_at, Timestamp::min);
            return Ok(Step::Idle { until });
        }
        let event = SubscribeToShardEvent {
            records: found.records,
            encrypted: found.encrypted,
            continuation_sequence_number: Some(shard.place_before(found.next, now)),
            millis_behind_latest: found.next_arrival.map_or(0, |arrival| now.millis_since(arrival)),
            child_shards: Vec::new(),
        };
        let event_due_at = now.saturating_add(EVENT_EVERY);
        self.subscriptions.gave(id, bucket, found.next, event_due_at);
        Ok(Step::Event(event))
    }

    /// What can be given from the counter `next` on; if that is nothing because of the limit, also when it can be given.
    fn readable(&self, shard: &ShardLog, next: u64, bucket: &mut Bucket, now: Timestamp) -> (Found, Option<Timestamp>) {
        let found = shard.read(next, EVENT_RECORDS_MAX, EVENT_BYTES_MAX);
        if self.config.limits == Limits::Off || found.records.is_empty() {
            return (found, None);
        }
        let bytes = found.records.iter().map(|record| record.size() as u64).sum();
        let fits_at = bucket.fits_at(BYTES_RATE, bytes, now);
        if fits_at > now {
            return (shard.read(next, 0, 0), Some(fits_at));
        }
        bucket.pour(BYTES_RATE, bytes, now);
        (found, None)
    }

    /// The event that ends the subscription to a shard that has ended.
    fn last_event(
        &self,
        stream: &Stream,
        place: &Place,
        records: Vec<Arc<Record>>,
        encrypted: Vec<Range<usize>>,
    ) -> Result<Step, ApiError> {
        let child_shards = stream.children(place.shard);
        if child_shards.is_empty() {
            // The children are gone too. Without them an end would be none that clients understand.
            return Err(self.no_such_shard(stream, place.shard));
        }
        Ok(Step::Event(SubscribeToShardEvent {
            records,
            encrypted,
            continuation_sequence_number: None,
            millis_behind_latest: 0,
            child_shards,
        }))
    }

    fn another_subscription(&self, place: &Place) -> ApiError {
        let Place {
            stream,
            shard,
            consumer,
            ..
        } = place;
        let (account, shard) = (&self.config.account, shard_name(*shard));
        ApiError::new(
            ErrorKind::ResourceInUse,
            format!("Another active subscription exists for this consumer: {account}:{stream}:{shard}:{consumer}"),
        )
    }
}
