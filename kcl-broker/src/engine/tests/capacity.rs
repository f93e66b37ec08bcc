//! What a stream takes: its mode, its largest record, and who decides to which shard a record goes.

use std::collections::BTreeMap;

use super::*;
use crate::{
    api::{
        DescribeStream, DescribeStreamSummary, PutRecords, PutRecordsEntry, PutRecordsResult,
        RecordDistributionStrategy, StreamMode, StreamModeDetails, StreamStatus, UpdateAccountSettings,
        UpdateMaxRecordSize, UpdateShardCount, UpdateStreamMode, UpdateStreamRecordDistributionStrategy,
        UpdateStreamWarmThroughput,
    },
    engine::Limits,
};

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/rides";
const TRANSITION: Duration = Duration::from_secs(2);

impl World {
    fn set_mode(&mut self, mode: &str) -> Result<(), ApiError> {
        self.call(UpdateStreamMode::new(ARN, mode))
    }

    fn set_strategy(&mut self, strategy: &str) -> Result<(), ApiError> {
        self.call(UpdateStreamRecordDistributionStrategy::new(ARN, strategy))
    }

    fn mode_and_strategy(&mut self) -> (StreamMode, Option<RecordDistributionStrategy>) {
        let summary = self.call(DescribeStreamSummary::new(STREAM)).unwrap();
        (summary.stream.stream_mode, summary.record_distribution_strategy)
    }
}

fn slow() -> World {
    let config = EngineConfig {
        transition: TRANSITION,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 2);
    world.pass(TRANSITION);
    world
}

/// An on-demand stream that spreads its records over its four shards by itself.
fn spreading() -> World {
    let mut world = World {
        engine: Engine::new(EngineConfig::default()),
        now: START,
    };
    let create = CreateStream {
        stream_name: Some(STREAM.to_owned()),
        stream_mode_details: Some(StreamModeDetails {
            stream_mode: Some("ON_DEMAND".to_owned()),
        }),
        record_distribution_strategy: Some("AUTO".to_owned()),
        ..CreateStream::default()
    };
    world.call(create).unwrap();
    world
}

#[test]
fn a_mode_changes_when_the_update_is_over_and_the_shards_stay() {
    use RecordDistributionStrategy::UserPartitionKey;
    use StreamMode::{OnDemand, Provisioned};

    let mut world = slow();
    let shards = world.shards();
    world.set_mode("ON_DEMAND").unwrap();
    assert_eq!(world.mode_and_strategy(), (Provisioned, None));
    assert_kind(world.set_mode("ON_DEMAND"), ErrorKind::ResourceInUse);
    world.put("key", "meanwhile");
    world.pass(TRANSITION);
    assert_eq!(world.mode_and_strategy(), (OnDemand, Some(UserPartitionKey)));
    assert_eq!(world.shards(), shards);
    assert_kind(world.call(UpdateShardCount::new(STREAM, 3)), ErrorKind::Validation);
    world.set_mode("PROVISIONED").unwrap();
    world.pass(TRANSITION);
    assert_eq!(world.mode_and_strategy(), (Provisioned, None));
    world.call(UpdateShardCount::new(STREAM, 3)).unwrap();
}

#[test]
fn a_mode_that_is_none_is_refused() {
    let mut world = World::with_shards(1);
    assert_refused(
        world.set_mode("MANUAL"),
        ErrorKind::Validation,
        "1 validation error detected: Value 'MANUAL' at 'streamModeDetails.streamMode' failed to satisfy constraint: \
         Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]",
    );
    assert_refused(
        world.call(UpdateStreamMode::default()),
        ErrorKind::Validation,
        "2 validation errors detected: Value null at 'streamARN' failed to satisfy constraint: Member must not be null; \
         Value null at 'streamModeDetails' failed to satisfy constraint: Member must not be null",
    );
    let other = UpdateStreamMode::new("arn:aws:kinesis:us-east-1:000000000000:stream/other", "ON_DEMAND");
    assert_kind(world.call(other), ErrorKind::ResourceNotFound);
}

#[test]
fn a_mode_is_changed_twice_a_day_if_limits_hold() {
    let config = EngineConfig {
        limits: Limits::Aws,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 1);
    for mode in ["ON_DEMAND", "PROVISIONED"] {
        world.set_mode(mode).unwrap();
        world.pass(Duration::from_hours(1));
    }
    assert_kind(world.set_mode("ON_DEMAND"), ErrorKind::LimitExceeded);
    world.pass(Duration::from_hours(22));
    world.set_mode("ON_DEMAND").unwrap();
    assert_kind(world.set_mode("PROVISIONED"), ErrorKind::LimitExceeded);
}

