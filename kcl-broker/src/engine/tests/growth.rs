//! On-demand streams that split their busy shards.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::{
    api::{
        DescribeStreamSummary, PutRecords, PutRecordsEntry, PutRecordsResult, StreamModeDetails, StreamStatus,
        UpdateMaxRecordSize, UpdateStreamMode,
    },
    engine::Limits,
};

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/rides";
const MIB: usize = 1 << 20;
const MINUTE: Duration = Duration::from_mins(1);

/// Data that costs no memory.
static ZEROS: [u8; 4 * MIB] = [0; 4 * MIB];

fn on_demand(config: EngineConfig) -> World {
    let mut world = World {
        engine: Engine::new(config),
        // The beginning of a minute.
        now: Timestamp::from_epoch_millis(1_357_034_400_000),
    };
    let create = CreateStream {
        stream_mode_details: Some(StreamModeDetails {
            stream_mode: Some("ON_DEMAND".to_owned()),
        }),
        stream_name: Some(STREAM.to_owned()),
        max_record_size_in_kib: Some(10_240),
        ..CreateStream::default()
    };
    world.call(create).unwrap();
    world
}

/// A broker with room for a day of traffic.
fn roomy() -> EngineConfig {
    EngineConfig {
        stored_bytes_max: u64::MAX,
        ..EngineConfig::default()
    }
}

