//! Sinks, and the way to them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use kcl_broker::Broker;
use kcl_core::{ApplicationName, ShardId, Timestamp, WorkerId, shard::ShardEvent};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{names, *};
use crate::clock::Clock;

const AT: Timestamp = Timestamp::from_epoch_millis(1_763_740_800_000);

fn recorder(metrics: &KclMetrics) -> Recorder {
    Recorder::new(metrics, &WorkerId::new("w1").unwrap())
}

fn shard(recorder: &Recorder, number: usize) -> ShardRecorder {
    recorder.of_shard(None, &ShardId::new(format!("shardId-{number:012}")).unwrap())
}

fn handled(records: usize) -> ShardEvent {
    ShardEvent::Handled { records, bytes: 10 }
}

/// Fails as it is told, and keeps what it takes.
#[derive(Clone, Debug, Default)]
struct Script {
    answers: Arc<Mutex<Vec<Answer>>>,
    taken: Arc<Mutex<Vec<Vec<MetricDatum>>>>,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Away,
    Refuse,
    Hang,
}

#[async_trait]
impl MetricSink for Script {
    async fn put(&self, namespace: &str, data: &[MetricDatum]) -> Result<(), SinkError> {
        assert_eq!(namespace, "billing");
        let answer = self.answers.lock().unwrap().pop();
        match answer {
            Some(Answer::Away) => Err(SinkError::retryable("away")),
            Some(Answer::Refuse) => Err(SinkError::refused("no such unit")),
            Some(Answer::Hang) => std::future::pending().await,
            None => {
                self.taken.lock().unwrap().push(data.to_vec());
                Ok(())
            }
        }
    }
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Self::default();
        script.answers.lock().unwrap().extend(answers);
        script
    }

    fn records(&self) -> f64 {
        let taken = self.taken.lock().unwrap();
        let data = taken.iter().flatten();
        data.filter(|datum| datum.name == "RecordsProcessed")
            .map(|datum| datum.statistics.sum)
            .sum()
    }
}

/// A reporter that runs, what it reports of, and its end.
fn start(metrics: KclMetrics) -> (Recorder, CancellationToken, tokio::task::JoinHandle<()>) {
    let recorder = recorder(&metrics);
    let application = ApplicationName::new("billing").unwrap();
    let reporter = Reporter::new(metrics, &application, recorder.clone(), Clock::start(Some(AT)));
    let stop = CancellationToken::new();
    let task = tokio::spawn(reporter.run(stop.clone()));
    (recorder, stop, task)
}

