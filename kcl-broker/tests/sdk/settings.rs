//! Settings of streams and of the account, as an SDK sees them.

use std::time::Duration;

use aws_sdk_kinesis::{
    operation::describe_stream_summary::DescribeStreamSummaryOutput,
    primitives::Blob,
    types::{
        EncryptionType, MetricsName, MinimumThroughputBillingCommitmentInput,
        MinimumThroughputBillingCommitmentInputStatus as Wanted,
        MinimumThroughputBillingCommitmentOutputStatus as Status, PutRecordsRequestEntry, ShardIteratorType,
    },
};

use crate::doors::World;

const STREAM: &str = "rides";
const KEY: &str = "alias/aws/kinesis";

async fn create(world: &World) {
    let create = world.client().create_stream().stream_name(STREAM).shard_count(1);
    create.send().await.unwrap();
}

async fn summary(world: &World) -> DescribeStreamSummaryOutput {
    let describe = world.client().describe_stream_summary().stream_name(STREAM);
    describe.send().await.unwrap()
}

pub(crate) async fn records_of_an_encrypted_stream_say_so(world: &World) {
    create(world).await;
    let client = world.client();
    let put = || {
        let put = client.put_record().stream_name(STREAM).partition_key("key");
        put.data(Blob::new("data")).send()
    };
    assert_eq!(put().await.unwrap().encryption_type(), None);
    let start = client.start_stream_encryption().stream_name(STREAM).key_id(KEY);
    start.encryption_type(EncryptionType::Kms).send().await.unwrap();
    let described = summary(world).await;
    let described = described.stream_description_summary().unwrap();
    assert_eq!(described.encryption_type(), Some(&EncryptionType::Kms));
    assert_eq!(described.key_id(), Some(KEY));
    assert_eq!(put().await.unwrap().encryption_type(), Some(&EncryptionType::Kms));
    let entry = PutRecordsRequestEntry::builder()
        .partition_key("key")
        .data(Blob::new("data"))
        .build()
        .unwrap();
    let batch = client.put_records().stream_name(STREAM).records(entry);
    assert_eq!(
        batch.send().await.unwrap().encryption_type(),
        Some(&EncryptionType::Kms)
    );
    let stop = client.stop_stream_encryption().stream_name(STREAM).key_id(KEY);
    stop.encryption_type(EncryptionType::Kms).send().await.unwrap();
    put().await.unwrap();

    let open = client
        .get_shard_iterator()
        .stream_name(STREAM)
        .shard_id("shardId-000000000000");
    let opened = open
        .shard_iterator_type(ShardIteratorType::TrimHorizon)
        .send()
        .await
        .unwrap();
    let read = client
        .get_records()
        .shard_iterator(opened.shard_iterator().unwrap())
        .send()
        .await
        .unwrap();
    let types: Vec<_> = read.records().iter().map(|record| record.encryption_type()).collect();
    let kms = Some(&EncryptionType::Kms);
    assert_eq!(types, [None, kms, kms, None]);
    let described = summary(world).await;
    let described = described.stream_description_summary().unwrap();
    assert_eq!(described.encryption_type(), Some(&EncryptionType::None));
    assert_eq!(described.key_id(), None);
}

pub(crate) async fn metrics_of_shards_are_enabled_and_disabled(world: &World) {
    create(world).await;
    let client = world.client();
    let enable = client.enable_enhanced_monitoring().stream_name(STREAM);
    let enabled = enable.shard_level_metrics(MetricsName::All).send().await.unwrap();
    assert_eq!(enabled.stream_name(), Some(STREAM));
    assert_eq!(enabled.current_shard_level_metrics(), []);
    assert_eq!(enabled.desired_shard_level_metrics().len(), 7);
    let disable = client.disable_enhanced_monitoring().stream_name(STREAM);
    let kept = [MetricsName::IncomingBytes, MetricsName::IteratorAgeMilliseconds];
    let others = enabled.desired_shard_level_metrics().iter();
    let others = others.filter(|metric| !kept.contains(metric)).cloned().collect();
    let disabled = disable.set_shard_level_metrics(Some(others)).send().await.unwrap();
    assert_eq!(disabled.desired_shard_level_metrics(), kept);
    let described = summary(world).await;
    let monitoring = described.stream_description_summary().unwrap().enhanced_monitoring();
    assert_eq!(monitoring[0].shard_level_metrics(), kept);
}

pub(crate) async fn the_account_tells_its_limits_and_keeps_its_commitment(world: &World) {
    create(world).await;
    let client = world.client();
    let limits = client.describe_limits().send().await.unwrap();
    assert_eq!((limits.open_shard_count(), limits.shard_limit()), (1, 20_000));
    assert_eq!(
        (limits.on_demand_stream_count(), limits.on_demand_stream_count_limit()),
        (0, 50)
    );
    let set = |status| {
        let commitment = MinimumThroughputBillingCommitmentInput::builder().status(status);
        let update = client.update_account_settings();
        update.minimum_throughput_billing_commitment(commitment.build().unwrap())
    };
    set(Wanted::Enabled).send().await.unwrap();
    world.pass(Duration::from_hours(1));
    let answered = set(Wanted::Disabled).send().await.unwrap();
    let commitment = answered.minimum_throughput_billing_commitment().unwrap();
    assert_eq!(commitment.status(), &Status::EnabledUntilEarliestAllowedEnd);
    assert_eq!(
        commitment.earliest_allowed_end_at().unwrap().to_millis().unwrap(),
        1_357_034_400_250 + 86_400_000
    );
    world.pass(Duration::from_hours(23));
    let described = client.describe_account_settings().send().await.unwrap();
    let commitment = described.minimum_throughput_billing_commitment().unwrap();
    assert_eq!(commitment.status(), &Status::Disabled);
    assert!(commitment.ended_at().is_some());
}
