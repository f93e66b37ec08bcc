//! What subscriptions give.

mod ending;

use super::*;
use crate::{
    api::{
        PutRecords, PutRecordsEntry, RegisterStreamConsumer, StartingPosition, SubscribeToShard, SubscribeToShardEvent,
    },
    engine::{Limits, Step, SubscriptionId},
};

const SECOND_LONG: Duration = Duration::from_secs(1);
const TAKEOVER: Duration = Duration::from_secs(5);
const LIFETIME: Duration = Duration::from_mins(5);

/// A world with a registered consumer.
struct FanOut {
    world: World,
    consumer: String,
}

impl FanOut {
    fn with_shards(count: i32) -> Self {
        Self::with_config(EngineConfig::default(), count)
    }

    fn with_config(config: EngineConfig, count: i32) -> Self {
        let transition = config.transition;
        let mut world = World::with_config(config, count);
        world.pass(transition);
        let consumer = register(&mut world, "billing");
        Self { world, consumer }
    }

    fn try_subscribe(&mut self, shard: &str, start: StartingPosition) -> Result<SubscriptionId, ApiError> {
        self.world.call(SubscribeToShard::new(&self.consumer, shard, start))
    }

    fn subscribe(&mut self, start: StartingPosition) -> SubscriptionId {
        self.try_subscribe(FIRST, start).unwrap()
    }

    /// A subscription from a place that the last one has named, when it can be taken over.
    fn resubscribe(&mut self, start: StartingPosition) -> SubscriptionId {
        self.world.pass(TAKEOVER);
        self.subscribe(start)
    }

    fn poll(&mut self, id: SubscriptionId) -> Step {
        self.world.engine.poll_subscription(self.world.now, id)
    }

    #[track_caller]
    fn event(&mut self, id: SubscriptionId) -> SubscribeToShardEvent {
        match self.poll(id) {
            Step::Event(event) => event,
            step => panic!("no event but {step:?}"),
        }
    }

    #[track_caller]
    fn idle_for(&mut self, id: SubscriptionId) -> Duration {
        match self.poll(id) {
            Step::Idle { until } => Duration::from_millis(until.millis_since(self.world.now)),
            step => panic!("not idle but {step:?}"),
        }
    }

    #[track_caller]
    fn failure(&mut self, id: SubscriptionId) -> ApiError {
        match self.poll(id) {
            Step::Failed(error) => error,
            step => panic!("no failure but {step:?}"),
        }
    }

    fn woken(&mut self) -> Vec<SubscriptionId> {
        self.world.engine.take_woken().into_iter().collect()
    }
}

fn register(world: &mut World, name: &str) -> String {
    let stream = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
    let registered = world.call(RegisterStreamConsumer::new(stream, name)).unwrap();
    registered.consumer.consumer_arn
}

fn given(event: &SubscribeToShardEvent) -> Vec<&str> {
    event
        .records
        .iter()
        .map(|record| str::from_utf8(&record.data).unwrap())
        .collect()
}

#[track_caller]
fn continuation(event: &SubscribeToShardEvent) -> String {
    event.continuation_sequence_number.as_ref().unwrap().to_string()
}

#[test]
fn the_first_event_comes_at_once_and_records_follow_as_they_arrive() {
    let mut fan_out = FanOut::with_shards(1);
    fan_out.world.put("key", "old");
    let id = fan_out.subscribe(StartingPosition::trim_horizon());
    let event = fan_out.event(id);
    assert_eq!(given(&event), ["old"]);
    assert_eq!((event.millis_behind_latest, event.child_shards.len()), (0, 0));
    fan_out.idle_for(id);
    assert_eq!(fan_out.woken(), []);
    fan_out.world.put("key", "one");
    fan_out.world.put("key", "two");
    assert_eq!(fan_out.woken(), [id]);
    assert_eq!(given(&fan_out.event(id)), ["one", "two"]);
}

#[test]
fn a_subscription_is_woken_once_and_only_for_its_own_shard() {
    let mut fan_out = FanOut::with_shards(2);
    let first = fan_out.subscribe(StartingPosition::latest());
    let second = fan_out.try_subscribe(SECOND, StartingPosition::latest()).unwrap();
    for id in [first, second] {
        fan_out.event(id);
        fan_out.idle_for(id);
    }
    fan_out.world.put_at(MIDDLE, "one");
    fan_out.world.put_at(MIDDLE, "two");
    assert_eq!(fan_out.woken(), [second]);
    fan_out.world.put_at(MIDDLE, "three");
    assert_eq!(fan_out.woken(), []);
    assert_eq!(given(&fan_out.event(second)), ["one", "two", "three"]);
    assert_eq!(fan_out.idle_for(first), SECOND_LONG);
}

