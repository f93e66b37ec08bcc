use super::*;
use crate::api::{PutRecords, PutRecordsEntry, PutRecordsResult};

const MIB: usize = 1 << 20;

fn entry(key: &'static str, bytes: usize) -> PutRecordsEntry {
    PutRecordsEntry::new(key, vec![b'x'; bytes])
}

#[test]
fn a_record_goes_where_the_md5_of_its_key_points() {
    let mut world = World::with_shards(2);
    // MD5("a") is 0cc1.., MD5("b") is 92eb..
    assert_eq!(world.put("a", "").shard_id.as_str(), FIRST);
    assert_eq!(world.put("b", "").shard_id.as_str(), SECOND);
}

#[test]
fn an_explicit_hash_key_decides_at_the_very_edges_of_a_range() {
    let mut world = World::with_shards(2);
    assert_eq!(world.put_at(HashKey::MIN, "").shard_id.as_str(), FIRST);
    assert_eq!(world.put_at(HashKey(MIDDLE.0 - 1), "").shard_id.as_str(), FIRST);
    assert_eq!(world.put_at(MIDDLE, "").shard_id.as_str(), SECOND);
    assert_eq!(world.put_at(HashKey::MAX, "").shard_id.as_str(), SECOND);
}

#[test]
fn a_hash_key_out_of_the_space_is_refused() {
    let mut world = World::with_shards(1);
    let mut put = PutRecord::new(STREAM, "key", "data");
    put.explicit_hash_key = Some("340282366920938463463374607431768211456".to_owned());
    assert_refused(
        world.call(put.clone()),
        ErrorKind::InvalidArgument,
        "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was \
         340282366920938463463374607431768211456",
    );
    for bad in ["-1", "01", "", "x"] {
        put.explicit_hash_key = Some(bad.to_owned());
        assert_kind(world.call(put.clone()), ErrorKind::Validation);
    }
}

#[test]
fn numbers_grow_within_a_shard_even_when_the_clock_goes_back() {
    let mut world = World::with_shards(1);
    let mut numbers = vec![world.shards()[0].starting_sequence_number.clone().unwrap()];
    for step in [0, 0, 5_000, -60_000, 0, 1] {
        world.now = Timestamp::from_epoch_millis(world.now.epoch_millis() + step);
        numbers.push(world.put("key", "data").sequence_number);
    }
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(numbers.iter().all(|number| number.as_str().len() == 56));
    let read = world.read_from(GetShardIterator::trim_horizon(STREAM, FIRST));
    assert!(
        read.records
            .is_sorted_by_key(|record| record.approximate_arrival_timestamp)
    );
}

#[test]
fn many_records_are_written_in_the_order_of_the_request() {
    let mut world = World::with_shards(2);
    let put = PutRecords::new(STREAM, ["a", "b", "a"].map(|key| PutRecordsEntry::new(key, key)));
    let output = world.call(put).unwrap();
    assert_eq!(output.failed_record_count, 0);
    let written: Vec<_> = output
        .records
        .iter()
        .map(|result| match result {
            PutRecordsResult::Written(written) => written.shard_id.as_str(),
            PutRecordsResult::Failed { error_message, .. } => error_message,
        })
        .collect();
    assert_eq!(written, [FIRST, SECOND, FIRST]);
}

#[test]
fn a_record_of_a_mebibyte_fits_and_a_byte_more_does_not() {
    let mut world = World::with_shards(1);
    world.call(PutRecord::new(STREAM, "key", vec![0; MIB - 3])).unwrap();
    assert_kind(
        world.call(PutRecord::new(STREAM, "key", vec![0; MIB - 2])),
        ErrorKind::Validation,
    );
    assert_refused(
        world.call(PutRecord::new(STREAM, "key", vec![0; 10 * MIB + 1])),
        ErrorKind::Validation,
        "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=10485761 cap=10485761]' at 'data' failed \
         to satisfy constraint: Member must have length less than or equal to 10485760",
    );
}

#[test]
fn a_stream_for_large_records_takes_them() {
    let mut world = World::with_shards(1);
    let create = CreateStream {
        max_record_size_in_kib: Some(2048),
        ..CreateStream::new("large", 1)
    };
    world.call(create).unwrap();
    world
        .call(PutRecord::new("large", "key", vec![0; 2 * MIB - 3]))
        .unwrap();
    assert_kind(
        world.call(PutRecord::new("large", "key", vec![0; 2 * MIB])),
        ErrorKind::Validation,
    );
}

