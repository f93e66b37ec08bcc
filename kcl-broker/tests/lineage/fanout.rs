//! Reading with subscriptions that end, are cut and are taken over at any time.

use std::{collections::BTreeMap, time::Duration};

use kcl_broker::{
    ErrorKind, Step as Given, SubscriptionId,
    api::{RegisterStreamConsumer, StartingPosition, SubscribeToShard},
};
use kcl_core::ShardFilter;
use proptest::prelude::*;

use crate::stream::{Change, STREAM, Stream, change, transition};

#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    /// One of the readers takes what its subscription gives, if it gives anything.
    Read(usize),
    /// The connection of one of the readers breaks, and with it is lost what the broker had just sent.
    Cut(usize),
    /// One of the readers subscribes again although its subscription is well.
    Renew(usize),
    /// Lets milliseconds pass, sometimes so many that every subscription ends.
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => change().prop_map(Step::Change),
        4 => any::<usize>().prop_map(Step::Read),
        1 => any::<usize>().prop_map(Step::Cut),
        1 => any::<usize>().prop_map(Step::Renew),
        2 => (0..3_000_u32).prop_map(Step::Wait),
        1 => (0..400_000_u32).prop_map(Step::Wait),
    ]
}

/// Who follows a shard.
struct Reader {
    subscription: Option<SubscriptionId>,
    /// Where it begins the next time.
    start: StartingPosition,
    is_over: bool,
}

/// A stream with a consumer, and one reader a shard that follows the lineage.
struct World {
    stream: Stream,
    consumer: String,
    /// Whether readers go on at, and not after, the place that they were told.
    goes_on_at: bool,
    readers: BTreeMap<String, Reader>,
}

impl World {
    fn new(mut stream: Stream, goes_on_at: bool) -> Self {
        let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
        let register = RegisterStreamConsumer::new(arn, "reader");
        let consumer = stream.engine.call(stream.now, register).unwrap().consumer.consumer_arn;
        stream.pass(stream.transition);
        let first = stream.list(ShardFilter::AtTrimHorizon);
        let mut world = Self {
            stream,
            consumer,
            goes_on_at,
            readers: BTreeMap::new(),
        };
        for shard in first {
            world.open(shard.id.as_str());
        }
        world
    }

    fn open(&mut self, shard: &str) {
        let reader = Reader {
            subscription: None,
            start: StartingPosition::trim_horizon(),
            is_over: false,
        };
        self.readers.insert(shard.to_owned(), reader);
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Change(change) => self.stream.make(change),
            Step::Read(which) => {
                if let Some(shard) = self.standing(*which) {
                    self.read(&shard);
                }
            }
            Step::Cut(which) => {
                if let Some(shard) = self.standing(*which) {
                    self.cut(&shard);
                }
            }
            Step::Renew(which) => {
                if let Some(shard) = self.standing(*which) {
                    self.subscribe(&shard);
                }
            }
            Step::Wait(millis) => self.stream.pass(Duration::from_millis(u64::from(*millis))),
        }
    }

    /// A shard that has not been read to its end.
    fn standing(&self, which: usize) -> Option<String> {
        let standing = self.readers.iter().filter(|(_, reader)| !reader.is_over);
        let shards: Vec<_> = standing.map(|(shard, _)| shard.clone()).collect();
        shards.get(which % shards.len().max(1)).cloned()
    }

    /// Subscribes, if the last success is long enough ago.
    fn subscribe(&mut self, shard: &str) {
        let reader = self.readers.get_mut(shard).unwrap();
        let subscribe = SubscribeToShard::new(&self.consumer, shard, reader.start.clone());
        match self.stream.engine.call(self.stream.now, subscribe) {
            Ok(id) => {
                // The one before is told that it was taken over, if it is still there.
                if let Some(old) = reader.subscription.replace(id) {
                    match self.stream.engine.poll_subscription(self.stream.now, old) {
                        Given::Failed(error) => assert_eq!(error.kind(), ErrorKind::ResourceInUse),
                        step => panic!("{step:?} of a subscription that was taken over"),
                    }
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::ResourceInUse),
        }
    }

    fn cut(&mut self, shard: &str) {
        let reader = self.readers.get_mut(shard).unwrap();
        if let Some(id) = reader.subscription.take() {
            self.stream.engine.poll_subscription(self.stream.now, id);
            self.stream.engine.cancel_subscription(id);
        }
    }

    /// Takes what there is in `shard`; at its end opens the children whose other parent has ended too.
    fn read(&mut self, shard: &str) {
        if self.readers[shard].subscription.is_none() {
            self.subscribe(shard);
        }
        let reader = self.readers.get_mut(shard).unwrap();
        let Some(id) = reader.subscription else { return };
        let event = match self.stream.engine.poll_subscription(self.stream.now, id) {
            Given::Event(event) => event,
            Given::Idle { until } => {
                assert!(until > self.stream.now);
                return;
            }
            Given::Ended => {
                reader.subscription = None;
                return;
            }
            Given::Failed(error) => panic!("{error}"),
        };
        for record in &event.records {
            self.stream.note(shard, record);
        }
        assert_eq!(
            event.continuation_sequence_number.is_none(),
            !event.child_shards.is_empty()
        );
        match event.continuation_sequence_number {
            Some(number) if self.goes_on_at => reader.start = StartingPosition::at(number.as_str()),
            Some(number) => reader.start = StartingPosition::after(number.as_str()),
            None => {
                reader.is_over = true;
                assert_eq!(self.stream.engine.poll_subscription(self.stream.now, id), Given::Ended);
            }
        }
        for child in event.child_shards {
            let ended =
                |parent: &kcl_core::ShardId| self.readers.get(parent.as_str()).is_some_and(|parent| parent.is_over);
            if child.parents.iter().all(ended) && !self.readers.contains_key(child.id.as_str()) {
                self.open(child.id.as_str());
            }
        }
    }

    /// Reads until no reader has anything left.
    fn drain(&mut self) {
        loop {
            let before = (self.stream.read_count(), self.readers.len());
            let shards: Vec<_> = self.readers.keys().cloned().collect();
            for shard in shards {
                // Once to notice that a subscription has ended, and once more to subscribe again.
                for _ in 0..2 {
                    if !self.readers[&shard].is_over {
                        self.read(&shard);
                    }
                }
            }
            self.stream.pass(Duration::from_secs(5));
            if before == (self.stream.read_count(), self.readers.len()) && self.readers.values().all(Reader::stands) {
                break;
            }
        }
    }
}

impl Reader {
    /// Whether there is nothing to be done: it has read the shard to its end, or follows it.
    fn stands(&self) -> bool {
        self.is_over || self.subscription.is_some()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_record_is_given_once_and_in_order_to_who_goes_on_where_it_was_told(
        shards in 1..4,
        transition in transition(),
        goes_on_at: bool,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(Stream::new(shards, transition), goes_on_at);
        for step in &steps {
            world.take(step);
        }
        world.drain();
        world.stream.check_reading()?;
    }
}