#[tokio::test(start_paused = true)]
async fn given_a_sink_when_values_come_then_it_gets_them_after_the_buffer_time_and_the_rest_at_the_end() {
    let sink = Script::default();
    let (recorder, stop, task) = start(KclMetrics::new(sink.clone()));
    shard(&recorder, 0).event(&handled(3));
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(sink.records(), 0.0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(sink.records(), 3.0);
    let at = sink.taken.lock().unwrap()[0][0].at;
    assert_eq!(at.epoch_millis(), AT.epoch_millis() + 10_000);
    shard(&recorder, 0).event(&handled(4));
    stop.cancel();
    task.await.unwrap();
    assert_eq!(sink.records(), 7.0);
}

#[tokio::test(start_paused = true)]
async fn given_a_sink_that_is_away_or_hangs_when_it_is_back_then_nothing_is_missing() {
    for trouble in [Answer::Away, Answer::Hang] {
        let sink = Script::of([trouble; 3]);
        let (recorder, stop, task) = start(KclMetrics::new(sink.clone()));
        for records in 1..=4 {
            shard(&recorder, 0).event(&handled(records));
            tokio::time::sleep(Duration::from_secs(41)).await;
        }
        assert_eq!(sink.records(), 10.0, "{trouble:?}");
        stop.cancel();
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn given_a_sink_that_refuses_data_or_is_away_for_long_when_there_is_no_room_then_the_oldest_are_dropped() {
    let refusing = Script::of([Answer::Refuse]);
    let (recorder, stop, task) = start(KclMetrics::new(refusing.clone()));
    shard(&recorder, 0).event(&handled(1));
    tokio::time::sleep(Duration::from_secs(11)).await;
    shard(&recorder, 0).event(&handled(2));
    stop.cancel();
    task.await.unwrap();
    assert_eq!(refusing.records(), 2.0);

    let away = Script::of([Answer::Away; 2]);
    // Each handled batch is three sets.
    let (recorder, stop, task) = start(KclMetrics::new(away.clone()).queue_max(6));
    for records in [1, 2, 4] {
        shard(&recorder, 0).event(&handled(records));
        tokio::time::sleep(Duration::from_secs(11)).await;
    }
    stop.cancel();
    task.await.unwrap();
    assert_eq!(away.records(), 6.0);
}

#[tokio::test(start_paused = true)]
async fn given_a_sink_that_hangs_when_the_worker_has_ended_then_it_waits_five_seconds_at_most() {
    let sink = Script::of([Answer::Hang; 2]);
    let (recorder, stop, task) = start(KclMetrics::new(sink));
    shard(&recorder, 0).event(&handled(1));
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(6), task)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn given_more_than_a_request_may_hold_when_put_then_it_comes_in_parts() {
    let sink = Script::default();
    let (recorder, stop, task) = start(KclMetrics::new(sink.clone()));
    for number in 0..400 {
        shard(&recorder, number).event(&handled(1));
    }
    stop.cancel();
    task.await.unwrap();
    let sizes: Vec<usize> = sink.taken.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (2, 1_200));
    assert!(sizes[0] <= 1_000, "{sizes:?}");
}

/// A writer that can be looked at.
#[derive(Clone, Debug, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn given_values_when_written_as_embedded_metrics_then_each_set_of_dimensions_is_a_line() {
    let written = Written::default();
    let metrics = KclMetrics::new(EmfSink::new(written.clone())).level(MetricsLevel::Summary);
    let recorder = recorder(&metrics);
    for records in [1, 2] {
        shard(&recorder, 0).event(&handled(records));
    }
    recorder.gauges(Duration::from_millis(1_500), 2);
    let (data, _) = recorder.take(AT);
    metrics.sink.put("billing", &data).await.unwrap();
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    let tracker = json!({
        "_aws": { "Timestamp": AT.epoch_millis(), "CloudWatchMetrics": [{
            "Namespace": "billing",
            "Dimensions": [["Operation"]],
            "Metrics": [{ "Name": "MillisBehindLatest", "Unit": "Milliseconds" }],
        }] },
        "Operation": "ApplicationTracker",
        "MillisBehindLatest": 1500.0,
    });
    assert_eq!(lines[0], tracker);
    let process = &lines[1];
    assert_eq!(process["ShardId"], "shardId-000000000000");
    let set = json!({ "Max": 2.0, "Min": 1.0, "Count": 2, "Sum": 3.0 });
    assert_eq!(process["RecordsProcessed"], set);
    assert_eq!(
        (&lines[2]["WorkerIdentifier"], &lines[2]["CurrentLeases"]),
        (&json!("w1"), &json!(2.0))
    );
}

#[tokio::test]
async fn given_values_when_put_to_cloudwatch_then_they_arrive_as_statistic_sets() {
    let broker = Broker::new();
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .endpoint_url("http://monitoring.local")
        .retry_config(RetryConfig::disabled())
        .http_client(broker.http_client());
    let metrics = KclMetrics::new(CloudWatchSink::new(aws_sdk_cloudwatch::Client::from_conf(
        config.build(),
    )));
    let recorder = recorder(&metrics);
    for records in [1, 2] {
        shard(&recorder, 0).event(&handled(records));
    }
    let (data, _) = recorder.take(Clock::start(None).wall());
    metrics.sink.put("billing", &data).await.unwrap();
    let kept = broker.metric_data();
    let records = kept
        .iter()
        .find(|datum| datum.metric_name == "RecordsProcessed")
        .unwrap();
    assert_eq!(records.namespace, "billing");
    let set = records.statistics;
    assert_eq!(
        (set.sample_count, set.sum, set.minimum, set.maximum),
        (2.0, 3.0, 1.0, 2.0)
    );
    assert_eq!(records.dimensions.len(), 2);

    // What the service finds wrong with the data does not get better.
    let refused = metrics.sink.put(":billing", &data).await.unwrap_err();
    assert!(!refused.is_retryable(), "{refused:?}");
}

#[test]
fn given_the_page_on_metrics_when_compared_then_it_names_all_that_is_emitted_with_units_and_levels() {
    let page = include_str!("../../../docs/metrics.md");
    for (operation, metric) in names::ALL {
        let (unit, level) = (metric.unit.as_str(), metric.level.as_str());
        let row = format!("| {operation} | `{}` | {unit} | {level} |", metric.name);
        assert!(page.contains(&row), "missing in docs/metrics.md: {row}");
    }
    let rows = page
        .lines()
        .filter(|line| line.contains("| SUMMARY |") || line.contains("| DETAILED |"));
    assert_eq!(rows.count(), names::ALL.len());
}
