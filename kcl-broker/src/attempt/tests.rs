use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use http::Request;

use super::*;
use crate::{
    ErrorKind,
    api::{
        CreateStream, GetRecords, GetShardIterator, ListShards, ListStreams, MergeShards, PutRecord, PutRecords,
        PutRecordsEntry, RegisterStreamConsumer, SplitShard, StartingPosition, SubscribeToShard,
    },
    operations_log::OperationFilter,
    trouble::Fault,
    wire::{self, Peer},
};

const FIRST: &str = "shardId-000000000000";
const SECOND: &str = "shardId-000000000001";

fn broker(shards: i32) -> Broker {
    let broker = Broker::new();
    broker.call(CreateStream::new("s", shards)).unwrap();
    broker
}

fn plan(broker: &Broker, fault: Fault) {
    broker.trouble().add(fault).unwrap();
}

fn put(broker: &Broker) -> Result<(), ErrorKind> {
    let put = broker.call(PutRecord::new("s", "key", "data"));
    put.map(|_| ()).map_err(|error| error.kind())
}

#[test]
fn typed_calls_meet_what_needs_no_connection() {
    let broker = broker(1);
    for fault in [
        Fault::latency(Duration::from_hours(1)),
        Fault::drop_request(),
        Fault::drop_answer(),
    ] {
        plan(&broker, fault);
    }
    put(&broker).unwrap();
    assert!(broker.trouble().list().iter().all(|fault| fault.matched == 0));
    for (fault, kind) in [
        (Fault::throttle(), ErrorKind::ProvisionedThroughputExceeded),
        (Fault::internal_error(), ErrorKind::InternalFailure),
        (Fault::unavailable(), ErrorKind::ServiceUnavailable),
    ] {
        plan(&broker, fault.times(1));
        assert_eq!(put(&broker), Err(kind));
        put(&broker).unwrap();
    }
}