#[test]
fn one_bad_record_fails_the_whole_call_and_nothing_is_written() {
    let mut world = World::with_shards(1);
    let mut beyond = entry("key", 1);
    beyond.explicit_hash_key = Some("9".repeat(39));
    for bad in [entry("key", MIB), entry("", 1), beyond, PutRecordsEntry::default()] {
        let put = PutRecords::new(STREAM, [entry("key", 1), bad]);
        assert!(world.call(put).is_err());
    }
    assert_refused(
        world.call(PutRecords::new(STREAM, [entry("key", 1), entry("", 1)])),
        ErrorKind::Validation,
        "1 validation error detected: Value '' at 'records.2.member.partitionKey' failed to satisfy constraint: Member \
         must have length greater than or equal to 1",
    );
    assert_eq!(world.engine.stored_bytes(), 0);
}

#[test]
fn the_count_and_the_bytes_of_a_request_are_limited() {
    let mut world = World::with_shards(1);
    let put = |count, bytes| PutRecords::new(STREAM, (0..count).map(|_| entry("key", bytes)));
    world.call(put(500, 1)).unwrap();
    assert_kind(world.call(put(501, 1)), ErrorKind::Validation);
    assert_kind(world.call(put(0, 1)), ErrorKind::Validation);
    world.call(put(10, MIB - 3)).unwrap();
    assert_refused(
        world.call(PutRecords::new(
            STREAM,
            (0..10).map(|_| entry("key", MIB - 3)).chain([entry("k", 0)]),
        )),
        ErrorKind::InvalidArgument,
        "Records size exceeds 10 MB limit",
    );
}

#[test]
fn a_partition_key_is_measured_in_characters() {
    let mut world = World::with_shards(1);
    world.call(PutRecord::new(STREAM, "é".repeat(256), "data")).unwrap();
    assert_kind(
        world.call(PutRecord::new(STREAM, "é".repeat(257), "data")),
        ErrorKind::Validation,
    );
}

#[test]
fn a_full_broker_refuses_writes_until_records_expire() {
    let config = EngineConfig {
        stored_bytes_max: 1_000,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 2);
    world.put_at(HashKey::MIN, vec![0; 300]);
    let before = world.engine.stored_bytes();
    let refused = world.call(PutRecord::new(STREAM, "key", vec![0; 300]));
    assert_kind(refused, ErrorKind::LimitExceeded);
    assert_eq!(world.engine.stored_bytes(), before);
    world.pass(Duration::from_hours(25));
    world.put_at(HashKey::MAX, vec![0; 300]);
    assert_eq!(world.engine.stored_bytes(), before);
}

#[test]
fn an_ordering_number_from_the_future_or_of_another_make_is_refused() {
    let mut world = World::with_shards(1);
    let written = world.put("key", "data");
    let after = |number: String| PutRecord {
        sequence_number_for_ordering: Some(number),
        ..PutRecord::new(STREAM, "key", "data")
    };
    let next = world.call(after(written.sequence_number.to_string())).unwrap();
    assert!(written.sequence_number < next.sequence_number);
    assert_refused(
        world.call(after("7".to_owned())),
        ErrorKind::InvalidArgument,
        "ExclusiveMinimumSequenceNumber 7 used in PutRecord on stream rides under account 000000000000 is invalid.",
    );
    world.pass(Duration::from_secs(60));
    let later = world.put("key", "data").sequence_number.to_string();
    let mut earlier = World::with_shards(1);
    assert_kind(earlier.call(after(later)), ErrorKind::InvalidArgument);
}

#[test]
fn a_dry_run_checks_everything_and_writes_nothing() {
    let mut world = World::with_shards(1);
    let dry = |put: PutRecord| PutRecord {
        dry_run: Some(true),
        ..put
    };
    let many = |bytes| PutRecords {
        dry_run: Some(true),
        ..PutRecords::new(STREAM, [entry("key", bytes)])
    };
    let put = PutRecord::new(STREAM, "key", "data");
    assert_kind(world.call(dry(put.clone())), ErrorKind::DryRunOperation);
    assert_kind(world.call(many(1)), ErrorKind::DryRunOperation);
    assert_eq!(world.engine.stored_bytes(), 0);
    assert_kind(
        world.call(dry(PutRecord::new("none", "key", "data"))),
        ErrorKind::ResourceNotFound,
    );
    assert_kind(
        world.call(dry(PutRecord::new(STREAM, "", "data"))),
        ErrorKind::Validation,
    );
    assert_kind(world.call(many(MIB)), ErrorKind::Validation);
    world
        .call(PutRecord {
            dry_run: Some(false),
            ..put
        })
        .unwrap();
}
