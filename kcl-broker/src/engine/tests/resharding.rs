use super::*;
use crate::api::MergeShards;

#[track_caller]
fn assert_at_end(read: &GetRecordsOutput, children: &[&str]) {
    assert_eq!(read.next_shard_iterator, None);
    let named: Vec<_> = read.child_shards.iter().map(|child| child.id.as_str()).collect();
    assert_eq!(named, children);
    assert_eq!(read.millis_behind_latest, 0);
}

#[track_caller]
fn assert_goes_on(read: &GetRecordsOutput) -> String {
    assert!(read.child_shards.is_empty());
    read.next_shard_iterator.clone().unwrap()
}

#[test]
fn a_split_closes_the_parent_and_shares_its_range_among_two_children() {
    let mut world = World::with_shards(1);
    world.put("key", "before");
    world.split(FIRST, HashKey(1000));
    let shards = world.shards();
    assert_eq!(ids(&shards), [FIRST, SECOND, THIRD]);
    assert!(!shards[0].is_open());
    let [_, lower, upper] = &shards[..] else {
        panic!("three shards")
    };
    assert_eq!(
        (lower.hash_key_range.start, lower.hash_key_range.end),
        (HashKey::MIN, HashKey(999))
    );
    assert_eq!(
        (upper.hash_key_range.start, upper.hash_key_range.end),
        (HashKey(1000), HashKey::MAX)
    );
    for child in [lower, upper] {
        assert_eq!(child.parent.as_ref().unwrap().as_str(), FIRST);
        assert_eq!(child.adjacent_parent, None);
        assert!(shards[0].ending_sequence_number < child.starting_sequence_number);
    }
    assert_eq!(world.put_at(HashKey(999), "").shard_id.as_str(), SECOND);
    assert_eq!(world.put_at(HashKey(1000), "").shard_id.as_str(), THIRD);
}

#[test]
fn a_merge_closes_both_parents_and_opens_their_union_in_either_order() {
    for (one, other) in [(FIRST, SECOND), (SECOND, FIRST)] {
        let mut world = World::with_shards(2);
        world.call(MergeShards::new(STREAM, one, other)).unwrap();
        let shards = world.shards();
        let child = &shards[2];
        assert_eq!(child.hash_key_range, kcl_core::HashKeyRange::FULL);
        assert_eq!(child.parent.as_ref().unwrap().as_str(), one);
        assert_eq!(child.adjacent_parent.as_ref().unwrap().as_str(), other);
        assert!(
            shards[..2]
                .iter()
                .all(|parent| parent.ending_sequence_number < child.starting_sequence_number)
        );
        for parent in [FIRST, SECOND] {
            let read = world.read_from(GetShardIterator::trim_horizon(STREAM, parent));
            assert_at_end(&read, &[THIRD]);
            let parents: Vec<_> = read.child_shards[0].parents.iter().map(|id| id.as_str()).collect();
            assert_eq!(parents, [one, other]);
        }
    }
}

#[test]
fn the_children_are_named_with_the_last_record_and_not_before() {
    let mut world = World::with_shards(1);
    for text in ["0", "1"] {
        world.put("key", text);
    }
    let iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
    assert_goes_on(&world.read(&iterator));
    world.split(FIRST, MIDDLE);
    let one_by_one = |iterator: String| GetRecords {
        limit: Some(1),
        ..GetRecords::new(iterator)
    };
    let first = world.call(one_by_one(iterator)).unwrap();
    assert_eq!(data(&first), ["0"]);
    let iterator = assert_goes_on(&first);
    let last = world.call(one_by_one(iterator)).unwrap();
    assert_eq!(data(&last), ["1"]);
    assert_at_end(&last, &[SECOND, THIRD]);
    for child in &last.child_shards {
        assert_eq!(child.parents.iter().map(|id| id.as_str()).collect::<Vec<_>>(), [FIRST]);
        assert!(child.hash_key_range.is_some());
    }
}

#[test]
fn a_reader_that_waits_at_the_tip_is_told_of_the_end() {
    let mut world = World::with_shards(1);
    world.put("key", "0");
    let read = world.read_from(GetShardIterator::trim_horizon(STREAM, FIRST));
    let iterator = assert_goes_on(&read);
    world.split(FIRST, MIDDLE);
    let end = world.read(&iterator);
    assert!(end.records.is_empty());
    assert_at_end(&end, &[SECOND, THIRD]);
}

