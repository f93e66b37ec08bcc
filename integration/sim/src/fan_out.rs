//! Enhanced fan-out: the subscriptions of the engine, and what can happen to them on the way.

use std::time::Duration;

use kcl_broker::{
    ErrorKind, Step, SubscriptionId,
    api::{RegisterStreamConsumer, StartingPosition, SubscribeToShard, SubscribeToShardEvent},
};
use kcl_core::{
    Batch, Position, Record, ShardId, Timestamp,
    fetch::{Fetch, FetchFailure, FetchFailureKind, RetrievalMode, SubscribeAt},
    shard::ShardInput,
    worker::TenureId,
};

use crate::{
    event::Event,
    features::Feature,
    mutant::Mutant,
    node::State,
    scenario::FaultKind,
    servers::{STREAM, Service, failure},
    world::World,
};

/// The consumer of the application.
const CONSUMER: &str = "fleet";

/// What a consumer of a process knows of its subscriptions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Subscribing {
    /// Which of all subscriptions and attempts of the tenure the present one is: what comes from another is late.
    pub(super) turn: u64,
    pub(super) current: Option<Subscribed>,
}

/// A subscription that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscribed {
    id: SubscriptionId,
    /// Whether it says nothing.
    silent: bool,
    /// After how many events it is cut, if it is.
    events_left: Option<u32>,
}

impl Service {
    /// Begins a subscription of the application's consumer, which is registered if need be.
    fn subscribe(&mut self, now: Timestamp, shard: &ShardId, at: &SubscribeAt) -> Result<SubscriptionId, FetchFailure> {
        let consumer = self.consumer(now)?;
        let start = match at {
            SubscribeAt::Continuation(number) => StartingPosition::after(number.as_str()),
            SubscribeAt::Position(Position::TrimHorizon) => StartingPosition::trim_horizon(),
            SubscribeAt::Position(Position::Latest) => StartingPosition::latest(),
            SubscribeAt::Position(Position::AtTimestamp(at)) => StartingPosition::at_timestamp(*at),
            SubscribeAt::Position(Position::Record(record)) => StartingPosition::at(record.sequence_number.as_str()),
            SubscribeAt::Position(other) => unreachable!("nobody reads from {other}"),
        };
        let request = SubscribeToShard::new(consumer, shard.as_str(), start);
        self.engine.call(now, request).map_err(|error| {
            if error.kind() == ErrorKind::ResourceNotFound {
                // It may be of the stream that was here before.
                self.consumer = None;
            }
            failure(error)
        })
    }

    fn consumer(&mut self, now: Timestamp) -> Result<String, FetchFailure> {
        if let Some(arn) = &self.consumer {
            return Ok(arn.clone());
        }
        let stream = self
            .engine
            .call(now, kcl_broker::api::DescribeStreamSummary::new(STREAM));
        let stream = stream.map_err(failure)?.stream.stream_arn;
        let registered = self.engine.call(now, RegisterStreamConsumer::new(stream, CONSUMER));
        let arn = registered.map_err(failure)?.consumer.consumer_arn;
        self.consumer = Some(arn.clone());
        Ok(arn)
    }

    fn event(&self, shard: &ShardId, event: &SubscribeToShardEvent) -> Fetch {
        let records: Vec<Record> = event.records.iter().map(|record| Record::clone(record)).collect();
        let behind = Some(event.millis_behind_latest);
        let end = event.continuation_sequence_number.is_none();
        Fetch {
            batch: Batch::new(self.name.clone(), shard.clone(), records).with_millis_behind_latest(behind),
            end: end.then(|| event.child_shards.clone()),
            continuation: event.continuation_sequence_number.clone(),
        }
    }
}