#[test]
fn without_records_there_is_an_event_every_second_and_its_continuation_moves_on() {
    let mut fan_out = FanOut::with_shards(1);
    let id = fan_out.subscribe(StartingPosition::latest());
    let mut last = continuation(&fan_out.event(id));
    for _ in 0..5 {
        assert_eq!(fan_out.idle_for(id), SECOND_LONG);
        fan_out.world.pass(SECOND_LONG);
        let event = fan_out.event(id);
        assert!(event.records.is_empty());
        let next = continuation(&event);
        assert!(next > last);
        last = next;
    }
}

#[test]
fn a_continuation_loses_and_repeats_nothing_whether_reading_goes_on_at_it_or_after_it() {
    let ways: [fn(String) -> StartingPosition; 2] = [StartingPosition::at, StartingPosition::after];
    for go_on in ways {
        let mut fan_out = FanOut::with_shards(1);
        let id = fan_out.subscribe(StartingPosition::latest());
        let nothing = continuation(&fan_out.event(id));
        fan_out.world.put("key", "one");
        let id = fan_out.resubscribe(go_on(nothing));
        let event = fan_out.event(id);
        assert_eq!(given(&event), ["one"]);
        let one = event.records[0].sequence_number.to_string();
        assert!(continuation(&event) > one);
        // Nothing came for a while: the place is the same, its number is greater.
        fan_out.world.pass(LIFETIME);
        let id = fan_out.resubscribe(go_on(continuation(&event)));
        let later = continuation(&fan_out.event(id));
        assert!(later > continuation(&event));
        let two = fan_out.world.put("key", "two").sequence_number;
        assert!(later < two.to_string());
        for number in [continuation(&event), later] {
            let id = fan_out.resubscribe(go_on(number));
            assert_eq!(given(&fan_out.event(id)), ["two"]);
        }
    }
}

#[test]
fn iterators_take_a_continuation_too() {
    let mut fan_out = FanOut::with_shards(1);
    fan_out.world.put("key", "one");
    let id = fan_out.subscribe(StartingPosition::trim_horizon());
    let number = continuation(&fan_out.event(id));
    fan_out.world.put("key", "two");
    for iterator in [
        GetShardIterator::at(STREAM, FIRST, &number),
        GetShardIterator::after(STREAM, FIRST, &number),
    ] {
        assert_eq!(data(&fan_out.world.read_from(iterator)), ["two"]);
    }
}

#[test]
fn every_position_begins_where_it_says() {
    let mut fan_out = FanOut::with_shards(1);
    fan_out.world.put("key", "one");
    fan_out.world.pass(SECOND_LONG);
    let two = fan_out.world.put("key", "two").sequence_number;
    let at = fan_out.world.now;
    fan_out.world.put("key", "three");
    for (start, expected) in [
        (StartingPosition::trim_horizon(), vec!["one", "two", "three"]),
        (StartingPosition::at(two.as_str()), vec!["two", "three"]),
        (StartingPosition::after(two.as_str()), vec!["three"]),
        (StartingPosition::at_timestamp(at), vec!["two", "three"]),
        (StartingPosition::latest(), vec![]),
    ] {
        let id = fan_out.resubscribe(start.clone());
        assert_eq!(given(&fan_out.event(id)), expected, "{start:?}");
    }
}

#[test]
fn consumers_read_the_same_records_each_at_its_own_pace() {
    let mut fan_out = FanOut::with_shards(1);
    let consumer = register(&mut fan_out.world, "audit");
    let one = fan_out.subscribe(StartingPosition::trim_horizon());
    let other = SubscribeToShard::new(consumer, FIRST, StartingPosition::trim_horizon());
    let other = fan_out.world.call(other).unwrap();
    fan_out.world.put("key", "a");
    assert_eq!(given(&fan_out.event(one)), ["a"]);
    fan_out.world.put("key", "b");
    assert_eq!(given(&fan_out.event(one)), ["b"]);
    assert_eq!(given(&fan_out.event(other)), ["a", "b"]);
}

#[test]
fn an_event_holds_a_mebibyte_unless_one_record_has_more() {
    let mut fan_out = FanOut::with_shards(1);
    let large = "x".repeat(1 << 20);
    for len in [600 << 10, 400 << 10, 100 << 10, (1 << 20) - 3] {
        fan_out.world.put_at(HashKey::MIN, large[..len].to_owned());
    }
    let id = fan_out.subscribe(StartingPosition::trim_horizon());
    let counts: Vec<_> = (0..3).map(|_| fan_out.event(id).records.len()).collect();
    assert_eq!(counts, [2, 1, 1]);
    fan_out.world.pass(Duration::from_secs(7));
    for _ in 0..2 {
        fan_out.world.put_at(HashKey::MIN, large[..(1 << 20) - 3].to_owned());
        fan_out.world.pass(Duration::from_millis(250));
    }
    let event = fan_out.event(id);
    assert_eq!((event.records.len(), event.millis_behind_latest), (1, 250));
}

