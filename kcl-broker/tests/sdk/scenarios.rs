use std::time::Duration;

use aws_sdk_kinesis::{
    error::ProvideErrorMetadata,
    operation::get_records::GetRecordsOutput,
    primitives::Blob,
    types::{PutRecordsRequestEntry, Record, ShardFilter, ShardFilterType, ShardIteratorType},
};
use kcl_core::HashKey;

use crate::doors::World;

const STREAM: &str = "rides";
const MIDDLE: u128 = 1 << 127;

async fn create(world: &World, shards: i32) {
    world
        .client()
        .create_stream()
        .stream_name(STREAM)
        .shard_count(shards)
        .send()
        .await
        .unwrap();
}

async fn put(world: &World, key: &str, data: &str) -> String {
    let put = world
        .client()
        .put_record()
        .stream_name(STREAM)
        .partition_key(key)
        .data(Blob::new(data));
    put.send().await.unwrap().shard_id().to_owned()
}

async fn open(world: &World, shard: &str) -> String {
    let open = world.client().get_shard_iterator().stream_name(STREAM).shard_id(shard);
    let opened = open
        .shard_iterator_type(ShardIteratorType::TrimHorizon)
        .send()
        .await
        .unwrap();
    opened.shard_iterator().unwrap().to_owned()
}

async fn read(world: &World, iterator: &str) -> GetRecordsOutput {
    world
        .client()
        .get_records()
        .shard_iterator(iterator)
        .send()
        .await
        .unwrap()
}

fn entry(key: &str, data: impl Into<Vec<u8>>) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder()
        .partition_key(key)
        .data(Blob::new(data))
        .build()
        .unwrap()
}

fn text(record: &Record) -> &str {
    str::from_utf8(record.data().as_ref()).unwrap()
}

fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(answer: Result<T, E>) -> String {
    answer.unwrap_err().code().unwrap().to_owned()
}

pub(crate) async fn records_come_back_in_order_from_the_shard_that_their_key_points_to(world: &World) {
    create(world, 2).await;
    let mut expected = [Vec::new(), Vec::new()];
    for i in 0..20 {
        let key = format!("key-{i}");
        let upper = HashKey::of_partition_key(&key) >= HashKey(MIDDLE);
        let shard = put(world, &key, &i.to_string()).await;
        assert_eq!(shard, format!("shardId-{:012}", u8::from(upper)));
        expected[usize::from(upper)].push(i.to_string());
    }
    for (shard, expected) in ["shardId-000000000000", "shardId-000000000001"]
        .into_iter()
        .zip(expected)
    {
        let read = read(world, &open(world, shard).await).await;
        assert_eq!(read.records().iter().map(text).collect::<Vec<_>>(), expected);
        assert!(
            read.records()
                .windows(2)
                .all(|pair| pair[0].sequence_number() < pair[1].sequence_number())
        );
        assert_eq!(
            read.records()[0]
                .approximate_arrival_timestamp()
                .unwrap()
                .to_millis()
                .unwrap(),
            1_357_034_400_250
        );
        assert_eq!(read.millis_behind_latest(), Some(0));
        assert!(read.next_shard_iterator().is_some());
    }
}

pub(crate) async fn a_split_shard_drains_to_its_end_and_names_its_children(world: &World) {
    create(world, 1).await;
    for i in 0..3 {
        put(world, "key", &i.to_string()).await;
    }
    let split = world
        .client()
        .split_shard()
        .stream_name(STREAM)
        .shard_to_split("shardId-000000000000");
    split.new_starting_hash_key(MIDDLE.to_string()).send().await.unwrap();
    let mut iterator = Some(open(world, "shardId-000000000000").await);
    let mut drained = Vec::new();
    let mut children = Vec::new();
    while let Some(current) = iterator {
        let read = world
            .client()
            .get_records()
            .shard_iterator(current)
            .limit(2)
            .send()
            .await
            .unwrap();
        assert_eq!(read.next_shard_iterator().is_none(), !read.child_shards().is_empty());
        drained.extend(read.records().iter().map(|record| text(record).to_owned()));
        children.extend_from_slice(read.child_shards());
        iterator = read.next_shard_iterator().map(ToOwned::to_owned);
    }
    assert_eq!(drained, ["0", "1", "2"]);
    let ids: Vec<_> = children.iter().map(|child| child.shard_id()).collect();
    assert_eq!(ids, ["shardId-000000000001", "shardId-000000000002"]);
    assert_eq!(children[0].parent_shards(), ["shardId-000000000000"]);
    let upper = children[1].hash_key_range().unwrap();
    assert_eq!(
        (upper.starting_hash_key(), upper.ending_hash_key()),
        (&*MIDDLE.to_string(), &*u128::MAX.to_string())
    );
}