#[test]
fn larger_records_are_taken_when_the_update_is_over() {
    let mut world = slow();
    let large = Bytes::from(vec![0; 2 << 20]);
    world.call(UpdateMaxRecordSize::new(ARN, 3072)).unwrap();
    let status = world.call(DescribeStream::new(STREAM)).unwrap().stream.stream_status;
    assert_eq!(status, StreamStatus::Updating);
    let put = PutRecord::new(STREAM, "key", large);
    assert_kind(world.call(put.clone()), ErrorKind::Validation);
    world.pass(TRANSITION);
    world.call(put.clone()).unwrap();
    let summary = world.call(DescribeStreamSummary::new(STREAM)).unwrap();
    assert_eq!(summary.max_record_size_in_kib, 3072);

    // A smaller size says nothing of what is in the stream already.
    world.call(UpdateMaxRecordSize::new(ARN, 1024)).unwrap();
    world.pass(TRANSITION);
    assert_kind(world.call(put), ErrorKind::Validation);
    let read = [FIRST, SECOND].map(|shard| world.read_from(GetShardIterator::trim_horizon(STREAM, shard)));
    assert_eq!(read[0].records.len() + read[1].records.len(), 1);
}

#[test]
fn a_record_size_out_of_range_is_refused() {
    let mut world = World::with_shards(1);
    for kib in [1023, 10_241] {
        assert_kind(world.call(UpdateMaxRecordSize::new(ARN, kib)), ErrorKind::Validation);
    }
    assert_kind(world.call(UpdateMaxRecordSize::default()), ErrorKind::Validation);
    let nowhere = UpdateMaxRecordSize {
        stream_arn: None,
        ..UpdateMaxRecordSize::new(ARN, 2048)
    };
    assert_kind(world.call(nowhere), ErrorKind::InvalidArgument);
}

#[test]
fn a_stream_that_spreads_its_records_does_so_evenly_and_needs_no_keys() {
    let mut world = spreading();
    let mut counts = BTreeMap::new();
    for n in 0..100 {
        // Neither the same key nor the same hash key bring records together, not even one that is out of range.
        let one = PutRecord {
            partition_key: (n % 2 == 0).then(|| "key".into()),
            explicit_hash_key: Some("9".repeat(39)),
            ..PutRecord::new(STREAM, "", n.to_string())
        };
        *counts.entry(world.call(one).unwrap().shard_id.to_string()).or_insert(0) += 1;
        let entry = PutRecordsEntry {
            partition_key: None,
            ..PutRecordsEntry::new("", "data")
        };
        let written = world.call(PutRecords::new(STREAM, [entry.clone(), entry])).unwrap();
        for record in written.records {
            let PutRecordsResult::Written(written) = record else {
                panic!("{record:?}")
            };
            *counts.entry(written.shard_id.to_string()).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|count| (73..=77).contains(count)), "{counts:?}");

    let first = world.read_from(GetShardIterator::trim_horizon(STREAM, FIRST)).records;
    let keys: BTreeMap<_, usize> = first.iter().fold(BTreeMap::new(), |mut keys, record| {
        *keys.entry(record.partition_key.to_string()).or_default() += 1;
        keys
    });
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["", "key"]);
}

#[test]
fn a_key_that_is_given_to_such_a_stream_must_be_one() {
    let mut world = spreading();
    assert_kind(world.call(PutRecord::new(STREAM, "", "data")), ErrorKind::Validation);
    assert_kind(
        world.call(PutRecord {
            explicit_hash_key: Some("twelve".to_owned()),
            ..PutRecord::new(STREAM, "key", "data")
        }),
        ErrorKind::Validation,
    );
}

#[test]
fn a_dry_run_does_not_move_the_place_of_the_next_record() {
    let (mut world, mut other) = (spreading(), spreading());
    for _ in 0..3 {
        let dry = PutRecord {
            dry_run: Some(true),
            ..PutRecord::new(STREAM, "key", "data")
        };
        assert_kind(world.call(dry), ErrorKind::DryRunOperation);
        assert_eq!(world.put("key", "data"), other.put("key", "data"));
    }
}

#[test]
fn the_strategy_changes_at_once_and_for_new_records_only() {
    let mut world = World::with_shards(4);
    world.set_mode("ON_DEMAND").unwrap();
    let of_key = world.put("key", "data").shard_id;
    assert_eq!(world.put("key", "data").shard_id, of_key);
    world.set_strategy("AUTO").unwrap();
    let status = world.call(DescribeStream::new(STREAM)).unwrap().stream.stream_status;
    assert_eq!(status, StreamStatus::Active);
    assert_eq!(
        world.mode_and_strategy(),
        (StreamMode::OnDemand, Some(RecordDistributionStrategy::Auto))
    );
    let spread: std::collections::BTreeSet<_> = (0..4).map(|_| world.put("key", "data").shard_id).collect();
    assert!(spread.len() > 1, "{spread:?}");
    world.set_strategy("USER_PARTITION_KEY").unwrap();
    assert_eq!(world.put("key", "data").shard_id, of_key);
    let keyless = PutRecord {
        partition_key: None,
        ..PutRecord::new(STREAM, "", "data")
    };
    assert_refused(
        world.call(keyless),
        ErrorKind::Validation,
        "1 validation error detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null",
    );
}

