//! Tumbling windows at work: a stream, a worker and a function that collects, on virtual time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use kcl_core::BoxError;
use kcl_lambda::{
    FunctionError, FunctionErrorKind, Invocation, Invoke, InvokeError, MappedFunction, mapping::EventSourceMapping,
};
use kcl_runtime::{
    dead_letter::{DeadLetter, DeadLetters},
    testing::{TestWorker, TestWorld},
};
use serde_json::{Value, json};

use super::{
    Evidence::{Documented, OurChoice},
    Row, SAME, check,
};

/// Answers with a state that has the data of all records; data that is a number asks for a state of so many bytes more, `fail` for
/// no state, and `late` makes the function fail once at the end of its window.
#[derive(Debug, Default)]
struct Collecting {
    /// Each call: the records, what the state had, `final` or `early` or nothing.
    calls: Mutex<Vec<String>>,
    failed: Mutex<bool>,
}

#[async_trait]
impl Invoke for Collecting {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvokeError> {
        let event: Value = serde_json::from_slice(&invocation.event).unwrap();
        let data = |record: &Value| {
            let data = STANDARD.decode(record["kinesis"]["data"].as_str().unwrap());
            String::from_utf8(data.unwrap()).unwrap()
        };
        let records: Vec<String> = event["Records"].as_array().unwrap().iter().map(data).collect();
        let state = event["state"]["seen"].as_str().unwrap_or_default();
        let flags = (&event["isFinalInvokeForWindow"], &event["isWindowTerminatedEarly"]);
        let flag = match flags {
            (Value::Bool(true), Value::Bool(true)) => " early",
            (Value::Bool(true), _) => " final",
            _ => "",
        };
        let call = format!("[{}] {{{state}}}{flag}", records.concat());
        self.calls.lock().unwrap().push(call);
        if flag == " final" && state.contains("late") && !std::mem::replace(&mut *self.failed.lock().unwrap(), true) {
            return Err(failure());
        }
        if records.iter().any(|data| data == "fail") {
            return Ok(Bytes::from_static(b"{}"));
        }
        let more = records.iter().find_map(|data| data.parse().ok()).unwrap_or(0);
        let seen = format!("{state}{}", records.concat());
        Ok(json!({"state": {"seen": seen, "more": "x".repeat(more)}})
            .to_string()
            .into())
    }
}

fn failure() -> InvokeError {
    InvokeError::Function(FunctionError::new(FunctionErrorKind::Unhandled, "ValueError", "no"))
}

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl DeadLetters for Nobody {
    async fn keep(&self, _letter: &DeadLetter) -> Result<(), BoxError> {
        Ok(())
    }
}

struct Run {
    world: TestWorld,
    function: Arc<Collecting>,
}

impl Run {
    /// A worker with windows of a minute; time begins with one.
    fn start(&self, name: &str) -> TestWorker {
        let mapping: EventSourceMapping = serde_json::from_value(json!({
            "EventSourceArn": "arn:aws:kinesis:us-east-1:111122223333:stream/telemetry",
            "FunctionName": "probe",
            "StartingPosition": "TRIM_HORIZON",
            "TumblingWindowInSeconds": 60,
            "MaximumRetryAttempts": 1,
        }))
        .unwrap();
        let mapped = MappedFunction::new(mapping);
        let worker = mapped.invoking(self.world.worker(name), self.function.clone()).unwrap();
        self.world
            .start(worker.dead_letters(Arc::new(Nobody)).checkpoint_records(1))
    }

    async fn put(&self, data: &str) {
        self.world.put("key", data.to_owned());
        self.world.until_checkpointed().await;
    }

    async fn minutes(&self, count: u32) {
        for _ in 0..count * 30 {
            self.world.advance(Duration::from_secs(2)).await;
        }
    }

    fn calls(&self) -> Vec<String> {
        self.function.calls.lock().unwrap().clone()
    }
}

/// What the function was called with.
fn calls<F: Future<Output = ()>>(scenario: impl FnOnce(Arc<Run>) -> F) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let run = Arc::new(Run {
            world: TestWorld::new("telemetry", 1).await,
            function: Arc::default(),
        });
        scenario(run.clone()).await;
        run.calls()
    })
}

fn row(
    name: &'static str,
    aws: &'static str,
    evidence: super::Evidence,
    ours: &'static str,
    check: impl Fn() + 'static,
) -> Row {
    let check = Box::new(check);
    Row {
        name,
        aws,
        evidence,
        ours,
        check,
    }
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row(
            "the end of a window",
            "one invocation with `isFinalInvokeForWindow`, after which the state is dropped",
            Documented,
            "the same; it never has records, and needs to return no state",
            || {
                let calls = calls(async |run| {
                    run.start("w1");
                    run.put("a").await;
                    run.put("b").await;
                    run.minutes(1).await;
                    run.put("c").await;
                });
                assert_eq!(calls, ["[a] {}", "[b] {a}", "[] {ab} final", "[c] {}"]);
            },
        ),
        row(
            "a last invocation that fails",
            "the shard waits",
            Documented,
            "the same, whatever `MaximumRetryAttempts` says",
            || {
                let calls = calls(async |run| {
                    run.start("w1");
                    run.put("late").await;
                    run.minutes(2).await;
                });
                assert_eq!(calls, ["[late] {}", "[] {late} final", "[] {late} final"]);
            },
        ),
        row(
            "an answer without a state",
            "the batch has failed",
            Documented,
            "the same; records that are given up leave the state as it was",
            || {
                let calls = calls(async |run| {
                    run.start("w1");
                    run.put("a").await;
                    run.put("fail").await;
                    run.minutes(1).await;
                });
                assert_eq!(calls, ["[a] {}", "[fail] {a}", "[fail] {a}", "[] {a} final"]);
            },
        ),
        row(
            "a state that is too large",
            "over 1 MB: the window ends early and goes on with a new state",
            Documented,
            "over 261,888 bytes, which a row of the lease table holds; else the same",
            || {
                let calls = calls(async |run| {
                    run.start("w1");
                    run.put("262000").await;
                    run.put("b").await;
                    run.minutes(1).await;
                });
                assert_eq!(calls, ["[262000] {}", "[] {262000} early", "[b] {}", "[] {b} final"]);
            },
        ),
        row(
            "windows and resharding",
            "the window ends with its shard, and the children begin anew",
            Documented,
            SAME,
            || {
                let calls = calls(async |run| {
                    run.start("w1");
                    run.put("a").await;
                    run.world.split(&run.world.shard(0));
                    run.put("b").await;
                });
                assert_eq!(calls, ["[a] {}", "[] {a} final", "[b] {}"]);
            },
        ),
        row(
            "windows and crashes",
            "not known",
            OurChoice,
            "the state is committed with the checkpoint: whoever reads on has that of the records before",
            || {
                let calls = calls(async |run| {
                    let worker = run.start("w1");
                    run.put("a").await;
                    worker.crash().await;
                    run.start("w2");
                    run.put("b").await;
                });
                assert_eq!(calls, ["[a] {}", "[b] {a}"]);
            },
        ),
        row(
            "a window that ended while nobody read",
            "not known",
            OurChoice,
            "ends when the shard is read again",
            || {
                let calls = calls(async |run| {
                    let worker = run.start("w1");
                    run.put("a").await;
                    worker.stop().await;
                    run.minutes(2).await;
                    run.start("w2");
                    run.minutes(1).await;
                });
                assert_eq!(calls, ["[a] {}", "[] {a} final"]);
            },
        ),
    ]
}

#[test]
fn windows() {
    check(rows());
}