#[test]
fn an_event_holds_ten_thousand_records() {
    let mut fan_out = FanOut::with_shards(1);
    for _ in 0..21 {
        let records = (0..500).map(|_| PutRecordsEntry::new("key", "x"));
        fan_out.world.call(PutRecords::new(STREAM, records)).unwrap();
    }
    let id = fan_out.subscribe(StartingPosition::trim_horizon());
    assert_eq!(fan_out.event(id).records.len(), 10_000);
    assert_eq!(fan_out.event(id).records.len(), 500);
}

#[test]
fn two_mebibytes_a_second_are_given_to_each_consumer_when_limits_are_kept() {
    let config = EngineConfig {
        limits: Limits::Aws,
        ..EngineConfig::default()
    };
    let mut fan_out = FanOut::with_config(config, 1);
    for _ in 0..5 {
        fan_out.world.put_at(HashKey::MIN, "x".repeat(1_000_000));
        fan_out.world.pass(SECOND_LONG);
    }
    let id = fan_out.subscribe(StartingPosition::trim_horizon());
    assert_eq!(fan_out.event(id).records.len(), 1);
    assert_eq!(fan_out.event(id).records.len(), 1);
    let wait = fan_out.idle_for(id);
    assert!(
        wait > Duration::from_millis(400) && wait < Duration::from_millis(500),
        "{wait:?}"
    );
    // Another consumer has its own two mebibytes.
    let consumer = register(&mut fan_out.world, "audit");
    let other = SubscribeToShard::new(consumer, FIRST, StartingPosition::trim_horizon());
    let other = fan_out.world.call(other).unwrap();
    assert_eq!(fan_out.event(other).records.len(), 1);
    fan_out.world.pass(wait);
    let event = fan_out.event(id);
    assert_eq!(event.records.len(), 1);
    assert!(event.millis_behind_latest > 0);
    assert!(fan_out.idle_for(id) > Duration::from_millis(400));
}

#[test]
fn requests_that_cannot_be_met_are_refused_before_anything_is_given() {
    let mut fan_out = FanOut::with_shards(2);
    let of_second = fan_out.world.put_at(MIDDLE, "data").sequence_number;
    let message = "3 validation errors detected: Value null at 'consumerARN' failed to satisfy constraint: Member must \
                   not be null; Value null at 'shardId' failed to satisfy constraint: Member must not be null; Value \
                   null at 'startingPosition' failed to satisfy constraint: Member must not be null";
    let empty = fan_out.world.call(SubscribeToShard::default());
    assert_refused(empty, ErrorKind::Validation, message);
    let message = "1 validation error detected: Value 'NEWEST' at 'startingPosition.type' failed to satisfy \
                   constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, \
                   AT_SEQUENCE_NUMBER, TRIM_HORIZON]";
    let mut start = StartingPosition::latest();
    start.kind = Some("NEWEST".to_owned());
    assert_refused(fan_out.try_subscribe(FIRST, start), ErrorKind::Validation, message);
    let later = fan_out.world.now.saturating_add(SECOND_LONG);
    let mut both = StartingPosition::latest();
    both.sequence_number = Some(of_second.to_string());
    for start in [
        StartingPosition::at(of_second.as_str()),
        StartingPosition::after("12"),
        StartingPosition::at_timestamp(later),
        both,
    ] {
        assert_kind(fan_out.try_subscribe(FIRST, start), ErrorKind::InvalidArgument);
    }
    assert_refused(
        fan_out.try_subscribe(THIRD, StartingPosition::latest()),
        ErrorKind::ResourceNotFound,
        "Shard shardId-000000000002 in stream rides under account 000000000000 does not exist",
    );
    let unknown = fan_out.consumer.replace("billing", "audit");
    let unknown = SubscribeToShard::new(unknown, FIRST, StartingPosition::latest());
    assert_kind(fan_out.world.call(unknown), ErrorKind::ResourceNotFound);
    let mut dry = SubscribeToShard::new(&fan_out.consumer, FIRST, StartingPosition::latest());
    dry.dry_run = Some(true);
    assert_kind(fan_out.world.call(dry.clone()), ErrorKind::DryRunOperation);
    dry.shard_id = Some(THIRD.to_owned());
    assert_kind(fan_out.world.call(dry), ErrorKind::ResourceNotFound);
    // None of these counts as a success: the place is free.
    fan_out.subscribe(StartingPosition::latest());
}