#[test]
fn every_way_into_an_empty_closed_shard_finds_its_end() {
    let mut world = World::with_shards(1);
    world.split(FIRST, MIDDLE);
    let parent = world.shards().remove(0);
    let ending = parent.ending_sequence_number.unwrap();
    let starting = parent.starting_sequence_number.unwrap();
    let now = world.now;
    for iterator in [
        GetShardIterator::trim_horizon(STREAM, FIRST),
        GetShardIterator::latest(STREAM, FIRST),
        GetShardIterator::at(STREAM, FIRST, ending.as_str()),
        GetShardIterator::after(STREAM, FIRST, ending.as_str()),
        GetShardIterator::after(STREAM, FIRST, starting.as_str()),
        GetShardIterator::at_timestamp(STREAM, FIRST, now),
    ] {
        assert_at_end(&world.read_from(iterator), &[SECOND, THIRD]);
    }
}

#[test]
fn generations_made_within_one_millisecond_keep_their_numbers_in_order() {
    let mut world = World::with_shards(1);
    let mut lowest = FIRST.to_owned();
    let mut last = world.put_at(HashKey::MIN, "").sequence_number;
    let mut at = MIDDLE;
    for _ in 0..40 {
        world.split(&lowest, at);
        at = HashKey(at.0 / 2);
        let written = world.put_at(HashKey::MIN, "");
        assert!(last < written.sequence_number);
        (lowest, last) = (written.shard_id.to_string(), written.sequence_number);
    }
}

#[test]
fn a_split_must_leave_hash_keys_for_both_children() {
    let mut world = World::with_shards(2);
    let upper_start = MIDDLE.0;
    for (shard, at) in [
        (FIRST, HashKey(0)),
        (FIRST, HashKey(1)),
        (FIRST, HashKey(upper_start - 1)),
        (FIRST, HashKey::MAX),
        (SECOND, HashKey(0)),
        (SECOND, HashKey(upper_start + 1)),
        (SECOND, HashKey::MAX),
    ] {
        assert_kind(
            world.call(SplitShard::new(STREAM, shard, at)),
            ErrorKind::InvalidArgument,
        );
    }
    world.split(FIRST, HashKey(2));
    world.split(SECOND, HashKey(u128::MAX - 1));
    assert_eq!(world.shards().len(), 6);
}

#[test]
fn what_cannot_be_resharded_is_refused() {
    let mut world = World::with_shards(3);
    assert_refused(
        world.call(MergeShards::new(STREAM, FIRST, THIRD)),
        ErrorKind::InvalidArgument,
        "Shards shardId-000000000000 and shardId-000000000002 in stream rides under account 000000000000 are not an \
         adjacent pair of shards eligible for merging",
    );
    assert_kind(
        world.call(MergeShards::new(STREAM, FIRST, FIRST)),
        ErrorKind::InvalidArgument,
    );
    assert_kind(
        world.call(MergeShards::new(STREAM, FIRST, "shardId-9")),
        ErrorKind::ResourceNotFound,
    );
    world.call(MergeShards::new(STREAM, FIRST, SECOND)).unwrap();
    assert_kind(
        world.call(SplitShard::new(STREAM, FIRST, HashKey(10))),
        ErrorKind::InvalidArgument,
    );
    assert_kind(
        world.call(MergeShards::new(STREAM, SECOND, THIRD)),
        ErrorKind::InvalidArgument,
    );
    assert_eq!(world.shards().len(), 4);
}

#[test]
fn given_many_closed_shards_when_more_would_be_made_then_it_is_refused_until_their_retention_ends() {
    let config = EngineConfig {
        shards_max: 8,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 1);
    world.split(FIRST, HashKey(1000));
    world.call(MergeShards::new(STREAM, SECOND, THIRD)).unwrap();
    world.split("shardId-000000000003", HashKey(1000));
    // Six shards, of which two are open.
    assert_kind(world.scale(4), ErrorKind::LimitExceeded);
    world.split("shardId-000000000004", HashKey(500));
    let merge = || MergeShards::new(STREAM, "shardId-000000000006", "shardId-000000000007");
    assert_kind(world.call(merge()), ErrorKind::LimitExceeded);
    assert_kind(
        world.call(SplitShard::new(STREAM, "shardId-000000000005", HashKey(5000))),
        ErrorKind::LimitExceeded,
    );
    assert_eq!(world.shards().len(), 8);

    world.pass(Duration::from_hours(24) + Duration::from_millis(1));
    world.call(merge()).unwrap();
}
