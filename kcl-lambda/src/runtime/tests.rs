//! Mappings at work: a stream, a worker, and a function that answers as it is told, on virtual time.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use kcl_core::{BoxError, delivery::DiscardReason};
use kcl_runtime::{
    dead_letter::{DeadLetter, DeadLetters},
    testing::{TestWorker, TestWorld},
};
use serde_json::{Value, json};

use super::*;
use crate::invoke::{FunctionError, FunctionErrorKind, Invocation, InvokeError};

type Answer = Result<Value, InvokeError>;

/// A function that notes the data of each event and answers as `answer` says.
struct Scripted<F> {
    events: Mutex<Vec<Vec<String>>>,
    answer: F,
}

impl<F> std::fmt::Debug for Scripted<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl<F: Fn(&[Value]) -> Answer + Send + Sync> Scripted<F> {
    fn new(answer: F) -> Arc<Self> {
        Arc::new(Self {
            events: Mutex::default(),
            answer,
        })
    }

    fn events(&self) -> Vec<Vec<String>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl<F: Fn(&[Value]) -> Answer + Send + Sync> Invoke for Scripted<F> {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvokeError> {
        let event: Value = serde_json::from_slice(&invocation.event).expect("events are JSON");
        let records = event["Records"].as_array().cloned().unwrap_or_default();
        let data = records.iter().map(data).collect();
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(data);
        (self.answer)(&records).map(|answer| Bytes::from(answer.to_string()))
    }
}

#[derive(Debug, Default)]
struct Letters(Mutex<Vec<DeadLetter>>);

#[async_trait]
impl DeadLetters for Letters {
    async fn keep(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        self.0.lock().map_err(|_| "poisoned")?.push(letter.clone());
        Ok(())
    }
}

impl Letters {
    /// The data of each letter, why, and after how many tries.
    fn all(&self) -> Vec<(Vec<String>, DiscardReason, u32)> {
        let data = |letter: &DeadLetter| {
            let text = |record: &kcl_core::Record| String::from_utf8_lossy(&record.data).into_owned();
            letter.batch.iter().map(text).collect()
        };
        let letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let letter = |letter: &DeadLetter| (data(letter), letter.reason, letter.attempts);
        letters.iter().map(letter).collect()
    }
}

fn data(record: &Value) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let data = record["kinesis"]["data"].as_str().expect("data is text");
    String::from_utf8(STANDARD.decode(data).expect("it is base64")).expect("tests put text")
}

fn failed(identifiers: &[&Value]) -> Answer {
    let item = |identifier: &&Value| json!({"itemIdentifier": identifier});
    Ok(json!({"batchItemFailures": identifiers.iter().map(item).collect::<Vec<_>>()}))
}

fn error() -> Answer {
    let error = FunctionError::new(FunctionErrorKind::Unhandled, "ValueError", "no");
    Err(InvokeError::Function(error))
}

fn mapping(mut settings: Value) -> EventSourceMapping {
    let mut all = json!({
        "EventSourceArn": "arn:aws:kinesis:us-east-1:111122223333:stream/telemetry",
        "FunctionName": "probe",
        "StartingPosition": "TRIM_HORIZON",
    });
    let members = all.as_object_mut().expect("an object");
    members.append(settings.as_object_mut().expect("an object"));
    serde_json::from_value(all).expect("a mapping")
}

struct Run {
    world: TestWorld,
    letters: Arc<Letters>,
    worker: TestWorker,
}

/// A worker that reads what was put before.
async fn run(settings: Value, records: &[(&str, &str)], function: Arc<dyn Invoke>) -> Run {
    let world = TestWorld::new("telemetry", 1).await;
    for (key, data) in records {
        world.put(*key, (*data).to_owned());
    }
    let letters = Arc::new(Letters::default());
    let mapped = MappedFunction::new(mapping(settings));
    let worker = mapped
        .invoking(world.worker("w1"), function)
        .expect("a worker can do that");
    let worker = worker
        .dead_letters(mapped.counted(letters.clone()))
        .checkpoint_records(1);
    let worker = world.start(worker);
    world.until_checkpointed().await;
    Run { world, letters, worker }
}

fn keyed<'a>(data: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    data.iter().map(|data| ("key", *data)).collect()
}

