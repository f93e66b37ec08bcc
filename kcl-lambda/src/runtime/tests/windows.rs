//! Tumbling windows: what functions are invoked with, and what becomes of the state that they return.

use kcl_runtime::FunctionWorkerBuilder;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A function that collects the data of its window's records, and the events that it had.
#[derive(Debug, Default)]
struct Collecting {
    events: Mutex<Vec<Value>>,
    /// The last calls of windows that fail first.
    failures: Mutex<u32>,
}

#[async_trait]
impl Invoke for Collecting {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvokeError> {
        let event: Value = serde_json::from_slice(&invocation.event).expect("events are JSON");
        let records = event["Records"].as_array().cloned().unwrap_or_default();
        let is_final = event["isFinalInvokeForWindow"] == true;
        let mut seen: Vec<Value> = event["state"]["seen"].as_array().cloned().unwrap_or_default();
        self.events.lock().expect("nobody panics with it").push(event);
        if is_final {
            let mut failures = self.failures.lock().expect("nobody panics with it");
            if *failures > 0 {
                *failures -= 1;
                return error().map(|_| Bytes::new());
            }
            return Ok(Bytes::from_static(b"null"));
        }
        seen.extend(records.iter().map(|record| json!(data(record))));
        let large = seen.last().is_some_and(|last| last == "large");
        let padding = if large { 300 * 1024 } else { 0 };
        let answer = json!({"state": {"seen": seen, "padding": "x".repeat(padding)}});
        Ok(Bytes::from(answer.to_string()))
    }
}

impl Collecting {
    /// Per call: the data of its records, what its state has seen, and whether it is the last of its window.
    fn calls(&self) -> Vec<(Vec<String>, Value, bool)> {
        let call = |event: &Value| {
            let records = event["Records"].as_array().cloned().unwrap_or_default();
            (
                records.iter().map(data).collect(),
                event["state"]["seen"].clone(),
                event["isFinalInvokeForWindow"] == true,
            )
        };
        let events = self.events.lock().expect("nobody panics with it");
        events.iter().map(call).collect()
    }

    fn events(&self) -> Vec<Value> {
        self.events.lock().expect("nobody panics with it").clone()
    }

    fn ended(&self) -> usize {
        self.calls().iter().filter(|(.., is_final)| *is_final).count()
    }
}

fn windowed(settings: &Value) -> MappedFunction {
    let mut all = json!({"TumblingWindowInSeconds": 60});
    let members = all.as_object_mut().expect("an object");
    members.append(&mut settings.as_object().cloned().expect("an object"));
    MappedFunction::new(mapping(all))
}

fn worker(world: &TestWorld, name: &str, function: &Arc<Collecting>) -> FunctionWorkerBuilder {
    let mapped = windowed(&json!({}));
    let worker = mapped.invoking(world.worker(name), function.clone());
    let letters = Arc::new(Letters::default());
    worker
        .expect("a worker can do that")
        .dead_letters(letters)
        .checkpoint_records(1)
}

/// Waits until so many windows have ended.
async fn until_ended(world: &TestWorld, function: &Collecting, windows: usize) {
    for _ in 0..300 {
        if function.ended() >= windows {
            return;
        }
        world.advance(SECOND).await;
    }
    panic!("no window ended: {:?}", function.calls());
}

