//! Changes that take time.

use super::*;
use crate::{
    api::{
        DeleteStream, DescribeStream, DescribeStreamOutput, DescribeStreamSummary, ListStreams, MergeShards,
        PutRecords, PutRecordsEntry, RegisterStreamConsumer, StartingPosition, StreamModeDetails, StreamStatus,
        SubscribeToShard, UpdateStreamMode,
    },
    engine::{Limits, Step},
};

const TRANSITION: Duration = Duration::from_millis(500);
const INSTANT: Duration = Duration::from_millis(1);
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/rides";
const NOT_FOUND: &str = "Stream rides under account 000000000000 not found.";

/// A stream that was asked for just now.
fn slow(shards: i32) -> World {
    let config = EngineConfig {
        transition: TRANSITION,
        ..EngineConfig::default()
    };
    World::with_config(config, shards)
}

/// A stream that can be used.
fn active(shards: i32) -> World {
    let mut world = slow(shards);
    world.pass(TRANSITION);
    world
}

impl World {
    fn describe(&mut self) -> DescribeStreamOutput {
        self.call(DescribeStream::new(STREAM)).unwrap()
    }

    fn state(&mut self) -> StreamStatus {
        self.describe().stream.stream_status
    }
}

fn in_state(state: &str) -> String {
    format!("Stream rides under account 000000000000 not ACTIVE, instead in state {state}")
}

#[test]
fn a_stream_that_is_being_made_has_no_shards_and_takes_nothing() {
    let mut world = slow(2);
    world.pass(TRANSITION - INSTANT);
    let described = world.describe();
    assert_eq!(described.stream.stream_status, StreamStatus::Creating);
    assert_eq!((described.shards.len(), described.has_more_shards), (0, false));
    let summary = world.call(DescribeStreamSummary::new(STREAM)).unwrap();
    assert_eq!(summary.open_shard_count, 0);

    let put = world.call(PutRecord::new(STREAM, "key", "data"));
    assert_refused(put, ErrorKind::ResourceNotFound, NOT_FOUND);
    let put = world.call(PutRecords::new(STREAM, [PutRecordsEntry::new("key", "data")]));
    assert_refused(put, ErrorKind::ResourceNotFound, NOT_FOUND);
    assert_refused(
        world.call(GetShardIterator::trim_horizon(STREAM, "shardId-0")),
        ErrorKind::ResourceNotFound,
        "Shard shardId-000000000000 in stream rides under account 000000000000 does not exist",
    );
    assert_refused(
        world.call(SplitShard::new(STREAM, FIRST, HashKey(5))),
        ErrorKind::ResourceInUse,
        &in_state("CREATING"),
    );
    assert_refused(
        world.call(MergeShards::new(STREAM, FIRST, SECOND)),
        ErrorKind::ResourceInUse,
        &in_state("CREATING"),
    );
    assert_refused(
        world.call(ListShards::new(STREAM)),
        ErrorKind::ResourceInUse,
        &in_state("CREATING"),
    );
    assert_kind(world.call(CreateStream::new(STREAM, 1)), ErrorKind::ResourceInUse);

    world.pass(INSTANT);
    let described = world.describe();
    assert_eq!(described.stream.stream_status, StreamStatus::Active);
    assert_eq!(ids(&described.shards), [FIRST, SECOND]);
    assert_eq!(described.stream.stream_creation_timestamp, START);
    world.put("key", "data");
}