#[test]
fn only_on_demand_streams_spread_their_records() {
    let mut world = World::with_shards(1);
    assert_kind(world.set_strategy("AUTO"), ErrorKind::InvalidArgument);
    assert_kind(world.set_strategy("RANDOM"), ErrorKind::Validation);
    let create = CreateStream {
        record_distribution_strategy: Some("AUTO".to_owned()),
        ..CreateStream::new("other", 1)
    };
    assert_kind(world.call(create), ErrorKind::InvalidArgument);

    let mut world = spreading();
    world.set_mode("PROVISIONED").unwrap();
    let of_key = world.put("key", "data").shard_id;
    assert_eq!(world.put("key", "data").shard_id, of_key);
    world.set_mode("ON_DEMAND").unwrap();
    let strategy = Some(RecordDistributionStrategy::UserPartitionKey);
    assert_eq!(world.mode_and_strategy(), (StreamMode::OnDemand, strategy));
}

/// An on-demand stream of an account that has made the commitment.
fn committed(transition: Duration) -> World {
    let config = EngineConfig {
        transition,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 1);
    world.pass(transition);
    world.set_mode("ON_DEMAND").unwrap();
    world.pass(transition);
    world.call(UpdateAccountSettings::with_commitment("ENABLED")).unwrap();
    world
}

impl World {
    /// For how much throughput there is room, and shall be.
    fn warm(&mut self) -> Option<(usize, usize)> {
        let warm = self.call(DescribeStreamSummary::new(STREAM)).unwrap().warm_throughput;
        warm.map(|warm| (warm.current_mibps, warm.target_mibps))
    }

    fn warm_up(&mut self, mibps: i32) -> Result<(usize, usize), ApiError> {
        let output = self.call(UpdateStreamWarmThroughput::new(STREAM, mibps))?;
        Ok((
            output.warm_throughput.current_mibps,
            output.warm_throughput.target_mibps,
        ))
    }
}

#[test]
fn warm_throughput_is_a_number_of_shards() {
    let mut world = committed(TRANSITION);
    assert_eq!(world.warm(), Some((1, 1)));
    assert_eq!(world.warm_up(10).unwrap(), (1, 10));
    assert_eq!(world.warm(), Some((1, 10)));
    assert_kind(world.warm_up(11), ErrorKind::ResourceInUse);
    world.pass(TRANSITION);
    assert_eq!(world.warm(), Some((10, 10)));
    // Less gives room up, though never below what an on-demand stream has at first.
    assert_eq!(world.warm_up(2).unwrap(), (10, 2));
    world.pass(TRANSITION);
    assert_eq!(world.warm(), Some((4, 2)));
    world.set_mode("PROVISIONED").unwrap();
    world.pass(TRANSITION);
    assert_eq!(world.warm(), None);
}

#[test]
fn a_stream_can_be_warm_from_the_beginning_of_its_mode() {
    let mut world = committed(TRANSITION);
    world.set_mode("PROVISIONED").unwrap();
    world.pass(TRANSITION);
    let to_on_demand = UpdateStreamMode {
        warm_throughput_mibps: Some(6),
        ..UpdateStreamMode::new(ARN, "ON_DEMAND")
    };
    world.call(to_on_demand).unwrap();
    world.pass(TRANSITION);
    assert_eq!(world.warm(), Some((6, 6)));

    let mut world = committed(Duration::ZERO);
    let create = CreateStream {
        stream_name: Some("warm".to_owned()),
        stream_mode_details: Some(StreamModeDetails {
            stream_mode: Some("ON_DEMAND".to_owned()),
        }),
        warm_throughput_mibps: Some(20),
        ..CreateStream::default()
    };
    world.call(create).unwrap();
    let summary = world.call(DescribeStreamSummary::new("warm")).unwrap();
    assert_eq!(summary.open_shard_count, 20);
}

#[test]
fn only_on_demand_streams_of_committed_accounts_are_warm() {
    let mut world = World::with_shards(1);
    assert_kind(world.warm_up(10), ErrorKind::InvalidArgument);
    world.set_mode("ON_DEMAND").unwrap();
    assert_eq!(world.warm(), None);
    assert_kind(world.warm_up(10), ErrorKind::InvalidArgument);
    world.call(UpdateAccountSettings::with_commitment("ENABLED")).unwrap();
    assert_kind(world.warm_up(-1), ErrorKind::Validation);
    assert_kind(world.warm_up(10_241), ErrorKind::LimitExceeded);
    let provisioned = CreateStream {
        warm_throughput_mibps: Some(20),
        ..CreateStream::new("other", 1)
    };
    assert_kind(world.call(provisioned), ErrorKind::InvalidArgument);
    let to_provisioned = UpdateStreamMode {
        warm_throughput_mibps: Some(6),
        ..UpdateStreamMode::new(ARN, "PROVISIONED")
    };
    assert_kind(world.call(to_provisioned), ErrorKind::InvalidArgument);
}