#[tokio::test(start_paused = true)]
async fn given_a_window_when_it_is_over_then_events_had_its_state_and_the_last_one_has_no_records() {
    let world = TestWorld::new("telemetry", 1).await;
    let function = Arc::new(Collecting::default());
    let worker = world.start(worker(&world, "w1", &function));
    world.put("key", "1");
    world.until_idle().await;
    world.put("key", "2");
    until_ended(&world, &function, 1).await;
    let expected = [
        (vec!["1".to_owned()], Value::Null, false),
        (vec!["2".to_owned()], json!(["1"]), false),
        (vec![], json!(["1", "2"]), true),
    ];
    assert_eq!(function.calls(), expected);
    let events = function.events();
    assert_eq!(events[0]["state"], json!({}));
    assert_eq!(
        (&events[2]["shardId"], &events[2]["isWindowTerminatedEarly"]),
        (&json!("shardId-000000000000"), &json!(false))
    );
    let edges = |event: &Value| (event["window"]["start"].clone(), event["window"]["end"].clone());
    // The world's time begins at the full hour.
    let first = (json!("2013-01-01T10:00:00Z"), json!("2013-01-01T10:01:00Z"));
    assert!(events.iter().all(|event| edges(event) == first));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_an_open_window_when_its_worker_crashes_or_stops_then_the_next_one_goes_on_with_the_state() {
    let world = TestWorld::new("telemetry", 1).await;
    let function = Arc::new(Collecting::default());
    let first = world.start(worker(&world, "w1", &function));
    world.put("key", "1");
    world.until_checkpointed().await;
    first.crash().await;
    let second = world.start(worker(&world, "w2", &function));
    world.put("key", "2");
    world.until_checkpointed().await;
    second.stop().await;
    let row = world.lease(&world.shard(0)).await;
    let pending = row.pending_checkpoint.expect("the window is open");
    assert_eq!(pending.position, row.checkpoint);
    let third = world.start(worker(&world, "w3", &function));
    until_ended(&world, &function, 1).await;
    let expected = [
        (vec!["1".to_owned()], Value::Null, false),
        (vec!["2".to_owned()], json!(["1"]), false),
        (vec![], json!(["1", "2"]), true),
    ];
    assert_eq!(function.calls(), expected);
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_last_call_that_fails_when_records_of_the_next_window_wait_then_they_come_after_it_succeeded() {
    let world = TestWorld::new("telemetry", 1).await;
    let function = Arc::new(Collecting::default());
    *function.failures.lock().expect("nobody panics with it") = 2;
    let worker = world.start(worker(&world, "w1", &function));
    world.put("key", "1");
    world.advance(61 * SECOND).await;
    world.put("key", "2");
    until_ended(&world, &function, 4).await;
    let ends: Vec<bool> = function.calls().iter().map(|(.., is_final)| *is_final).collect();
    assert_eq!(ends, [false, true, true, true, false, true]);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_state_larger_than_a_row_when_it_is_returned_then_the_window_is_terminated_early() {
    let world = TestWorld::new("telemetry", 1).await;
    let function = Arc::new(Collecting::default());
    let worker = world.start(worker(&world, "w1", &function));
    world.put("key", "large");
    world.until_checkpointed().await;
    world.put("key", "2");
    until_ended(&world, &function, 2).await;
    let early = |event: &Value| event["isWindowTerminatedEarly"] == true;
    let events: Vec<bool> = function.events().iter().map(early).collect();
    assert_eq!(events, [false, true, false, false]);
    let calls = function.calls();
    assert_eq!(calls[1].1, json!(["large"]));
    assert_eq!(calls[3], (vec![], json!(["2"]), true));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_response_without_a_state_when_there_is_a_window_then_the_batch_has_failed() {
    let function = Scripted::new(|_| Ok(json!({})));
    let settings = json!({"TumblingWindowInSeconds": 60, "MaximumRetryAttempts": 1});
    let run = run(settings, &keyed(&["1"]), function.clone()).await;
    assert_eq!(function.events(), [["1"], ["1"]]);
    assert_eq!(run.letters.all().len(), 1);
    run.worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn given_what_cannot_have_windows_when_a_worker_is_built_then_it_is_refused() {
    let world = TestWorld::new("telemetry", 1).await;
    let refused = |result: Result<FunctionWorkerBuilder, InvalidMapping>| match result {
        Ok(_) => "nothing".to_owned(),
        Err(invalid) => invalid.setting().to_owned(),
    };
    let batches = windowed(&json!({})).calling(world.worker("w1"), |_| async {});
    assert_eq!(refused(batches), "TumblingWindowInSeconds");
    let small = windowed(&json!({"KclExtensions": {"PayloadLimitInBytes": 100_000}}));
    let small = small.invoking(world.worker("w1"), Arc::new(Collecting::default()));
    assert_eq!(refused(small), "KclExtensions.PayloadLimitInBytes");
}
