//! How subscriptions end, and what follows them.

use super::*;
use crate::api::{DeleteStream, DeregisterStreamConsumer, MergeShards};

#[test]
fn a_subscription_ends_after_five_minutes_even_if_there_is_more_to_read() {
    let mut fan_out = FanOut::with_shards(1);
    let id = fan_out.subscribe(StartingPosition::latest());
    fan_out.event(id);
    fan_out.world.pass(LIFETIME - Duration::from_millis(300));
    let number = continuation(&fan_out.event(id));
    assert_eq!(fan_out.idle_for(id), Duration::from_millis(300));
    fan_out.world.pass(Duration::from_millis(300));
    fan_out.world.put("key", "late");
    assert_eq!(fan_out.poll(id), Step::Ended);
    assert_eq!(fan_out.poll(id), Step::Ended);
    let id = fan_out.subscribe(StartingPosition::after(number));
    assert_eq!(given(&fan_out.event(id)), ["late"]);
}

#[test]
fn a_second_subscription_is_refused_for_five_seconds_and_then_takes_over() {
    let mut fan_out = FanOut::with_shards(2);
    let message =
        "Another active subscription exists for this consumer: 000000000000:rides:shardId-000000000000:billing";
    let old = fan_out.subscribe(StartingPosition::latest());
    fan_out.event(old);
    fan_out.idle_for(old);
    fan_out.world.pass(TAKEOVER - Duration::from_millis(1));
    let refused = fan_out.try_subscribe(FIRST, StartingPosition::latest());
    assert_refused(refused, ErrorKind::ResourceInUse, message);
    // Neither another shard nor another consumer is in the way.
    fan_out.try_subscribe(SECOND, StartingPosition::latest()).unwrap();
    let consumer = register(&mut fan_out.world, "audit");
    let other = SubscribeToShard::new(consumer, FIRST, StartingPosition::latest());
    fan_out.world.call(other).unwrap();
    assert_eq!(fan_out.woken(), []);

    fan_out.world.pass(Duration::from_millis(1));
    let new = fan_out.subscribe(StartingPosition::latest());
    assert_eq!(fan_out.woken(), [old]);
    assert_refused(Err::<(), _>(fan_out.failure(old)), ErrorKind::ResourceInUse, message);
    assert_eq!(fan_out.poll(old), Step::Ended);
    fan_out.event(new);
    assert_eq!(fan_out.idle_for(new), SECOND_LONG);
}

#[test]
fn a_subscription_that_is_gone_can_be_followed_by_another_only_after_five_seconds_too() {
    let mut fan_out = FanOut::with_shards(1);
    let id = fan_out.subscribe(StartingPosition::latest());
    fan_out.world.engine.cancel_subscription(id);
    assert_eq!(fan_out.poll(id), Step::Ended);
    assert_kind(
        fan_out.try_subscribe(FIRST, StartingPosition::latest()),
        ErrorKind::ResourceInUse,
    );
    fan_out.resubscribe(StartingPosition::latest());
}

#[test]
fn the_last_event_of_a_shard_names_its_children_and_no_continuation() {
    let mut fan_out = FanOut::with_shards(1);
    let id = fan_out.subscribe(StartingPosition::latest());
    fan_out.event(id);
    fan_out.idle_for(id);
    fan_out.world.put("key", "last");
    fan_out.event(id);
    fan_out.idle_for(id);
    fan_out.woken();
    fan_out.world.split(FIRST, MIDDLE);
    assert_eq!(fan_out.woken(), [id]);
    let event = fan_out.event(id);
    assert_eq!(event.continuation_sequence_number, None);
    assert_eq!((event.records.len(), event.millis_behind_latest), (0, 0));
    let children: Vec<_> = event.child_shards.iter().map(|child| child.id.as_str()).collect();
    assert_eq!(children, [SECOND, THIRD]);
    for child in &event.child_shards {
        assert_eq!(child.parents.iter().map(|id| id.as_str()).collect::<Vec<_>>(), [FIRST]);
        assert!(child.hash_key_range.is_some());
    }
    assert_eq!(fan_out.poll(id), Step::Ended);
}

#[test]
fn the_last_records_of_a_shard_come_with_its_end() {
    let mut fan_out = FanOut::with_shards(2);
    fan_out.world.put_at(HashKey::MIN, "last");
    fan_out.world.call(MergeShards::new(STREAM, FIRST, SECOND)).unwrap();
    let id = fan_out.subscribe(StartingPosition::trim_horizon());
    let event = fan_out.event(id);
    assert_eq!(given(&event), ["last"]);
    assert_eq!(event.continuation_sequence_number, None);
    assert_eq!(event.child_shards[0].parents.len(), 2);
    assert_eq!(fan_out.poll(id), Step::Ended);
}

