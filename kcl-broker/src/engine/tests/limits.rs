//! The limits of the service, as clients meet them.

use proptest::prelude::*;

use super::*;
use crate::{
    api::{DescribeStream, ListStreams, PutRecords, PutRecordsEntry, PutRecordsResult},
    engine::Limits,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const FIRST_EXCEEDED: &str = "Rate exceeded for shard shardId-000000000000 in stream rides under account 000000000000.";

/// As much data as a record may have, without a copy.
static ZEROS: [u8; 10 * MIB] = [0; 10 * MIB];

fn zeros(bytes: usize) -> Bytes {
    Bytes::from_static(&ZEROS[..bytes])
}

fn limited(shards: i32) -> World {
    limited_with(shards, 1024)
}

fn limited_with(shards: i32, max_record_size_in_kib: i32) -> World {
    let config = EngineConfig {
        limits: Limits::Aws,
        ..EngineConfig::default()
    };
    let mut world = World {
        engine: Engine::new(config),
        now: START,
    };
    let create = CreateStream {
        max_record_size_in_kib: Some(max_record_size_in_kib),
        ..CreateStream::new(STREAM, shards)
    };
    world.call(create).unwrap();
    world
}

impl World {
    fn pass_millis(&mut self, millis: u64) {
        self.pass(Duration::from_millis(millis));
    }

    /// Puts a record that counts so many bytes, and tells whether it was taken.
    fn try_put(&mut self, bytes: usize) -> bool {
        match self.call(PutRecord::new(STREAM, "k", zeros(bytes - 1))) {
            Ok(_) => true,
            Err(error) => {
                let expected = (ErrorKind::ProvisionedThroughputExceeded, Some(FIRST_EXCEEDED));
                assert_eq!((error.kind(), error.message()), expected);
                false
            }
        }
    }

    /// Reads, and tells how many bytes came, if the read was let pass.
    fn try_read(&mut self, iterator: &str) -> Option<usize> {
        match self.call(GetRecords::new(iterator)) {
            Ok(read) => Some(read.records.iter().map(|record| record.size()).sum()),
            Err(error) => {
                let expected = (ErrorKind::ProvisionedThroughputExceeded, Some(FIRST_EXCEEDED));
                assert_eq!((error.kind(), error.message()), expected);
                None
            }
        }
    }
}

#[test]
fn without_limits_everything_passes() {
    let mut world = World::with_shards(1);
    let many = || PutRecords::new(STREAM, (0..500).map(|_| PutRecordsEntry::new("key", zeros(20 * KIB))));
    for _ in 0..10 {
        assert_eq!(world.call(many()).unwrap().failed_record_count, 0);
    }
    for _ in 0..100 {
        let iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
        assert!(world.read(&iterator).records.len() > 400);
        world.call(ListStreams::default()).unwrap();
    }
}

#[test]
fn a_shard_takes_a_mebibyte_a_second() {
    let mut world = limited(1);
    let taken = (0..200).filter(|_| world.try_put(10 * KIB)).count();
    assert_eq!(taken, MIB / (10 * KIB));
    world.pass_millis(500);
    let taken = (0..200).filter(|_| world.try_put(10 * KIB)).count();
    assert_eq!(taken, MIB / 2 / (10 * KIB));
}

#[test]
fn a_shard_takes_a_thousand_records_a_second_and_other_shards_do_not_count() {
    let mut world = limited(2);
    let puts = |key| PutRecords::new(STREAM, (0..500).map(move |_| PutRecordsEntry::new(key, "")));
    let failed = |world: &mut World, key| world.call(puts(key)).unwrap().failed_record_count;
    // MD5("a") is in the first half of the hash keys, MD5("b") in the second.
    assert_eq!((failed(&mut world, "a"), failed(&mut world, "a")), (0, 0));
    assert_eq!(failed(&mut world, "a"), 500);
    assert_eq!((failed(&mut world, "b"), failed(&mut world, "b")), (0, 0));
    world.pass_millis(100);
    assert_eq!(failed(&mut world, "a"), 400);
}

#[test]
fn records_that_a_shard_does_not_take_fail_one_by_one_and_can_be_put_again() {
    let mut world = limited(2);
    let put = PutRecords::new(
        STREAM,
        [("a", 700), ("b", 700), ("a", 700), ("a", 300), ("b", 300)]
            .map(|(key, kib)| PutRecordsEntry::new(key, zeros(kib * KIB))),
    );
    let output = world.call(put).unwrap();
    let outcomes: Vec<_> = output
        .records
        .iter()
        .map(|result| match result {
            PutRecordsResult::Written(written) => Ok(written.shard_id.as_str()),
            PutRecordsResult::Failed {
                error_code,
                error_message,
            } => Err((error_code.as_str(), error_message.as_str())),
        })
        .collect();
    let exceeded = ("ProvisionedThroughputExceededException", FIRST_EXCEEDED);
    assert_eq!(outcomes, [Ok(FIRST), Ok(SECOND), Err(exceeded), Ok(FIRST), Ok(SECOND)]);
    assert_eq!(output.failed_record_count, 1);
    let sizes: Vec<_> = world
        .read_from(GetShardIterator::trim_horizon(STREAM, FIRST))
        .records
        .iter()
        .map(|record| record.data.len() / KIB)
        .collect();
    assert_eq!(sizes, [700, 300]);
    world.pass_millis(1_000);
    let again = PutRecords::new(STREAM, [PutRecordsEntry::new("a", zeros(700 * KIB))]);
    assert_eq!(world.call(again).unwrap().failed_record_count, 0);
}

#[test]
fn a_refused_record_leaves_nothing_behind() {
    let mut world = limited(1);
    assert!(world.try_put(MIB));
    let stored = world.engine.stored_bytes();
    assert!(!world.try_put(1));
    assert_eq!(world.engine.stored_bytes(), stored);
}

#[test]
fn a_large_record_passes_at_once_and_is_paid_for_in_the_seconds_after() {
    let mut world = limited_with(1, 10_240);
    assert!(world.try_put(10 * MIB));
    assert!(!world.try_put(KIB), "nothing of the burst is left");
    world.pass_millis(500);
    assert!(world.try_put(512 * KIB), "what has come back can be had");
    assert!(!world.try_put(KIB));
    world.pass_millis(9_400);
    assert!(!world.try_put(10 * MIB), "the burst is not whole yet");
    world.pass_millis(600);
    assert!(world.try_put(10 * MIB));
}

#[test]
fn small_records_get_none_of_the_burst() {
    let mut world = limited_with(1, 10_240);
    let taken = (0..20).filter(|_| world.try_put(MIB)).count();
    assert_eq!(taken, 1);
}

#[test]
fn a_shard_is_read_five_times_a_second() {
    let mut world = limited(1);
    world.put("key", "data");
    let iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
    let passed = (0..10).filter(|_| world.try_read(&iterator).is_some()).count();
    assert_eq!(passed, 5);
    world.pass_millis(199);
    assert_eq!(world.try_read(&iterator), None);
    world.pass_millis(1);
    assert!(world.try_read(&iterator).is_some());
}

#[test]
fn ten_mebibytes_in_one_read_shut_the_shard_for_five_seconds() {
    let mut world = limited(1);
    for _ in 0..12 {
        assert!(world.try_put(MIB));
        world.pass_millis(1_000);
    }
    let iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
    assert_eq!(world.try_read(&iterator), Some(10 * MIB));
    for _ in 0..49 {
        world.pass_millis(100);
        assert_eq!(world.try_read(&iterator), None);
    }
    world.pass_millis(100);
    assert_eq!(world.try_read(&iterator), Some(10 * MIB));
}

#[test]
fn iterators_are_made_five_times_a_second() {
    let mut world = limited(2);
    let open = || GetShardIterator::trim_horizon(STREAM, FIRST);
    for _ in 0..5 {
        world.call(open()).unwrap();
    }
    assert_refused(
        world.call(open()),
        ErrorKind::ProvisionedThroughputExceeded,
        FIRST_EXCEEDED,
    );
    world.call(GetShardIterator::trim_horizon(STREAM, SECOND)).unwrap();
    world.pass_millis(200);
    world.call(open()).unwrap();
}

#[test]
fn operations_are_limited_for_the_account_each_by_itself() {
    let mut world = limited(1);
    for _ in 0..10 {
        world.call(DescribeStream::new(STREAM)).unwrap();
    }
    assert_refused(
        world.call(DescribeStream::new(STREAM)),
        ErrorKind::LimitExceeded,
        "Rate exceeded for stream rides under account 000000000000.",
    );
    for _ in 0..5 {
        world.call(ListStreams::default()).unwrap();
    }
    assert_refused(
        world.call(ListStreams::default()),
        ErrorKind::LimitExceeded,
        "Rate exceeded for account 000000000000.",
    );
    world.pass_millis(1_000);
    world.call(ListStreams::default()).unwrap();
    world.call(DescribeStream::new(STREAM)).unwrap();
}

#[test]
fn listing_shards_is_limited_for_each_stream() {
    let mut world = limited(1);
    world.call(CreateStream::new("other", 1)).unwrap();
    let listed = |world: &mut World, stream: &str| world.call(ListShards::new(stream)).is_ok();
    assert_eq!((0..1_200).filter(|_| listed(&mut world, STREAM)).count(), 1_000);
    assert!(listed(&mut world, "other"));
    assert_kind(world.call(ListShards::new("none")), ErrorKind::ResourceNotFound);
}

#[test]
fn a_listing_that_goes_on_counts_for_its_stream_too() {
    let mut world = limited(2);
    let first = ListShards {
        max_results: Some(1),
        ..ListShards::new(STREAM)
    };
    let next_token = world.call(first).unwrap().next_token;
    let on = ListShards {
        next_token,
        ..ListShards::default()
    };
    assert_eq!((0..1_200).filter(|_| world.call(on.clone()).is_ok()).count(), 999);
    assert_refused(
        world.call(on),
        ErrorKind::LimitExceeded,
        "Rate exceeded for stream rides under account 000000000000.",
    );
}

proptest! {
    /// Whatever is put when: no second takes more than the limit and the burst, and what is put again in time arrives.
    #[test]
    fn no_stretch_of_time_takes_more_than_a_shard_does(
        puts in prop::collection::vec((0_u64..300, 1_usize..=MIB), 1..60),
    ) {
        let mut world = limited(1);
        let mut taken = Vec::new();
        for (pause, bytes) in puts {
            world.pass_millis(pause);
            if world.try_put(bytes) {
                taken.push((world.now, bytes as u64));
            }
        }
        for (first, (from, _)) in taken.iter().enumerate() {
            let mut sum = 0;
            for (to, bytes) in &taken[first..] {
                sum += bytes;
                let allowed = MIB as u64 * (1_000 + to.millis_since(*from));
                prop_assert!(sum * 1_000 <= allowed, "{sum} from {from} to {to}");
            }
        }
    }

    /// A producer that puts refused records again gets a mebibyte a second through, whatever the size of its records.
    #[test]
    fn a_patient_producer_gets_what_a_shard_takes(kib in 1_usize..=512, every in 1_u64..=50) {
        let mut world = limited(1);
        let mut sum = 0;
        for _ in 0..10_000 / every {
            while world.try_put(kib * KIB) {
                sum += kib * KIB;
            }
            world.pass_millis(every);
        }
        prop_assert!(sum >= (10 * MIB).min(10_000 * kib * KIB), "{sum}");
        prop_assert!(sum <= 11 * MIB, "{sum}");
    }

    /// A consumer that reads whenever it may gets two mebibytes a second, and never more than that and one answer.
    #[test]
    fn a_greedy_consumer_gets_what_a_shard_gives(kib in 64_usize..=1_000, limit in 1_i32..=40) {
        let mut world = limited(1);
        world.engine.config.limits = Limits::Off;
        for _ in 0..60 * MIB / (kib * KIB) {
            world.put_at(HashKey::MIN, zeros(kib * KIB - 3));
        }
        world.engine.config.limits = Limits::Aws;
        let mut iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
        let (mut given, mut reads) = (0, 0);
        for _ in 0..500 {
            let read = GetRecords { limit: Some(limit), ..GetRecords::new(&iterator) };
            if let Ok(read) = world.call(read) {
                given += read.records.iter().map(|record| record.size()).sum::<usize>();
                reads += 1;
                iterator = read.next_shard_iterator.unwrap();
            }
            world.pass_millis(20);
        }
        prop_assert!(given <= 20 * MIB + 10 * MIB, "{given}");
        prop_assert!(reads <= 55, "{reads}");
        // It asks every 20 ms, so that it finds the shard open up to so much late after each read.
        let (by_reads, late) = (50 * limit.unsigned_abs() as usize * kib * KIB, reads * 2 * MIB / 50);
        prop_assert!(given + late >= by_reads.min(20 * MIB), "{given} in {reads} reads");
    }
}