/// Keys that lie evenly, however many there are.
fn spread(n: usize) -> HashKey {
    HashKey((n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn entry(at: HashKey, bytes: usize) -> PutRecordsEntry {
    PutRecordsEntry {
        explicit_hash_key: Some(at.to_string()),
        ..PutRecordsEntry::new("k", Bytes::from_static(&ZEROS[..bytes - 1]))
    }
}

impl World {
    /// Writes so many mebibytes, in the keys that come.
    fn write(&mut self, mebibytes: usize, keys: impl IntoIterator<Item = HashKey>) {
        for key in keys.into_iter().take(mebibytes) {
            self.call(PutRecords::new(STREAM, [entry(key, MIB)])).unwrap();
        }
    }

    fn open_shards(&mut self) -> Vec<Shard> {
        let mut shards = self.shards();
        shards.retain(|shard| shard.ending_sequence_number.is_none());
        shards.sort_by_key(|shard| shard.hash_key_range);
        shards
    }

    fn status(&mut self) -> StreamStatus {
        let described = self.call(DescribeStreamSummary::new(STREAM)).unwrap();
        described.stream.stream_status
    }

    /// The shards that are listed after time has passed.
    fn ids_after(&mut self, time: Duration) -> Vec<String> {
        self.pass(time);
        ids(&self.shards()).into_iter().map(str::to_owned).collect()
    }
}

/// Keys of the first shard, in turns from its lower and its upper half.
fn of_first_shard() -> impl Iterator<Item = HashKey> {
    [HashKey(5), HashKey(MIDDLE.0 / 2 - 5)].into_iter().cycle()
}

#[test]
fn a_stream_begins_with_four_shards_and_keeps_them_while_they_are_half_idle() {
    let mut world = on_demand(roomy());
    assert_eq!(world.shards().len(), 4);
    for _ in 0..10 {
        world.write(30, of_first_shard());
        assert_eq!(world.ids_after(MINUTE).len(), 4);
    }
}

#[test]
fn a_busy_shard_is_split_in_the_middle_when_its_minute_is_over() {
    let mut world = on_demand(roomy());
    let before = world.shards()[0].clone();
    world.write(31, of_first_shard());
    assert_eq!(world.ids_after(MINUTE - Duration::from_millis(1)).len(), 4);
    assert_eq!(world.ids_after(Duration::from_millis(1)).len(), 6);

    let shards = world.shards();
    let (parent, children) = (&shards[0], &shards[4..]);
    assert!(parent.ending_sequence_number.is_some());
    for child in children {
        assert_eq!(
            (&child.parent, &child.adjacent_parent),
            (&Some(before.id.clone()), &None)
        );
        assert!(child.starting_sequence_number > parent.ending_sequence_number);
    }
    let (range, middle) = (before.hash_key_range, before.hash_key_range.end.0 / 2);
    assert_eq!(
        (children[0].hash_key_range.start, children[1].hash_key_range.end),
        (range.start, range.end)
    );
    assert_eq!(children[0].hash_key_range.end, HashKey(middle));
    assert_eq!(children[1].hash_key_range.start, HashKey(middle + 1));

    let read = world.read_from(GetShardIterator::trim_horizon(STREAM, FIRST));
    assert_eq!(read.records.len(), 10, "what was written before stays in the parent");
    assert_eq!(world.put_at(HashKey(5), "").shard_id, children[0].id);
}

#[test]
fn many_small_records_make_a_shard_busy_too() {
    let mut world = on_demand(roomy());
    let small = |key| PutRecords::new(STREAM, (0..500).map(|_| entry(key, 1)));
    let thousand = |world: &mut World| {
        world.call(small(HashKey(1))).unwrap();
        world.call(small(HashKey(2))).unwrap();
    };
    (0..30).for_each(|_| thousand(&mut world));
    world.pass(MINUTE);
    assert_eq!(world.open_shards().len(), 4, "half of what it takes is not much");
    (0..31).for_each(|_| thousand(&mut world));
    world.pass(MINUTE);
    assert_eq!(world.open_shards().len(), 5);
}

#[test]
fn what_is_written_in_two_minutes_is_not_added_up() {
    let mut world = on_demand(roomy());
    world.pass(Duration::from_secs(30));
    world.write(30, of_first_shard());
    world.pass(Duration::from_secs(30));
    world.write(30, of_first_shard());
    assert_eq!(world.ids_after(MINUTE).len(), 4);
}

#[test]
fn traffic_that_is_long_gone_splits_nothing_twice() {
    let mut world = on_demand(roomy());
    world.write(60, of_first_shard());
    assert_eq!(world.ids_after(Duration::from_hours(1)).len(), 6);
    assert_eq!(world.ids_after(Duration::from_hours(1)).len(), 6);
}

#[test]
fn where_changes_take_time_the_stream_is_updating_until_the_children_open() {
    let mut world = on_demand(EngineConfig {
        transition: Duration::from_secs(20),
        ..roomy()
    });
    world.pass(MINUTE);
    world.write(31, of_first_shard());
    world.pass(MINUTE);
    assert_eq!(world.status(), StreamStatus::Updating);
    assert_eq!(world.put_at(HashKey(5), "").shard_id.as_str(), FIRST);
    assert_eq!(world.ids_after(Duration::from_secs(20)).len(), 6);
    assert_eq!(world.status(), StreamStatus::Active);
}

#[test]
fn a_change_that_ends_within_the_minute_does_not_stand_in_the_way() {
    let mut world = on_demand(EngineConfig {
        transition: Duration::from_secs(20),
        ..roomy()
    });
    world.pass(MINUTE);
    world.call(UpdateMaxRecordSize::new(ARN, 2_048)).unwrap();
    world.write(31, of_first_shard());
    assert_eq!(world.ids_after(MINUTE * 2).len(), 6);
}

#[test]
fn another_mode_keeps_the_shards_and_ends_or_begins_the_growth() {
    let mut world = on_demand(roomy());
    let busy_minute = |world: &mut World| {
        world.write(40, of_first_shard());
        world.pass(MINUTE);
        world.open_shards()
    };
    let grown = busy_minute(&mut world);
    assert_eq!(grown.len(), 5);
    world.call(UpdateStreamMode::new(ARN, "PROVISIONED")).unwrap();
    world.write(
        40,
        std::iter::repeat_n(HashKey(5), 20).chain(std::iter::repeat(HashKey(6))),
    );
    world.pass(MINUTE);
    assert_eq!(world.open_shards(), grown);
    world.call(UpdateStreamMode::new(ARN, "ON_DEMAND")).unwrap();
    assert_eq!(world.open_shards(), grown);
    world.write(40, [HashKey(5), HashKey(6)].into_iter().cycle());
    world.pass(MINUTE);
    assert_eq!(world.open_shards().len(), 6);
}

#[test]
fn it_does_not_matter_when_the_first_call_after_the_minute_comes() {
    let grown = |late: Duration| {
        let mut world = on_demand(roomy());
        world.write(31, of_first_shard());
        world.pass(MINUTE);
        world.pass(late);
        world.shards()
    };
    assert_eq!(grown(Duration::ZERO), grown(Duration::from_hours(3)));
}

#[test]
fn a_provisioned_stream_keeps_its_shards() {
    let mut world = World::with_config(roomy(), 4);
    for n in 0..100 {
        world.put_at(HashKey(n), Bytes::from_static(&ZEROS[..MIB - 3]));
    }
    assert_eq!(world.ids_after(MINUTE).len(), 4);
}

#[test]
fn a_single_key_is_not_chased_by_splits() {
    let mut world = on_demand(roomy());
    for _ in 0..10 {
        world.write(100, std::iter::repeat(HashKey(7)));
        assert_eq!(world.ids_after(MINUTE).len(), 4);
    }
}

#[test]
fn two_busy_keys_are_parted_by_one_split_wherever_they_are() {
    let mut world = on_demand(roomy());
    for _ in 0..10 {
        world.write(100, [HashKey(7), HashKey(8)].into_iter().cycle());
        world.pass(MINUTE);
    }
    let starts: Vec<_> = world
        .open_shards()
        .iter()
        .map(|shard| shard.hash_key_range.start.0)
        .collect();
    assert_eq!(starts.len(), 5);
    assert_eq!(starts[..2], [0, 8]);
}

#[test]
fn growth_ends_quietly_where_the_account_has_no_more_shards() {
    let mut world = on_demand(EngineConfig {
        open_shards_max: 5,
        ..roomy()
    });
    for _ in 0..5 {
        world.write(1_000, (0..).map(spread));
        world.pass(MINUTE);
    }
    assert_eq!(world.open_shards().len(), 5);
}

#[test]
fn a_producer_that_doubles_is_throttled_for_a_minute_and_then_no_more() {
    let mut world = on_demand(EngineConfig {
        limits: Limits::Aws,
        ..roomy()
    });
    let (mut key, mut failed_by_minute) = (0, Vec::new());
    for _ in 0..4 {
        let mut failed = 0;
        for _ in 0..600 {
            world.pass(Duration::from_millis(100));
            // 7 MiB/s, in pieces of which every shard gets its part; 4 MiB/s have room at first.
            let keys = key..key + 14;
            key = keys.end;
            let put = PutRecords::new(STREAM, keys.map(|n| entry(spread(n), MIB / 20)));
            failed += world.call(put).unwrap().failed_record_count;
        }
        failed_by_minute.push(failed);
    }
    assert!(failed_by_minute[0] > 3_000, "{failed_by_minute:?}");
    assert_eq!(failed_by_minute[2..], [0, 0], "{failed_by_minute:?}");
}

/// A day with a quiet night and a busy noon: at every time the stream has room for twice what it has seen, its shards
/// cover all keys, and afterwards every record is where lineage leads, once and in order.
#[test]
fn a_day_of_traffic_is_followed_and_nothing_is_lost() {
    let mut world = on_demand(EngineConfig {
        retention: Duration::from_hours(48),
        ..roomy()
    });
    let (mut written, mut peak, mut shards) = (0, 0, 4);
    for minute in 0..24 * 60_usize {
        // From 1 MiB/s at midnight to 9 MiB/s at noon and back, in records of 4 MiB.
        let from_midnight = minute.min(24 * 60 - minute);
        let records = 15 + from_midnight * 8 * 15 / 720;
        for n in written..written + records {
            let put = PutRecords::new(STREAM, [entry(spread(n), 4 * MIB - n % 1_000)]);
            assert!(matches!(
                world.call(put).unwrap().records[..],
                [PutRecordsResult::Written(_)]
            ));
        }
        written += records;
        peak = peak.max(records * 4 / 60);
        world.pass(MINUTE);
        if minute % 10 != 0 {
            continue;
        }
        let open = world.open_shards();
        let edges = open
            .windows(2)
            .all(|pair| pair[0].hash_key_range.end.0 + 1 == pair[1].hash_key_range.start.0);
        assert!(edges && open[0].hash_key_range.start == HashKey::MIN);
        assert!(
            open.len() >= shards && open.len() >= 2 * peak,
            "{} for {peak} MiB/s",
            open.len()
        );
        shards = open.len();
    }
    assert!(
        (18..=40).contains(&shards),
        "{shards} shards for a peak of {peak} MiB/s"
    );
    assert_eq!(read_through_lineage(&mut world), written);
}

/// Reads every shard to its end, a child after its parent, and counts what is there.
fn read_through_lineage(world: &mut World) -> usize {
    let all: BTreeMap<String, Shard> = world
        .shards()
        .into_iter()
        .map(|shard| (shard.id.to_string(), shard))
        .collect();
    let mut ready: VecDeque<_> = all
        .values()
        .filter(|shard| shard.parent.is_none())
        .map(|shard| shard.id.to_string())
        .collect();
    let (mut numbers, mut seen) = (BTreeSet::new(), BTreeSet::new());
    while let Some(id) = ready.pop_front() {
        assert!(seen.insert(id.clone()), "{id} twice");
        let mut iterator = Some(world.open(GetShardIterator::trim_horizon(STREAM, &id)));
        let mut last = all[&id]
            .parent
            .as_ref()
            .and_then(|parent| all[parent.as_str()].ending_sequence_number.clone());
        while let Some(from) = iterator {
            let read = world.read(&from);
            for record in &read.records {
                assert!(last < Some(record.sequence_number.clone()));
                last = Some(record.sequence_number.clone());
                numbers.insert(record.sequence_number.clone());
            }
            ready.extend(read.child_shards.iter().map(|child| child.id.to_string()));
            iterator = read.next_shard_iterator.filter(|_| !read.records.is_empty());
        }
    }
    assert_eq!(seen.len(), all.len());
    numbers.len()
}