#[test]
fn every_way_into_a_shard_that_was_read_to_its_end_finds_the_end() {
    let mut fan_out = FanOut::with_shards(1);
    fan_out.world.put("key", "last");
    let id = fan_out.subscribe(StartingPosition::trim_horizon());
    let number = continuation(&fan_out.event(id));
    fan_out.world.split(FIRST, MIDDLE);
    let ending = fan_out.world.shards()[0].ending_sequence_number.clone().unwrap();
    for start in [
        StartingPosition::latest(),
        StartingPosition::at(&number),
        StartingPosition::after(&number),
        StartingPosition::at(ending.as_str()),
        StartingPosition::after(ending.as_str()),
        StartingPosition::at_timestamp(fan_out.world.now.saturating_add(SECOND_LONG)),
    ] {
        let id = fan_out.resubscribe(start.clone());
        let event = fan_out.event(id);
        assert_eq!((given(&event).len(), event.child_shards.len()), (0, 2), "{start:?}");
        assert_eq!(event.continuation_sequence_number, None);
    }
}

#[test]
fn deleting_the_stream_fails_its_subscriptions() {
    let mut fan_out = FanOut::with_shards(1);
    let id = fan_out.subscribe(StartingPosition::latest());
    fan_out.event(id);
    fan_out.idle_for(id);
    let mut delete = DeleteStream::new(STREAM);
    delete.enforce_consumer_deletion = Some(true);
    fan_out.world.call(delete).unwrap();
    assert_eq!(fan_out.woken(), [id]);
    // A stream of the same name is not the same stream.
    fan_out.world.call(CreateStream::new(STREAM, 1)).unwrap();
    register(&mut fan_out.world, "billing");
    fan_out.subscribe(StartingPosition::latest());
    let message = "Stream rides under account 000000000000 not found.";
    assert_refused(Err::<(), _>(fan_out.failure(id)), ErrorKind::ResourceNotFound, message);
    assert_eq!(fan_out.poll(id), Step::Ended);
}

#[test]
fn deregistering_the_consumer_fails_its_subscriptions() {
    let mut fan_out = FanOut::with_shards(1);
    let id = fan_out.subscribe(StartingPosition::latest());
    fan_out.event(id);
    fan_out.idle_for(id);
    let deregister = DeregisterStreamConsumer::by_arn(&fan_out.consumer);
    fan_out.world.call(deregister).unwrap();
    assert_eq!(fan_out.woken(), [id]);
    assert_eq!(fan_out.failure(id).kind(), ErrorKind::ResourceNotFound);
}

#[test]
fn a_consumer_subscribes_when_it_is_active_and_reads_until_it_is_gone() {
    let transition = Duration::from_millis(700);
    let mut fan_out = FanOut::with_config(slow(transition), 1);
    let message = "Consumer billing with creation timestamp 1357034400 under stream: rides, account 000000000000 is not \
                   in ACTIVE status.";
    let early = fan_out.try_subscribe(FIRST, StartingPosition::latest());
    assert_refused(early, ErrorKind::ResourceInUse, message);
    fan_out.world.pass(transition);
    let id = fan_out.subscribe(StartingPosition::latest());
    fan_out.event(id);
    let deregister = DeregisterStreamConsumer::by_arn(&fan_out.consumer);
    fan_out.world.call(deregister).unwrap();
    fan_out.world.put("key", "last");
    assert_eq!(given(&fan_out.event(id)), ["last"]);
    fan_out.world.pass(transition);
    assert_eq!(fan_out.failure(id).kind(), ErrorKind::ResourceNotFound);
}

#[test]
fn a_change_that_takes_time_is_seen_at_the_time_it_is_due() {
    let transition = Duration::from_millis(700);
    let mut fan_out = FanOut::with_config(slow(transition), 1);
    fan_out.world.pass(transition);
    let id = fan_out.subscribe(StartingPosition::latest());
    fan_out.event(id);
    fan_out.world.split(FIRST, MIDDLE);
    assert_eq!(fan_out.idle_for(id), transition);
    fan_out.world.pass(transition);
    assert_eq!(fan_out.event(id).child_shards.len(), 2);
}

#[test]
fn records_that_expire_under_a_slow_reader_are_passed_over() {
    let retention = Duration::from_mins(1);
    let config = EngineConfig {
        retention,
        ..EngineConfig::default()
    };
    let mut fan_out = FanOut::with_config(config, 1);
    let id = fan_out.subscribe(StartingPosition::trim_horizon());
    fan_out.event(id);
    fan_out.world.put("key", "old");
    fan_out.world.pass(Duration::from_secs(1));
    fan_out.world.put("key", "young");
    fan_out.world.pass(retention);
    assert_eq!(given(&fan_out.event(id)), ["young"]);
    // Then even the shard itself expires; its reader still learns where to go on.
    fan_out.world.put("key", "lost");
    fan_out.world.split(FIRST, MIDDLE);
    fan_out.world.pass(retention + Duration::from_secs(1));
    let event = fan_out.event(id);
    assert_eq!((event.records.len(), event.child_shards.len()), (0, 2));
    assert_eq!(event.continuation_sequence_number, None);
}

/// Changes take so long.
fn slow(transition: Duration) -> EngineConfig {
    EngineConfig {
        transition,
        ..EngineConfig::default()
    }
}
