//! What a worker emits of KCL's metrics: to the broker's CloudWatch, on virtual time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
use kcl_broker::{
    Broker,
    api::{CreateStream, PutRecord},
    cloudwatch::MetricDatum,
    trouble::Fault,
};
use kcl_checkpoint::MemoryLeaseStore;
use kcl_core::{ApplicationName, Batch, StreamName, WorkerId};
use kcl_runtime::{
    KinesisSource, Worker,
    kcl_metrics::{CloudWatchSink, KclMetrics, MetricsLevel},
};

fn credentials() -> Credentials {
    Credentials::new("any", "any", None, None, "test")
}

fn sink(broker: &Broker) -> CloudWatchSink {
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials())
        .endpoint_url("http://monitoring.local")
        .http_client(broker.http_client());
    CloudWatchSink::new(aws_sdk_cloudwatch::Client::from_conf(config.build()))
}

fn source(broker: &Broker) -> KinesisSource {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials())
        .endpoint_url("http://kinesis.local")
        .http_client(broker.http_client());
    let client = aws_sdk_kinesis::Client::from_conf(config.build());
    KinesisSource::new(client, StreamName::new("rides").unwrap())
}

/// Reads 100 records of two shards and stops after `time`; the first call to the handler fails.
async fn consume(broker: &Broker, metrics: KclMetrics, time: Duration) {
    broker.call(CreateStream::new("rides", 2)).unwrap();
    for number in 0..100 {
        let put = PutRecord::new("rides", format!("{number}"), "0123456789");
        broker.call(put).unwrap();
    }
    let failed = std::sync::atomic::AtomicBool::new(false);
    let worker = Worker::builder(
        ApplicationName::new("billing").unwrap(),
        source(broker),
        Arc::new(MemoryLeaseStore::new()),
    )
    .worker_id(WorkerId::new("w1").unwrap())
    .kcl_metrics(metrics)
    .function(move |_: Batch| {
        let fails = !failed.swap(true, std::sync::atomic::Ordering::Relaxed);
        async move { if fails { Err("first") } else { Ok(()) } }
    })
    .build()
    .unwrap();
    worker.run_until(tokio::time::sleep(time)).await.unwrap();
}

/// The sums by operation and name, over all shards and times.
fn sums(data: &[Arc<MetricDatum>]) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for datum in data {
        let operation = datum.dimensions.get("Operation").map_or("", String::as_str);
        *sums.entry(format!("{operation} {}", datum.metric_name)).or_default() += datum.statistics.sum;
    }
    sums
}

#[tokio::test(start_paused = true)]
async fn given_a_worker_when_it_reads_then_javas_dashboards_see_what_it_did() {
    let broker = Broker::new();
    consume(&broker, KclMetrics::new(sink(&broker)), Duration::from_secs(25)).await;
    let data = broker.metric_data();
    assert!(data.iter().all(|datum| datum.namespace == "billing"));
    let sums = sums(&data);
    for (name, sum) in [
        ("ProcessTask RecordsProcessed", 100.0),
        ("TakeLeases TakenLeases", 2.0),
        ("TakeLeases TakeLease.Success", 2.0),
        ("ShardSyncTask CreateLease.Success", 2.0),
    ] {
        assert_eq!(sums.get(name), Some(&sum), "{name}: {sums:?}");
    }
    assert!(sums["ProcessTask DataBytesProcessed"] > 1_000.0);
    assert!(sums["RenewAllLeases RenewLease.Success"] >= 4.0);
    assert!(!sums.contains_key("RenewAllLeases LostLeases"));
    let of = |name: &'static str| data.iter().filter(move |datum| datum.metric_name == name);
    for datum in of("MillisBehindLatest") {
        assert_eq!(datum.unit, "Milliseconds");
    }
    for datum in of("RecordsProcessed") {
        let names: Vec<&String> = datum.dimensions.keys().collect();
        assert_eq!(names, ["Operation", "ShardId"]);
    }
    assert!(of("CurrentLeases").all(|datum| datum.dimensions["WorkerIdentifier"] == "w1"));
    assert!(of("NumWorkers").any(|datum| datum.statistics.maximum == 1.0));
    // A call that failed counts, and its batch comes again.
    let success = of("Success").filter(|datum| datum.dimensions["Operation"] == "ProcessTask");
    assert!(success.map(|datum| datum.statistics.minimum).fold(1.0, f64::min) == 0.0);
}

#[tokio::test(start_paused = true)]
async fn given_cloudwatch_that_is_away_when_a_worker_reads_then_it_goes_on_and_what_it_did_comes_later() {
    let broker = Broker::new();
    broker
        .trouble()
        .add(Fault::unavailable().on("CloudWatch.PutMetricData").times(5))
        .unwrap();
    let metrics = KclMetrics::new(sink(&broker)).level(MetricsLevel::Summary);
    consume(&broker, metrics, Duration::from_secs(45)).await;
    let sums = sums(&broker.metric_data());
    assert_eq!(sums["ProcessTask RecordsProcessed"], 100.0);
    assert!(sums.keys().all(|name| !name.contains("RenewLease")), "{sums:?}");
}
