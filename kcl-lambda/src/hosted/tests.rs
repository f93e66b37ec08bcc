//! Functions that behave, and those that do not, each way of hosting them.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use kcl_core::{Batch, Record, ShardId, StreamName, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::{
    event::EventSource,
    invoke::{
        FunctionError, FunctionErrorKind, Invocation, Invoke, InvokeError, InvokeRecords, RecordsInvocation, RequestId,
    },
};

fn id() -> RequestId {
    RequestId::from(uuid::Uuid::from_u128(7))
}

fn invocation(event: &Value) -> Invocation {
    Invocation::new(id(), event.to_string().into(), Duration::from_secs(3), "arn")
}

fn records() -> RecordsInvocation {
    let record = |number: &str, millis| {
        Record::new(
            number.parse().unwrap(),
            "key",
            Timestamp::from_epoch_millis(millis),
            "data",
        )
    };
    let batch = Batch::new(
        StreamName::new("telemetry").unwrap(),
        ShardId::new("shardId-000000000003").unwrap(),
        vec![record("41", 1_763_700_000_500), record("42", 1_763_700_000_250)],
    );
    let source = EventSource {
        event_source_arn: "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry".to_owned(),
        region: "eu-west-1".to_owned(),
        invoke_identity_arn: "arn:aws:iam::111122223333:role/esm".to_owned(),
    };
    let arn = "arn:aws:lambda:eu-west-1:111122223333:function:probe";
    RecordsInvocation::new(id(), batch, Arc::new(source), Duration::from_secs(3), arn)
}