#[test]
fn typed_reads_and_listings_go_wrong_as_over_http() {
    let broker = broker(1);
    let open = || broker.call(GetShardIterator::trim_horizon("s", FIRST)).unwrap();
    let read = || broker.call(GetRecords::new(open().shard_iterator));
    plan(&broker, Fault::expired_iterator().times(1));
    assert_eq!(read().unwrap_err().kind(), ErrorKind::ExpiredIterator);
    plan(&broker, Fault::null_iterator().times(1));
    assert_eq!(read().unwrap().next_shard_iterator, None);
    assert!(read().unwrap().next_shard_iterator.is_some());
    broker
        .call(SplitShard::new("s", FIRST, kcl_core::HashKey(1 << 127)))
        .unwrap();
    plan(&broker, Fault::stale_shards(Duration::from_secs(60)).times(1));
    let listed = || broker.call(ListShards::new("s")).unwrap().shards;
    assert!(matches!(&listed()[..], [only] if only.is_open()));
    assert_eq!(listed().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn typed_subscriptions_end_where_connections_are_cut() {
    let broker = broker(1);
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let consumer = broker.call(RegisterStreamConsumer::new(arn, "c")).unwrap().consumer;
    let subscribe = || {
        let start = StartingPosition::trim_horizon();
        broker.subscribe(SubscribeToShard::new(consumer.consumer_arn.clone(), FIRST, start))
    };
    put(&broker).unwrap();
    plan(&broker, Fault::resource_in_use().times(1));
    assert_eq!(subscribe().unwrap_err().kind(), ErrorKind::ResourceInUse);
    plan(&broker, Fault::disconnect(1).times(1));
    let mut cut = subscribe().unwrap();
    assert_eq!(cut.next().await.unwrap().unwrap().records.len(), 1);
    assert!(cut.next().await.is_none());
}

#[test]
fn a_shard_is_found_by_the_keys_of_records_and_by_either_parent() {
    let broker = broker(2);
    plan(&broker, Fault::unavailable().shard(SECOND));
    let at = |explicit: &str| PutRecord {
        explicit_hash_key: Some(explicit.to_owned()),
        ..PutRecord::new("s", "key", "data")
    };
    broker.call(at("0")).unwrap();
    broker.call(at(&u128::MAX.to_string())).unwrap_err();
    let keyed = |key: &str| broker.call(PutRecord::new("s", key.to_owned(), "data"));
    let upper = |key: &str| kcl_core::HashKey::of_partition_key(key) >= kcl_core::HashKey(1 << 127);
    for key in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(keyed(key).is_err(), upper(key), "{key}");
    }
    let entry = |explicit: &str| PutRecordsEntry {
        explicit_hash_key: Some(explicit.to_owned()),
        ..PutRecordsEntry::new("key", "data")
    };
    broker.call(PutRecords::new("s", [entry("0"), entry("1")])).unwrap();
    broker
        .call(PutRecords::new("s", [entry("0"), entry(&u128::MAX.to_string())]))
        .unwrap_err();
    broker.call(MergeShards::new("s", FIRST, SECOND)).unwrap_err();
}

#[test]
fn the_log_says_which_shard_took_what_was_put() {
    let broker = broker(2);
    let entry = |explicit: &str| PutRecordsEntry {
        explicit_hash_key: Some(explicit.into()),
        ..PutRecordsEntry::new("key", "data")
    };
    let (low, high) = ("0", "340282366920938463463374607431768211455");
    broker.call(PutRecord::new("s", "key", "data")).unwrap();
    for entries in [vec![entry(high), entry(high)], vec![entry(low), entry(high)]] {
        broker.call(PutRecords::new("s", entries)).unwrap();
    }
    let entries = broker.operations().entries(&OperationFilter::default());
    let shards = |operation: &str| -> Vec<Option<String>> {
        let of = entries.iter().filter(|entry| entry.operation == operation);
        of.map(|entry| entry.shard.clone()).collect()
    };
    let took = shards("PutRecord").remove(0).unwrap();
    assert!(took.starts_with("shardId-"), "{took}");
    let second = Some("shardId-000000000001".to_owned());
    let mut batches = shards("PutRecords");
    batches.sort();
    assert_eq!(batches, [None, second], "several shards are none");
}

#[test]
fn the_log_keeps_the_last_calls_and_counts_all() {
    let broker = Broker::builder().operations_max(3).build();
    for _ in 0..5 {
        broker.call(ListStreams::default()).unwrap();
    }
    let log = broker.operations();
    let serials = |filter| {
        log.entries(&filter)
            .iter()
            .map(|entry| entry.serial)
            .collect::<Vec<_>>()
    };
    assert_eq!(serials(OperationFilter::default()), [3, 4, 5]);
    assert_eq!(serials(OperationFilter::default().after(4)), [5]);
    assert_eq!(serials(OperationFilter::default().last(2)), [4, 5]);
    assert_eq!((log.counts()["ListStreams"].calls, log.last_serial()), (5, 5));

    let broker = Broker::builder().operations_max(0).build();
    broker.call(ListStreams::default()).unwrap();
    assert!(broker.operations().entries(&OperationFilter::default()).is_empty());
    assert!(broker.operations().counts().is_empty() && !broker.operations().is_on());
    plan(&broker, Fault::unavailable());
    broker.call(ListStreams::default()).unwrap_err();
}

#[test]
fn untroubled_calls_meet_nothing_and_leave_no_trace() {
    let broker = broker(1);
    plan(&broker, Fault::unavailable());
    let before = broker.operations().last_serial();
    put(&broker.untroubled()).unwrap();
    assert_eq!(broker.operations().last_serial(), before);
    assert_eq!(broker.trouble().list()[0].matched, 0);
}

/// Sends a request as clients do, and gives the status.
async fn post(broker: &Broker, target: &str, body: &str) -> Result<u16, Cut> {
    let request = Request::builder()
        .method("POST")
        .header("x-amz-target", target)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-date", "20130101T000000Z")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=KEY/20130101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=a",
        );
    let (head, ()) = request.body(()).unwrap().into_parts();
    let answer = wire::respond(broker, Peer::InProcess, &head, body.as_bytes()).await?;
    Ok(answer.status().as_u16())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_says_how_long_it_did() {
    // A clock that is a second later whenever somebody looks.
    let looks = AtomicI64::new(0);
    let clock = move || kcl_core::Timestamp::from_epoch_millis(1000 * looks.fetch_add(1, Ordering::Relaxed));
    let broker = Broker::builder().clock(Arc::new(clock)).build();
    plan(&broker, Fault::latency(Duration::from_hours(1)).times(1));
    for (at, waited) in [(1000, 1000), (2000, 0)] {
        assert_eq!(post(&broker, "Kinesis_20131202.ListStreams", "{}").await.unwrap(), 200);
        let last = broker
            .operations()
            .entries(&OperationFilter::default().last(1))
            .remove(0);
        assert_eq!((last.at.epoch_millis(), last.waited_ms), (at, waited));
    }
}

#[tokio::test]
async fn requests_that_are_none_are_logged_without_end_or_memory() {
    let broker = Broker::new();
    let long = "n".repeat(1000);
    for (target, body, operation, outcome) in [
        ("Kinesis_20131202.PutRecord", "{", "PutRecord", "SerializationException"),
        (
            "Kinesis_20131202.PutRecord",
            r#"{"Data": 3}"#,
            "PutRecord",
            "SerializationException",
        ),
        (
            "Kinesis_20131202.CreateQueue",
            "{}",
            "CreateQueue",
            "UnknownOperationException",
        ),
        (
            &format!("Kinesis_20131202.{long}"),
            "{}",
            &long[..255],
            "UnknownOperationException",
        ),
    ] {
        assert_eq!(post(&broker, target, body).await.unwrap(), 400);
        let last = broker
            .operations()
            .entries(&OperationFilter::default().last(1))
            .remove(0);
        assert_eq!(
            (&*last.operation, last.outcome),
            (operation, Outcome::error(outcome.to_owned()))
        );
        assert_eq!(last.caller.access_key_id.as_deref(), Some("KEY"));
    }
    let named = format!(r#"{{"StreamName": "{}"}}"#, "n".repeat(1000));
    post(&broker, "Kinesis_20131202.DescribeStream", &named).await.unwrap();
    let last = broker
        .operations()
        .entries(&OperationFilter::default().last(1))
        .remove(0);
    assert_eq!(last.stream.unwrap().len(), 255);
    let counts = broker.operations().counts();
    assert_eq!(
        (counts["(unknown)"].calls, counts["PutRecord"].errors, counts.len()),
        (2, 2, 3)
    );
}
