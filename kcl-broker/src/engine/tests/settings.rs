use std::collections::BTreeSet;

use super::*;
use crate::{
    api::{
        DescribeStream, DescribeStreamSummary, DisableEnhancedMonitoring, EnableEnhancedMonitoring, Encryption,
        EncryptionType, PutRecords, PutRecordsEntry, ShardLevelMetric, StartStreamEncryption, StopStreamEncryption,
        StreamSettings, StreamStatus,
    },
    engine::Limits,
};

const KEY: &str = "alias/aws/kinesis";
const TRANSITION: Duration = Duration::from_secs(10);

fn slow() -> World {
    let config = EngineConfig {
        transition: TRANSITION,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 1);
    world.pass(TRANSITION);
    world
}

/// The settings that both descriptions show, and the state of the stream.
fn described(world: &mut World) -> (StreamSettings, StreamStatus) {
    let summary = world.call(DescribeStreamSummary::new(STREAM)).unwrap();
    let description = world.call(DescribeStream::new(STREAM)).unwrap();
    assert_eq!(description.settings, summary.settings);
    (summary.settings, summary.stream.stream_status)
}

fn encryption(world: &mut World) -> Encryption {
    described(world).0.encryption
}

fn kms(key_id: &str) -> Encryption {
    Encryption::Kms {
        key_id: key_id.to_owned(),
    }
}

fn metrics(names: &[&str]) -> BTreeSet<ShardLevelMetric> {
    let is_named = |metric: &ShardLevelMetric| names.contains(&metric.as_str());
    ShardLevelMetric::ALL.into_iter().filter(is_named).collect()
}

#[test]
fn encryption_is_started_given_another_key_and_stopped() {
    let mut world = World::with_shards(1);
    assert_eq!(encryption(&mut world), Encryption::None);
    world.call(StartStreamEncryption::new(STREAM, KEY)).unwrap();
    assert_eq!(encryption(&mut world), kms(KEY));
    world.call(StartStreamEncryption::new(STREAM, "other")).unwrap();
    assert_eq!(encryption(&mut world), kms("other"));
    world.call(StopStreamEncryption::new(STREAM, "other")).unwrap();
    assert_eq!(encryption(&mut world), Encryption::None);
}

#[test]
fn settings_change_when_the_update_is_over() {
    let mut world = slow();
    world.call(StartStreamEncryption::new(STREAM, KEY)).unwrap();
    assert_eq!(
        described(&mut world),
        (StreamSettings::default(), StreamStatus::Updating)
    );
    assert_refused(
        world.call(StopStreamEncryption::new(STREAM, KEY)),
        ErrorKind::ResourceInUse,
        "Stream rides under account 000000000000 not ACTIVE, instead in state UPDATING",
    );
    assert_eq!(world.put("key", "plain").encryption_type, EncryptionType::None);
    world.pass(TRANSITION);
    let (settings, status) = described(&mut world);
    assert_eq!((settings.encryption, status), (kms(KEY), StreamStatus::Active));
    let enabled = world
        .call(EnableEnhancedMonitoring::new(STREAM, ["IncomingBytes"]))
        .unwrap();
    assert_eq!(enabled.desired_shard_level_metrics, metrics(&["IncomingBytes"]));
    assert_eq!(described(&mut world).1, StreamStatus::Updating);
    world.pass(TRANSITION);
    let (settings, _) = described(&mut world);
    assert_eq!(settings.shard_level_metrics, metrics(&["IncomingBytes"]));
    assert_eq!(settings.encryption, kms(KEY));
}