fn function_error(answer: Result<Bytes, InvokeError>) -> FunctionError {
    match answer.unwrap_err() {
        InvokeError::Function(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_function_answers_in_json_and_its_errors_have_their_types() {
    let half = JsonFunction::new(|event: u32, context: InvocationContext| async move {
        assert_eq!(context.request_id, id());
        if event.is_multiple_of(2) {
            Ok(event / 2)
        } else {
            Err("odd")
        }
    });
    assert_eq!(half.invoke(invocation(&json!(8))).await.unwrap(), b"4".as_slice());
    let error = function_error(half.invoke(invocation(&json!(7))).await);
    assert_eq!((error.error_type.as_str(), error.message.as_str()), ("&str", "odd"));
    let error = function_error(half.invoke(invocation(&json!("eight"))).await);
    assert_eq!(error.error_type, "Runtime.UnmarshalError");
}

/// A service that becomes ready once, and counts its calls.
#[derive(Clone, Default)]
struct Counting {
    ready: bool,
    calls: std::cell::Cell<u32>,
}

impl tower::Service<(Value, InvocationContext)> for Counting {
    type Response = u32;
    type Error = String;
    type Future = std::future::Ready<Result<u32, String>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), String>> {
        self.ready = true;
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, (event, _): (Value, InvocationContext)) -> Self::Future {
        assert!(self.ready, "nobody asked whether it is ready");
        self.calls.set(self.calls.get() + 1);
        std::future::ready(match event.as_str() {
            Some(message) => Err(message.to_owned()),
            None => Ok(self.calls.get()),
        })
    }
}

#[tokio::test]
async fn a_service_is_cloned_for_every_call() {
    let service = JsonService::new(Counting::default());
    for _ in 0..2 {
        assert_eq!(service.invoke(invocation(&json!(1))).await.unwrap(), b"1".as_slice());
    }
    assert_eq!(
        function_error(service.invoke(invocation(&json!("bad"))).await).message,
        "bad"
    );
}

#[tokio::test(start_paused = true)]
async fn functions_that_panic_or_take_too_long_fail_alone() {
    let function = JsonFunction::new(|event: String, _| async move {
        match event.as_str() {
            "panic" => panic!("out of {}", "luck"),
            "hang" => std::future::pending().await,
            _ => Ok::<_, Infallible>(event),
        }
    });
    let error = function_error(function.invoke(invocation(&json!("panic"))).await);
    assert_eq!(
        (error.kind, error.message.as_str()),
        (FunctionErrorKind::Unhandled, "out of luck")
    );
    let error = function_error(function.invoke(invocation(&json!("hang"))).await);
    assert_eq!(
        (error.kind, error.error_type.as_str()),
        (FunctionErrorKind::Timeout, "Sandbox.Timedout")
    );
    assert!(
        error
            .message
            .ends_with("00000000-0000-0000-0000-000000000007 Task timed out after 3.00 seconds")
    );
    assert_eq!(
        function.invoke(invocation(&json!("fine"))).await.unwrap(),
        b"\"fine\"".as_slice()
    );
}

#[tokio::test]
async fn what_takes_json_takes_records_too() {
    let ids = JsonFunction::new(|event: Value, _| async move {
        let records = event["Records"].as_array().cloned().unwrap_or_default();
        Ok::<_, Infallible>(
            records
                .iter()
                .map(|record| record["eventID"].clone())
                .collect::<Vec<_>>(),
        )
    });
    let answer = ids.invoke_records(records()).await.unwrap();
    assert_eq!(
        answer,
        br#"["shardId-000000000003:41","shardId-000000000003:42"]"#.as_slice()
    );
}

/// The same of both versions: handlers of the one do not compile with the other.
macro_rules! hosts_handlers {
    ($version:ident, $runtime:ident, $events:ident) => {
        mod $version {
            use ::$events::event::{
                    kinesis::{KinesisEvent, KinesisTimeWindowEvent},
                    streams::KinesisEventResponse,
                };
            use ::$runtime::{Error, LambdaEvent, service_fn};

            use super::*;
            use crate::{
                event::{Window, WindowInvoke},
                hosted::$version::Handler,
                response::WindowState,
            };

            #[tokio::test]
            async fn a_handler_gets_what_it_would_get_from_json() {
                // What the crate reads from our own JSON, but for the times, which it gets wrong.
                let mut read: KinesisEvent = serde_json::from_slice(&records().to_json().event).unwrap();
                for (event, record) in read.records.iter_mut().zip(records().batch.records()) {
                    let millis = record.approximate_arrival_timestamp.epoch_millis();
                    let arrival = chrono::DateTime::from_timestamp_millis(millis).unwrap();
                    *event.kinesis.approximate_arrival_timestamp = arrival;
                }
                let handler = Handler::kinesis(service_fn(move |event: LambdaEvent<KinesisEvent>| {
                    assert_eq!(event.payload, read);
                    assert_eq!(event.context.request_id, id().to_string());
                    assert_eq!(event.context.env_config.function_name, "probe");
                    assert!(event.context.deadline > 1_763_700_000_000);
                    async move {
                        let second = &event.payload.records[1].kinesis.sequence_number;
                        let failed = json!({"batchItemFailures": [{"itemIdentifier": second}]});
                        Ok::<KinesisEventResponse, Error>(serde_json::from_value(failed)?)
                    }
                }));
                let answer = handler.invoke_records(records()).await.unwrap();
                assert_eq!(answer, br#"{"batchItemFailures":[{"itemIdentifier":"42"}]}"#.as_slice());
            }

            #[tokio::test]
            async fn a_handler_of_windows_gets_the_state() {
                let at = Timestamp::from_epoch_millis(1_763_700_000_500);
                let invoke = WindowInvoke {
                    window: Window::of(at, Duration::from_secs(60)).unwrap(),
                    state: WindowState::new(r#"{"count":"7"}"#).unwrap(),
                    is_final: true,
                    is_terminated_early: false,
                };
                let handler = Handler::kinesis_window(service_fn(|event: LambdaEvent<KinesisTimeWindowEvent>| async move {
                    let properties = event.payload.time_window_properties;
                    assert!(properties.is_final_invoke_for_window);
                    assert_eq!((properties.window.end - properties.window.start).num_seconds(), 60);
                    assert_eq!(properties.shard_id.as_deref(), Some("shardId-000000000003"));
                    Ok::<_, Error>(json!({"state": properties.state}))
                }));
                let answer = handler.invoke_records(records().with_window(invoke)).await.unwrap();
                assert_eq!(answer, br#"{"state":{"count":"7"}}"#.as_slice());
                let error = function_error(handler.invoke_records(records()).await);
                assert_eq!(error.error_type, "Runtime.UnmarshalError");
            }

            #[tokio::test(start_paused = true)]
            async fn a_handler_of_any_type_fails_as_it_likes() {
                let handler = Handler::json(service_fn(|event: LambdaEvent<Value>| async move {
                    assert_eq!(event.payload["Records"][0]["eventSource"], "aws:kinesis");
                    match event.context.xray_trace_id.as_deref() {
                        Some("panic") => panic!("out of luck"),
                        Some("hang") => std::future::pending().await,
                        _ => Err::<Value, Error>("it is bad".into()),
                    }
                }));
                for (trace, kind, message) in [
                    ("fail", FunctionErrorKind::Unhandled, "it is bad"),
                    ("panic", FunctionErrorKind::Unhandled, "out of luck"),
                    ("hang", FunctionErrorKind::Timeout, "Task timed out after 3.00 seconds"),
                ] {
                    let error = function_error(handler.invoke_records(records().with_trace_id(trace)).await);
                    assert_eq!(error.kind, kind);
                    assert!(error.message.ends_with(message), "{error}");
                }
            }
        }
    };
}

hosts_handlers!(lambda_runtime_0, lambda_runtime_0, aws_lambda_events_0);
hosts_handlers!(lambda_runtime_1, lambda_runtime_1, aws_lambda_events_1);