#[test]
fn a_stream_that_is_being_removed_is_there_until_it_is_gone() {
    let mut world = active(1);
    world.put("key", "data");
    world.call(DeleteStream::new(STREAM)).unwrap();
    assert_eq!(world.state(), StreamStatus::Deleting);
    let listed = world.call(ListStreams::default()).unwrap();
    assert_eq!(listed.stream_summaries[0].stream_status, StreamStatus::Deleting);
    assert_refused(
        world.call(SplitShard::new(STREAM, FIRST, MIDDLE)),
        ErrorKind::ResourceInUse,
        &in_state("DELETING"),
    );
    assert_kind(world.call(CreateStream::new(STREAM, 1)), ErrorKind::ResourceInUse);

    // To ask again does not put it off.
    world.pass(TRANSITION - INSTANT);
    world.call(DeleteStream::new(STREAM)).unwrap();
    assert_eq!(world.state(), StreamStatus::Deleting);
    world.pass(INSTANT);
    assert_refused(
        world.call(DescribeStream::new(STREAM)),
        ErrorKind::ResourceNotFound,
        NOT_FOUND,
    );
    assert_eq!(world.engine.stored_bytes(), 0);
    world.call(CreateStream::new(STREAM, 1)).unwrap();
}

#[test]
fn a_stream_can_be_removed_while_it_is_being_made() {
    let mut world = slow(1);
    world.pass(TRANSITION - INSTANT);
    world.call(DeleteStream::new(STREAM)).unwrap();
    world.pass(INSTANT);
    assert_eq!(world.state(), StreamStatus::Deleting);
    world.pass(TRANSITION - INSTANT);
    assert_kind(world.call(DescribeStream::new(STREAM)), ErrorKind::ResourceNotFound);
}

#[test]
fn a_split_takes_effect_when_the_update_is_over() {
    let mut world = active(1);
    world.put("key", "before");
    world.split(FIRST, MIDDLE);
    world.pass(TRANSITION - INSTANT);
    assert_eq!(world.state(), StreamStatus::Updating);
    assert_eq!(ids(&world.shards()), [FIRST]);
    assert_eq!(world.put("key", "meanwhile").shard_id.as_str(), FIRST);
    assert_refused(
        world.call(SplitShard::new(STREAM, FIRST, HashKey(5))),
        ErrorKind::ResourceInUse,
        &in_state("UPDATING"),
    );
    let read = world.read_from(GetShardIterator::trim_horizon(STREAM, FIRST));
    assert_eq!((data(&read), read.child_shards.len()), (vec!["before", "meanwhile"], 0));

    // Nobody calls at the time itself; the change counts from then all the same.
    let due = world.now.saturating_add(INSTANT);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.state(), StreamStatus::Active);
    assert_eq!(ids(&world.shards()), [FIRST, SECOND, THIRD]);
    assert_ne!(world.put("key", "after").shard_id.as_str(), FIRST);
    let end = world.read(&read.next_shard_iterator.unwrap());
    assert_eq!((data(&end), end.child_shards.len()), (Vec::<&str>::new(), 2));
    let mut open_at = |at| {
        let filter = kcl_core::ShardFilter::AtTimestamp(at);
        let shards = world.call(ListShards::filtered(STREAM, filter)).unwrap().shards;
        shards.len()
    };
    assert_eq!((open_at(due), open_at(due.saturating_add(INSTANT))), (1, 2));
}

#[test]
fn removing_a_stream_drops_the_update_that_it_is_in() {
    let mut world = active(1);
    world.split(FIRST, MIDDLE);
    world.call(DeleteStream::new(STREAM)).unwrap();
    assert_eq!(world.state(), StreamStatus::Deleting);
    world.pass(TRANSITION);
    assert_kind(world.call(DescribeStream::new(STREAM)), ErrorKind::ResourceNotFound);
}

#[test]
fn changes_of_several_streams_take_effect_each_at_its_time() {
    let mut world = active(1);
    world.call(CreateStream::new("first", 1)).unwrap();
    world.pass(INSTANT);
    world.call(CreateStream::new("second", 1)).unwrap();
    world.pass(INSTANT);
    world.split(FIRST, MIDDLE);
    world.pass(TRANSITION - INSTANT - INSTANT);
    let mut statuses = || {
        let listed = world.call(ListStreams::default()).unwrap().stream_summaries;
        let statuses = listed
            .into_iter()
            .map(|stream| stream.stream_status)
            .collect::<Vec<_>>();
        world.now = world.now.saturating_add(INSTANT);
        statuses
    };
    use StreamStatus::{Active, Creating, Updating};
    assert_eq!(statuses(), [Active, Updating, Creating]);
    assert_eq!(statuses(), [Active, Updating, Active]);
    assert_eq!(statuses(), [Active, Active, Active]);
}