impl World<'_> {
    /// How a consumer begins to read.
    pub(super) fn retrieval_mode(&mut self) -> RetrievalMode {
        if !self.scenario.features.has(Feature::FanOut) {
            return RetrievalMode::Polling;
        }
        match self.rng.u8(..8) {
            0 => RetrievalMode::Polling,
            1 | 2 => RetrievalMode::Auto,
            _ => RetrievalMode::FanOut,
        }
    }

    /// Now and then somebody has a shard read in another way.
    pub(super) fn switch_retrieval(&mut self) {
        if self.quiet || !self.scenario.features.has(Feature::FanOut) || self.rng.bool() {
            return;
        }
        let running = self.nodes.iter().enumerate();
        let consumers: Vec<(usize, TenureId)> = running
            .filter(|(_, node)| node.state == State::Running)
            .flat_map(|(index, node)| node.consumers.keys().map(move |tenure| (index, *tenure)))
            .collect();
        if consumers.is_empty() {
            return;
        }
        let (node, tenure) = consumers[self.rng.usize(..consumers.len())];
        let mode = self.retrieval_mode();
        self.tell_shard(node, tenure, ShardInput::Retrieval(mode));
    }

    pub(super) fn subscribe(&mut self, node: usize, tenure: TenureId, at: &SubscribeAt) {
        let wall = self.wall();
        let subscribing = self.turn(node, tenure);
        let shard = self.nodes[node].consumers[&tenure].shard.clone();
        let forgets = self.mutant == Some(Mutant::ForgetContinuation) && matches!(at, SubscribeAt::Continuation(_));
        let latest = SubscribeAt::Position(Position::Latest);
        let at = if forgets { &latest } else { at };
        let draw = if self.quiet { u8::MAX } else { self.rng.u8(..32) };
        let mut result = match self.service_trouble(node) {
            Some(failure) => Err(failure),
            None if draw == 0 => Err(drawn(FetchFailureKind::InUse)),
            None if draw == 1 => Err(drawn(FetchFailureKind::Denied)),
            None => self.service.subscribe(wall, &shard, at),
        };
        if draw == 2 && result.is_ok() {
            // It began, and the answer is lost.
            result = Err(drawn(FetchFailureKind::Unavailable));
        }
        if result.is_ok() && !forgets && *at == latest {
            self.note_latest(&shard);
        }
        let silent = matches!(draw, 3 | 4);
        let events_left = matches!(draw, 5..=14).then(|| self.rng.u32(1..60));
        let input = match result {
            Ok(id) => {
                let subscribed = Subscribed {
                    id,
                    silent,
                    events_left,
                };
                if let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) {
                    consumer.subscribing.current = Some(subscribed);
                }
                Ok(())
            }
            Err(failure) => Err(failure),
        };
        let delay = self.service_delay();
        let input = ShardInput::Opened(input);
        self.at(delay, self.told(node, tenure, subscribing, input));
    }

    fn told(&self, node: usize, tenure: TenureId, turn: u64, input: ShardInput) -> Event {
        Event::FromSubscription {
            node,
            tenure,
            turn,
            input,
        }
    }

    /// Begins another turn, in which nothing of an earlier one counts.
    fn turn(&mut self, node: usize, tenure: TenureId) -> u64 {
        let ended = match self.nodes[node].consumers.get_mut(&tenure) {
            Some(consumer) => {
                consumer.subscribing.turn += 1;
                consumer.subscribing.current.take()
            }
            None => None,
        };
        if let Some(ended) = ended {
            self.service.engine.cancel_subscription(ended.id);
        }
        self.nodes[node].consumers[&tenure].subscribing.turn
    }

    /// The reader is dropped, of whichever kind it is.
    pub(super) fn close(&mut self, node: usize, tenure: TenureId) {
        self.turn(node, tenure);
        if let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) {
            consumer.iterator = None;
            consumer.closes += 1;
        }
    }

    pub(super) fn is_subscribed(&self, node: usize, tenure: TenureId) -> bool {
        self.nodes[node].consumers[&tenure].subscribing.current.is_some()
    }

    pub(super) fn next_event(&mut self, node: usize, tenure: TenureId) {
        let turn = self.nodes[node].consumers[&tenure].subscribing.turn;
        self.listen(node, tenure, turn);
    }

    /// Asks the subscription for what is next, now or when the service says that there is something.
    pub(super) fn listen(&mut self, node: usize, tenure: TenureId, turn: u64) {
        let wall = self.wall();
        let Some(consumer) = self.nodes[node].consumers.get(&tenure) else {
            return;
        };
        let (shard, subscribing) = (consumer.shard.clone(), consumer.subscribing);
        let Some(mut subscribed) = subscribing.current.filter(|_| subscribing.turn == turn) else {
            return;
        };
        if subscribed.silent {
            return;
        }
        let broken = self
            .service_trouble(node)
            .filter(|failure| failure.kind != FetchFailureKind::Throttled);
        let result = if let Some(failure) = broken {
            Err(failure)
        } else if subscribed.events_left == Some(0) {
            Err(drawn(FetchFailureKind::Unavailable))
        } else {
            match self.service.engine.poll_subscription(wall, subscribed.id) {
                Step::Event(event) => Ok(self.service.event(&shard, &event)),
                Step::Idle { until } => {
                    let wait = Duration::from_millis(until.millis_since(wall).max(1));
                    return self.at(wait, Event::Listen { node, tenure, turn });
                }
                Step::Ended => Err(drawn(FetchFailureKind::Ended)),
                Step::Failed(error) => Err(failure(error)),
            }
        };
        subscribed.events_left = subscribed.events_left.map(|events| events.saturating_sub(1));
        let result = result.map(|fetch| self.spoil_event(fetch));
        let goes_on = result.as_ref().is_ok_and(|fetch| fetch.continuation.is_some());
        if let Some(consumer) = self.nodes[node].consumers.get_mut(&tenure) {
            consumer.subscribing.current = Some(subscribed).filter(|_| goes_on);
        }
        if !goes_on {
            self.service.engine.cancel_subscription(subscribed.id);
        }
        let delay = self.service_delay();
        let input = ShardInput::Fetched(result);
        self.at(delay, self.told(node, tenure, turn, input));
    }

    /// A faulty service tells neither a place to go on from nor children now and then.
    fn spoil_event(&mut self, mut fetch: Fetch) -> Fetch {
        let nulls = self.has(|fault| matches!(fault, FaultKind::NullIterators { .. }));
        if nulls && self.rng.u8(..4) == 0 {
            (fetch.continuation, fetch.end) = (None, Some(Vec::new()));
        }
        if self.mutant == Some(Mutant::DropRecord) && fetch.batch.len() > 1 && self.rng.u8(..4) == 0 {
            fetch.batch = fetch.batch.split_at(1).1;
        }
        fetch
    }

    pub(super) fn subscription_told(&mut self, node: usize, tenure: TenureId, turn: u64, input: ShardInput) {
        let consumer = self.nodes[node].consumers.get(&tenure);
        if consumer.is_some_and(|consumer| consumer.subscribing.turn == turn) {
            self.tell_shard(node, tenure, input);
        }
    }
}

fn drawn(kind: FetchFailureKind) -> FetchFailure {
    FetchFailure {
        kind,
        message: "drawn".to_owned(),
    }
}