#[tokio::test(start_paused = true)]
async fn given_three_retries_and_item_failures_when_a_record_keeps_failing_then_it_is_tried_five_times_and_counts_four()
{
    let function = Scripted::new(|records| {
        let bad = records.iter().find(|record| data(record) == "3");
        failed(
            &bad.map(|record| &record["kinesis"]["sequenceNumber"])
                .into_iter()
                .collect::<Vec<_>>(),
        )
    });
    let settings = json!({
        "MaximumRetryAttempts": 3,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    });
    let run = run(settings, &keyed(&["1", "2", "3", "4"]), function.clone()).await;
    let rest = vec!["3".to_owned(), "4".to_owned()];
    let events = function.events();
    assert_eq!(events[0], ["1", "2", "3", "4"]);
    assert_eq!(events[1..], vec![rest.clone(); 4], "as was observed on AWS");
    assert_eq!(run.letters.all(), [(rest, DiscardReason::RetryAttemptsExhausted, 4)]);
    run.worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_no_item_failures_when_the_response_names_records_then_it_is_success() {
    let function = Scripted::new(|records| failed(&[&records[0]["kinesis"]["sequenceNumber"]]));
    let run = run(json!({}), &keyed(&["1", "2"]), function.clone()).await;
    assert_eq!(function.events(), [["1", "2"]]);
    run.worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_an_unknown_identifier_when_it_is_returned_then_the_whole_batch_comes_again() {
    let function = Scripted::new(|_| Ok(json!({"batchItemFailures": [{"itemIdentifier": "123"}]})));
    let settings = json!({"MaximumRetryAttempts": 1, "FunctionResponseTypes": ["ReportBatchItemFailures"]});
    let run = run(settings, &keyed(&["1", "2"]), function.clone()).await;
    assert_eq!(function.events(), [["1", "2"], ["1", "2"]]);
    let letters = run.letters.0.lock().expect("nobody panics with it")[0].clone();
    assert!(letters.error.is_some_and(|error| error.contains("123")));
    run.worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_function_error_when_bisecting_with_item_failures_then_the_batch_is_halved() {
    let function = Scripted::new(|records| match records.iter().any(|record| data(record) == "2") {
        true => error(),
        false => Ok(json!(null)),
    });
    let settings = json!({
        "BisectBatchOnFunctionError": true,
        "MaximumRetryAttempts": 0,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    });
    let run = run(settings, &keyed(&["1", "2", "3", "4"]), function.clone()).await;
    let expected: [&[&str]; 5] = [&["1", "2", "3", "4"], &["1", "2"], &["1"], &["2"], &["3", "4"]];
    assert_eq!(function.events(), expected);
    let letter = (vec!["2".to_owned()], DiscardReason::RetryAttemptsExhausted, 1);
    assert_eq!(run.letters.all(), [letter]);
    run.worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_no_capacity_when_there_are_no_retries_then_the_batch_waits_and_is_not_given_up() {
    let calls = Mutex::new(0);
    let function = Scripted::new(move |_| {
        let mut calls = calls.lock().expect("nobody panics with it");
        *calls += 1;
        if *calls < 4 {
            return Err(InvokeError::NotInvoked {
                reason: "init failed".to_owned(),
                retry_after: None,
            });
        }
        Ok(json!({}))
    });
    let run = run(json!({"MaximumRetryAttempts": 0}), &keyed(&["1"]), function.clone()).await;
    assert_eq!((function.events().len(), run.letters.all().len()), (4, 0));
    run.worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_filter_when_no_record_matches_then_nothing_is_invoked_and_all_is_passed() {
    let function = Scripted::new(|_| Ok(json!(null)));
    let settings = json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"data":{"hot":[true]}}"#}]}});
    let records = keyed(&[r#"{"hot":false}"#, "not JSON", r#"{"hot":1}"#]);
    let run = run(settings, &records, function.clone()).await;
    assert_eq!(function.events().len(), 0);
    let status = run.worker.report().await.shards[0].status.clone();
    assert_eq!((status.filtered_records, status.handled_records), (3, 0));
    run.worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_dry_run_of_filters_when_records_are_read_then_all_are_delivered_and_counted() {
    let world = TestWorld::new("telemetry", 1).await;
    let settings = json!({
        "FilterCriteria": {"Filters": [{"Pattern": r#"{"data":{"hot":[true]}}"#}, {"Pattern": r#"{"data":{"n":[1]}}"#}]},
        "KclExtensions": {"FilterDryRun": true},
    });
    let mapped = MappedFunction::new(mapping(settings));
    let (counts, seen) = (mapped.filter_counts(), world.recorder());
    let letters = Arc::new(Letters::default());
    let worker = mapped
        .calling(world.worker("w1"), seen.succeed())
        .expect("a worker can do that");
    let worker = world.start(worker.dead_letters(letters));
    for data in [r#"{"hot":true,"n":1}"#, r#"{"hot":false}"#, "text"] {
        world.put("key", data.to_owned());
    }
    world.until_idle().await;
    assert_eq!(seen.records().len(), 3);
    assert_eq!((counts.kept(), counts.filtered(), counts.unparseable()), (1, 1, 1));
    assert_eq!(counts.matching(), [1, 1]);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_records_that_fill_six_megabytes_when_delivered_then_no_event_is_larger_and_a_giant_is_a_dead_letter() {
    #[derive(Debug, Default)]
    struct Sizes(Mutex<Vec<usize>>);
    #[async_trait]
    impl Invoke for Sizes {
        async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvokeError> {
            self.0
                .lock()
                .expect("nobody panics with it")
                .push(invocation.event.len());
            Ok(Bytes::from_static(b"null"))
        }
    }
    let function = Arc::new(Sizes::default());
    let (small, giant) = ("x".repeat(1_000_000), "x".repeat(1_040_000));
    let settings = json!({"KclExtensions": {"PayloadLimitInBytes": 1_387_000}});
    let records = [
        ("a", small.as_str()),
        ("b", "tiny"),
        ("c", giant.as_str()),
        ("d", "tiny"),
    ];
    let run = run(settings, &records, function.clone()).await;
    let sizes = function.0.lock().expect("nobody panics with it").clone();
    assert!(sizes.iter().all(|size| *size <= 1_387_000), "{sizes:?}");
    assert_eq!(run.worker.report().await.shards[0].status.handled_records, 3);
    let letters = run.letters.all();
    assert_eq!((letters.len(), letters[0].1), (1, DiscardReason::PayloadTooLarge));
    run.worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_batching_window_when_records_trickle_then_they_are_sent_together() {
    let function = Scripted::new(|_| Ok(json!(null)));
    let settings = json!({"KclExtensions": {"MaximumBatchingWindowInMilliseconds": 5_500}});
    let run = run(settings, &keyed(&["1"]), function.clone()).await;
    for number in 2..=5 {
        run.world.put("key", number.to_string());
        run.world.advance(Duration::from_secs(1)).await;
    }
    run.world.until_checkpointed().await;
    let sent = function.events().split_off(1).concat();
    assert_eq!(sent, ["2", "3", "4", "5"]);
    assert!(function.events().len() <= 3, "{:?}", function.events());
    run.worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_retry_items_when_some_fail_then_only_these_and_what_follows_in_their_keys_come_again() {
    let first = Mutex::new(true);
    let function = Scripted::new(move |records| {
        if !std::mem::take(&mut *first.lock().expect("nobody panics with it")) {
            return Ok(json!(null));
        }
        failed(&[&records[0]["kinesis"]["sequenceNumber"]])
    });
    let settings = json!({
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "KclExtensions": {"RetryItems": true},
    });
    let records = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")];
    let run = run(settings, &records, function.clone()).await;
    let expected: [&[&str]; 2] = [&["1", "2", "3", "4"], &["1", "3"]];
    assert_eq!(function.events(), expected);
    run.worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_function_of_this_process_when_it_takes_too_long_then_it_has_timed_out() {
    let world = TestWorld::new("telemetry", 1).await;
    let letters = Arc::new(Letters::default());
    let mapped = MappedFunction::new(mapping(json!({"MaximumRetryAttempts": 0}))).timeout(Duration::from_secs(2));
    let worker = mapped
        .calling(world.worker("w1"), |_| std::future::pending::<()>())
        .expect("a worker can do that");
    let worker = world.start(worker.dead_letters(letters.clone()).checkpoint_records(1));
    world.put("key", "1");
    world.until_checkpointed().await;
    let letter = letters.0.lock().expect("nobody panics with it")[0].clone();
    assert_eq!(
        letter.error.as_deref(),
        Some("Sandbox.Timedout: Task timed out after 2.00 seconds")
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_shadow_when_it_fails_and_answers_otherwise_then_it_is_counted_and_the_function_decides() {
    let function = Scripted::new(|_| Ok(json!({"batchItemFailures": []})));
    let shadow = Scripted::new(|records| match data(&records[0]).as_str() {
        "1" => Ok(json!({"batchItemFailures": []})),
        "2" => Ok(json!({"batchItemFailures": [{"itemIdentifier": "7"}]})),
        _ => error(),
    });
    let both = Arc::new(Shadow::new(function.clone(), shadow.clone()));
    let settings = json!({"BatchSize": 1, "FunctionResponseTypes": ["ReportBatchItemFailures"]});
    let run = run(settings, &keyed(&["1", "2", "3"]), both.clone()).await;
    assert_eq!(
        (function.events().len(), shadow.events().len()),
        (3, 3),
        "nothing comes again"
    );
    assert_eq!((both.same(), both.different(), both.skipped()), (1, 2, 0));
    run.worker.stop().await;
}

mod windows;

#[tokio::test(start_paused = true)]
async fn given_settings_that_a_worker_does_not_do_when_it_is_made_then_they_are_refused_by_name() {
    let world = TestWorld::new("telemetry", 1).await;
    for (setting, value) in [
        ("ReplayUntilTimestamp", json!("2025-11-21T04:40:00Z")),
        ("ShadowFunctionName", json!("probe-2")),
    ] {
        let mapped = MappedFunction::new(mapping(json!({"KclExtensions": {setting: value}})));
        let function = Scripted::new(|_| Ok(json!(null)));
        let refused = mapped
            .invoking(world.worker("w1"), function)
            .expect_err("a worker does not do that");
        assert_eq!(refused.setting(), format!("KclExtensions.{setting}"));
    }
}
