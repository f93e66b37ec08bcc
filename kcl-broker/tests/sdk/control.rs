//! What the owner of a stream changes, as an SDK sees it.

use std::time::Duration;

use aws_sdk_kinesis::{
    error::ProvideErrorMetadata as _,
    primitives::Blob,
    types::{
        MinimumThroughputBillingCommitmentInput, MinimumThroughputBillingCommitmentInputStatus,
        RecordDistributionStrategy, ScalingType, ShardIteratorType, StreamDescriptionSummary, StreamMode,
        StreamModeDetails, StreamStatus,
    },
};

use crate::doors::World;

const STREAM: &str = "rides";
const FIRST: &str = "shardId-000000000000";

async fn create(world: &World, shards: i32) -> StreamDescriptionSummary {
    let create = world.client().create_stream().stream_name(STREAM).shard_count(shards);
    create.send().await.unwrap();
    summary(world).await
}

async fn summary(world: &World) -> StreamDescriptionSummary {
    let described = world.client().describe_stream_summary().stream_name(STREAM);
    let described = described.send().await.unwrap();
    described.stream_description_summary().unwrap().clone()
}

async fn set_mode(world: &World, arn: &str, mode: StreamMode) {
    let details = StreamModeDetails::builder().stream_mode(mode).build().unwrap();
    let update = world.client().update_stream_mode().stream_arn(arn);
    update.stream_mode_details(details).send().await.unwrap();
}

async fn put(world: &World, key: Option<&str>) -> String {
    let put = world.client().put_record().stream_name(STREAM).data(Blob::new("data"));
    let put = put.set_partition_key(key.map(str::to_owned));
    put.send().await.unwrap().shard_id().to_owned()
}

pub(crate) async fn a_stream_gets_the_shards_that_it_is_to_have(world: &World) {
    create(world, 2).await;
    let scale = |target| {
        let update = world.client().update_shard_count().stream_name(STREAM);
        update
            .target_shard_count(target)
            .scaling_type(ScalingType::UniformScaling)
            .send()
    };
    let scaled = scale(3).await.unwrap();
    assert_eq!(
        (scaled.current_shard_count(), scaled.target_shard_count()),
        (Some(2), Some(3))
    );
    assert_eq!(scaled.stream_name(), Some(STREAM));
    let described = summary(world).await;
    assert_eq!(described.open_shard_count(), 3);
    assert_eq!(described.stream_status(), &StreamStatus::Active);
    let refused = scale(7).await.unwrap_err().into_service_error();
    assert!(refused.is_limit_exceeded_exception());
}

pub(crate) async fn records_leave_with_a_shorter_retention(world: &World) {
    let client = world.client();
    create(world, 1).await;
    let longer = client.increase_stream_retention_period().stream_name(STREAM);
    longer.retention_period_hours(48).send().await.unwrap();
    assert_eq!(summary(world).await.retention_period_hours(), 48);
    put(world, Some("key")).await;
    world.pass(Duration::from_hours(30));
    let read = || async {
        let open = client.get_shard_iterator().stream_name(STREAM).shard_id(FIRST);
        let open = open.shard_iterator_type(ShardIteratorType::TrimHorizon);
        let opened = open.send().await.unwrap();
        let read = client
            .get_records()
            .set_shard_iterator(opened.shard_iterator)
            .send()
            .await;
        read.unwrap().records().len()
    };
    assert_eq!(read().await, 1);
    let less_long = client.decrease_stream_retention_period().stream_name(STREAM);
    less_long.retention_period_hours(24).send().await.unwrap();
    assert_eq!(read().await, 0);
}

pub(crate) async fn a_stream_that_spreads_its_records_needs_no_keys(world: &World) {
    let client = world.client();
    let arn = create(world, 4).await.stream_arn().to_owned();
    assert_eq!(summary(world).await.record_distribution_strategy(), None);
    set_mode(world, &arn, StreamMode::OnDemand).await;
    let change = client.update_stream_record_distribution_strategy().stream_arn(&arn);
    let change = change.record_distribution_strategy(RecordDistributionStrategy::Auto);
    change.send().await.unwrap();
    let described = summary(world).await;
    assert_eq!(
        described.record_distribution_strategy(),
        Some(&RecordDistributionStrategy::Auto)
    );
    assert_eq!(
        described.stream_mode_details().map(StreamModeDetails::stream_mode),
        Some(&StreamMode::OnDemand)
    );

    let (with, without) = (put(world, Some("key")).await, put(world, None).await);
    assert_ne!(with, without);
    for (shard, key) in [(with, Some("key")), (without, None)] {
        let open = client.get_shard_iterator().stream_name(STREAM).shard_id(shard);
        let open = open.shard_iterator_type(ShardIteratorType::TrimHorizon);
        let opened = open.send().await.unwrap();
        let read = client
            .get_records()
            .set_shard_iterator(opened.shard_iterator)
            .send()
            .await;
        assert_eq!(read.unwrap().records()[0].partition_key(), key);
    }
}

pub(crate) async fn a_stream_is_warmed_up_by_an_account_that_pays_for_it(world: &World) {
    let client = world.client();
    let arn = create(world, 1).await.stream_arn().to_owned();
    set_mode(world, &arn, StreamMode::OnDemand).await;
    let warm_up = || {
        let update = client.update_stream_warm_throughput().stream_name(STREAM);
        update.warm_throughput_mibps(10).send()
    };
    let refused = warm_up().await.unwrap_err().into_service_error();
    assert!(refused.is_invalid_argument_exception());
    assert!(summary(world).await.warm_throughput().is_none());

    let commitment = MinimumThroughputBillingCommitmentInput::builder()
        .status(MinimumThroughputBillingCommitmentInputStatus::Enabled)
        .build();
    let update = client.update_account_settings();
    update
        .minimum_throughput_billing_commitment(commitment.unwrap())
        .send()
        .await
        .unwrap();
    let warmed = warm_up().await.unwrap();
    let warm = warmed.warm_throughput().unwrap();
    assert_eq!((warm.current_mibps(), warm.target_mibps()), (Some(1), Some(10)));
    let described = summary(world).await;
    assert_eq!(described.warm_throughput().unwrap().current_mibps(), Some(10));
    assert_eq!(described.open_shard_count(), 10);
}

pub(crate) async fn a_stream_takes_records_as_large_as_it_is_told_to(world: &World) {
    let client = world.client();
    let arn = create(world, 1).await.stream_arn().to_owned();
    let large = || {
        let put = client.put_record().stream_name(STREAM).partition_key("key");
        put.data(Blob::new(vec![0; 2 << 20])).send()
    };
    assert!(large().await.is_err());
    let update = client.update_max_record_size().stream_arn(arn);
    update.max_record_size_in_kib(4096).send().await.unwrap();
    assert_eq!(summary(world).await.max_record_size_in_kib(), Some(4096));
    large().await.unwrap();
}

pub(crate) async fn what_is_only_tried_has_no_effect(world: &World) {
    let client = world.client();
    create(world, 1).await;
    let put = client.put_record().stream_name(STREAM).partition_key("key");
    let tried = put.data(Blob::new("data")).dry_run(true).send().await;
    assert_eq!(tried.unwrap_err().code(), Some("DryRunOperationException"));
    assert_eq!(world.broker().stored_bytes(), 0);
}