#[test]
fn records_say_whether_they_were_encrypted_when_they_were_written() {
    let mut world = World::with_shards(1);
    assert_eq!(world.put("key", "0").encryption_type, EncryptionType::None);
    world.call(StartStreamEncryption::new(STREAM, KEY)).unwrap();
    let batch = |data: [&'static str; 2]| PutRecords::new(STREAM, data.map(|data| PutRecordsEntry::new("key", data)));
    let put = world.call(batch(["1", "2"])).unwrap();
    assert_eq!(put.encryption_type, EncryptionType::Kms);
    world.call(StopStreamEncryption::new(STREAM, KEY)).unwrap();
    assert_eq!(
        world.call(batch(["3", "4"])).unwrap().encryption_type,
        EncryptionType::None
    );
    world.call(StartStreamEncryption::new(STREAM, KEY)).unwrap();
    assert_eq!(world.put("key", "5").encryption_type, EncryptionType::Kms);

    let read = world.read_from(GetShardIterator::trim_horizon(STREAM, FIRST));
    assert_eq!(data(&read), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(read.encrypted, [1..3, 5..6]);
    let from_second = read.records[2].sequence_number.as_str();
    let read = world.read_from(GetShardIterator::at(STREAM, FIRST, from_second));
    assert_eq!(data(&read)[0], "2");
    assert_eq!(read.encrypted, [0..1, 3..4]);
}

#[test]
fn encryption_needs_a_key_and_its_only_type() {
    let mut world = World::with_shards(1);
    let mut start = StartStreamEncryption::new(STREAM, KEY);
    start.encryption_type = Some("NONE".to_owned());
    assert_kind(world.call(start.clone()), ErrorKind::InvalidArgument);
    start.encryption_type = Some("AES".to_owned());
    start.key_id = None;
    assert_refused(
        world.call(start),
        ErrorKind::Validation,
        "2 validation errors detected: Value 'AES' at 'encryptionType' failed to satisfy constraint: Member must satisfy \
         enum value set: [NONE, KMS]; Value null at 'keyId' failed to satisfy constraint: Member must not be null",
    );
    assert_kind(
        world.call(StopStreamEncryption::new(STREAM, "k".repeat(2049))),
        ErrorKind::Validation,
    );
    assert_kind(
        world.call(StopStreamEncryption::new("none", KEY)),
        ErrorKind::ResourceNotFound,
    );
}

#[test]
fn keys_are_given_and_taken_twenty_five_times_a_day_if_limits_are_kept() {
    let config = EngineConfig {
        limits: Limits::Aws,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 1);
    for _ in 0..25 {
        world.pass(Duration::from_secs(1));
        world.call(StartStreamEncryption::new(STREAM, KEY)).unwrap();
        world.call(StopStreamEncryption::new(STREAM, KEY)).unwrap();
    }
    world.pass(Duration::from_secs(1));
    let start = StartStreamEncryption::new(STREAM, KEY);
    assert_kind(world.call(start.clone()), ErrorKind::LimitExceeded);
    assert_kind(
        world.call(StopStreamEncryption::new(STREAM, KEY)),
        ErrorKind::LimitExceeded,
    );
    world.pass(Duration::from_hours(24));
    world.call(start).unwrap();
}

#[test]
fn metrics_are_enabled_and_disabled_one_by_one_or_all_together() {
    let mut world = World::with_shards(1);
    let some = ["OutgoingBytes", "IncomingRecords"];
    let enabled = world.call(EnableEnhancedMonitoring::new(STREAM, some)).unwrap();
    assert_eq!(enabled.stream_name.as_str(), STREAM);
    assert_eq!(
        enabled.stream_arn,
        "arn:aws:kinesis:us-east-1:000000000000:stream/rides"
    );
    assert_eq!(enabled.current_shard_level_metrics, metrics(&[]));
    assert_eq!(enabled.desired_shard_level_metrics, metrics(&some));
    let all = world.call(EnableEnhancedMonitoring::new(STREAM, ["ALL"])).unwrap();
    assert_eq!(all.current_shard_level_metrics, metrics(&some));
    assert_eq!(all.desired_shard_level_metrics.len(), 7);
    let fewer = world.call(DisableEnhancedMonitoring::new(STREAM, some)).unwrap();
    assert_eq!(fewer.desired_shard_level_metrics.len(), 5);
    assert_eq!(
        described(&mut world).0.shard_level_metrics,
        fewer.desired_shard_level_metrics
    );
    let none = world.call(DisableEnhancedMonitoring::new(STREAM, ["ALL"])).unwrap();
    assert_eq!(none.desired_shard_level_metrics, metrics(&[]));
    assert_eq!(described(&mut world).0.shard_level_metrics, metrics(&[]));
}

#[test]
fn metrics_that_change_nothing_do_not_update_the_stream() {
    let mut world = slow();
    world
        .call(DisableEnhancedMonitoring::new(STREAM, ["IncomingBytes"]))
        .unwrap();
    assert_eq!(described(&mut world).1, StreamStatus::Active);
}

#[test]
fn metrics_that_there_are_not_are_refused() {
    let mut world = World::with_shards(1);
    assert_refused(
        world.call(EnableEnhancedMonitoring::new(STREAM, ["ALL", "Everything"])),
        ErrorKind::Validation,
        "1 validation error detected: Value '[ALL, Everything]' at 'shardLevelMetrics' failed to satisfy constraint: \
         Member must satisfy constraint: [Member must satisfy enum value set: [IncomingBytes, IncomingRecords, \
         OutgoingBytes, OutgoingRecords, WriteProvisionedThroughputExceeded, ReadProvisionedThroughputExceeded, \
         IteratorAgeMilliseconds, ALL]]",
    );
    for names in [vec![], vec!["ALL"; 8]] {
        assert_kind(
            world.call(DisableEnhancedMonitoring::new(STREAM, names)),
            ErrorKind::Validation,
        );
    }
    assert_kind(world.call(DisableEnhancedMonitoring::default()), ErrorKind::Validation);
}