pub(crate) async fn merged_shards_name_one_child_with_both_as_parents(world: &World) {
    create(world, 2).await;
    let merge = world
        .client()
        .merge_shards()
        .stream_name(STREAM)
        .shard_to_merge("shardId-000000000000");
    merge
        .adjacent_shard_to_merge("shardId-000000000001")
        .send()
        .await
        .unwrap();
    let end = read(world, &open(world, "shardId-000000000001").await).await;
    assert_eq!(end.next_shard_iterator(), None);
    let parents = end.child_shards()[0].parent_shards();
    assert_eq!(parents, ["shardId-000000000000", "shardId-000000000001"]);
}

pub(crate) async fn listings_go_on_page_by_page(world: &World) {
    create(world, 5).await;
    let first = world
        .client()
        .list_shards()
        .stream_name(STREAM)
        .max_results(3)
        .send()
        .await
        .unwrap();
    assert_eq!(first.shards().len(), 3);
    let token = first.next_token().unwrap();
    let rest = world.client().list_shards().next_token(token).send().await.unwrap();
    assert_eq!((rest.shards().len(), rest.next_token()), (2, None));
    let open = ShardFilter::builder()
        .r#type(ShardFilterType::AtLatest)
        .build()
        .unwrap();
    let open = world
        .client()
        .list_shards()
        .stream_name(STREAM)
        .shard_filter(open)
        .send()
        .await
        .unwrap();
    assert_eq!(open.shards().len(), 5);
    let described = world
        .client()
        .describe_stream_summary()
        .stream_name(STREAM)
        .send()
        .await
        .unwrap();
    assert_eq!(described.stream_description_summary().unwrap().open_shard_count(), 5);
}

pub(crate) async fn an_iterator_expires_after_five_minutes(world: &World) {
    create(world, 1).await;
    let iterator = open(world, "shardId-000000000000").await;
    world.pass(Duration::from_secs(300));
    read(world, &iterator).await;
    world.pass(Duration::from_millis(1));
    let expired = world.client().get_records().shard_iterator(iterator).send().await;
    assert!(
        expired
            .unwrap_err()
            .into_service_error()
            .is_expired_iterator_exception()
    );
}

pub(crate) async fn a_stream_that_is_not_there_is_not_found(world: &World) {
    let described = world
        .client()
        .describe_stream_summary()
        .stream_name("none")
        .send()
        .await;
    assert!(
        described
            .unwrap_err()
            .into_service_error()
            .is_resource_not_found_exception()
    );
    let put = world
        .client()
        .put_record()
        .stream_name("none")
        .partition_key("k")
        .data(Blob::new("d"))
        .send()
        .await;
    assert_eq!(
        put.as_ref().unwrap_err().message(),
        Some("Stream none under account 000000000000 not found.")
    );
    assert_eq!(code(put), "ResourceNotFoundException");
}

pub(crate) async fn a_deleted_stream_is_gone_with_its_iterators(world: &World) {
    create(world, 1).await;
    let iterator = open(world, "shardId-000000000000").await;
    world.client().delete_stream().stream_name(STREAM).send().await.unwrap();
    let read = world.client().get_records().shard_iterator(&iterator).send().await;
    assert_eq!(code(read), "ResourceNotFoundException");
    create(world, 1).await;
    let read = world.client().get_records().shard_iterator(&iterator).send().await;
    assert!(read.unwrap_err().into_service_error().is_invalid_argument_exception());
}

pub(crate) async fn a_record_that_is_too_large_is_refused_and_nothing_of_its_request_is_written(world: &World) {
    create(world, 1).await;
    let records = [entry("small", "data"), entry("large", vec![0; 1 << 20])];
    let put = world
        .client()
        .put_records()
        .stream_name(STREAM)
        .set_records(Some(records.into()))
        .send()
        .await;
    assert_eq!(code(put), "ValidationException");
    let read = read(world, &open(world, "shardId-000000000000").await).await;
    assert!(read.records().is_empty());
}

pub(crate) async fn a_full_request_of_ten_mebibytes_passes(world: &World) {
    create(world, 1).await;
    let records = (0..10).map(|_| entry("key", vec![255; (1 << 20) - 3])).collect();
    let put = world
        .client()
        .put_records()
        .stream_name(STREAM)
        .set_records(Some(records))
        .send()
        .await
        .unwrap();
    assert_eq!((put.failed_record_count(), put.records().len()), (Some(0), 10));
    let read = read(world, &open(world, "shardId-000000000000").await).await;
    assert_eq!(read.records().len(), 10);
    assert!(
        read.records()
            .iter()
            .all(|record| record.data().as_ref().iter().all(|byte| *byte == 255))
    );
}