#[test]
fn shards_that_are_on_their_way_count_against_the_limit() {
    let config = EngineConfig {
        transition: TRANSITION,
        open_shards_max: 2,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 1);
    world.pass(TRANSITION);
    world.split(FIRST, MIDDLE);
    assert_kind(world.call(CreateStream::new("other", 1)), ErrorKind::LimitExceeded);
}

#[test]
fn a_subscriber_sleeps_no_longer_than_until_its_shard_ends() {
    let mut world = active(1);
    let registered = world.call(RegisterStreamConsumer::new(ARN, "billing")).unwrap();
    world.pass(TRANSITION);
    let from_latest = StartingPosition::latest();
    let subscribe = SubscribeToShard::new(registered.consumer.consumer_arn, FIRST, from_latest);
    let id = world.call(subscribe).unwrap();
    assert!(matches!(world.engine.poll_subscription(world.now, id), Step::Event(_)));
    world.split(FIRST, MIDDLE);
    let until = world.now.saturating_add(TRANSITION);
    assert_eq!(world.engine.poll_subscription(world.now, id), Step::Idle { until });
    match world.engine.poll_subscription(until, id) {
        Step::Event(event) => assert_eq!(event.child_shards.len(), 2),
        step => panic!("{step:?}"),
    }
}

#[test]
fn shards_of_an_on_demand_stream_are_not_the_owners_to_split() {
    let mut world = World::with_shards(1);
    let mode = StreamModeDetails {
        stream_mode: Some("ON_DEMAND".to_owned()),
    };
    let create = CreateStream {
        stream_name: Some("elastic".to_owned()),
        stream_mode_details: Some(mode),
        ..CreateStream::default()
    };
    world.call(create).unwrap();
    assert_kind(
        world.call(SplitShard::new("elastic", FIRST, HashKey(5))),
        ErrorKind::Validation,
    );
    assert_kind(
        world.call(MergeShards::new("elastic", FIRST, SECOND)),
        ErrorKind::Validation,
    );
}

#[test]
fn five_streams_are_made_at_once_if_limits_hold() {
    let config = |limits| EngineConfig {
        transition: TRANSITION,
        limits,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config(Limits::Aws), 1);
    let create = |n: i32| CreateStream::new(format!("stream-{n}"), 1);
    (1..5).for_each(|n| world.call(create(n)).unwrap());
    world.pass(TRANSITION - INSTANT);
    assert_kind(world.call(create(5)), ErrorKind::LimitExceeded);
    world.pass(INSTANT);
    world.call(create(5)).unwrap();

    let mut world = World::with_config(config(Limits::Off), 1);
    (1..30).for_each(|n| world.call(create(n)).unwrap());
}

#[test]
fn an_account_has_fifty_on_demand_streams_if_limits_hold() {
    let config = EngineConfig {
        limits: Limits::Aws,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 1);
    let create = |n: i32| CreateStream {
        stream_name: Some(format!("stream-{n}")),
        stream_mode_details: Some(StreamModeDetails {
            stream_mode: Some("ON_DEMAND".to_owned()),
        }),
        ..CreateStream::default()
    };
    for n in 0..50 {
        world.pass(Duration::from_secs(1));
        world.call(create(n)).unwrap();
    }
    world.pass(Duration::from_secs(1));
    assert_kind(world.call(create(50)), ErrorKind::LimitExceeded);
    world.call(CreateStream::new("counted", 1)).unwrap();
    assert_kind(
        world.call(UpdateStreamMode::new(ARN, "ON_DEMAND")),
        ErrorKind::LimitExceeded,
    );
}
