use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use kcl_core::{ApplicationName, Batch, Record, ShardId, StreamArn, StreamName, Timestamp, delivery::DiscardReason};
use kcl_runtime::{
    dead_letter::{DeadLetter, DeadLetters},
    testing::TestWorld,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    event::{EventSource, parse_event},
    invocation_record::InvocationRecord,
    mapping::Destination,
};

const FUNCTION: &str = "arn:aws:lambda:eu-west-1:111122223333:function:probe";

fn stream() -> StreamArn {
    "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry"
        .parse()
        .unwrap()
}

fn records() -> LambdaRecords {
    let source = EventSource {
        event_source_arn: stream().as_str().to_owned(),
        region: "eu-west-1".to_owned(),
        invoke_identity_arn: "arn:aws:iam::111122223333:role/probe".to_owned(),
    };
    LambdaRecords::new(FUNCTION, &stream(), source)
}

fn letter(data: &[&str]) -> DeadLetter {
    let at = Timestamp::from_epoch_millis(1_763_700_000_125);
    let record = |(number, data): (usize, &&str)| {
        Record::new(
            (100 + number).to_string().parse().unwrap(),
            "sensor-7",
            at,
            (*data).to_owned(),
        )
    };
    let records = data.iter().enumerate().map(record).collect();
    let (stream, shard) = (
        StreamName::new("telemetry").unwrap(),
        ShardId::new("shardId-000000000003").unwrap(),
    );
    let batch = Batch::new(stream, shard, records);
    let application = ApplicationName::new("probe").unwrap();
    let given_up = Timestamp::from_epoch_millis(1_763_700_067_310);
    let mut letter = DeadLetter::new(application, batch, DiscardReason::RetryAttemptsExhausted, given_up);
    letter.attempts = 4;
    letter.error = Some("ValueError: no".to_owned());
    letter
}

/// A service that answers what it is told to, and notes what it was asked.
#[derive(Clone, Debug, Default)]
struct Service {
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<(u16, String)>>>,
}

impl Service {
    fn answering(answers: &[(u16, &str)]) -> Self {
        let this = Self::default();
        let answers = answers.iter().rev().map(|(status, body)| (*status, (*body).to_owned()));
        *this.answers.lock().unwrap() = answers.collect();
        this
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl HttpClient for Service {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Service {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        self.asked.lock().unwrap().push(body);
        let (status, body) = self.answers.lock().unwrap().pop().unwrap_or((500, String::new()));
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))))
    }
}

fn expected() -> Value {
    json!({
        "requestContext": {"functionArn": FUNCTION, "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 4},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2025-11-21T04:41:07.310Z",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000003",
            "startSequenceNumber": "100",
            "endSequenceNumber": "101",
            "approximateArrivalOfFirstRecord": "2025-11-21T04:40:00.125Z",
            "approximateArrivalOfLastRecord": "2025-11-21T04:40:00.125Z",
            "batchSize": 2,
            "streamArn": stream().as_str(),
        },
    })
}

/// What a message says, without the id, which only has to be one.
fn message(text: &str) -> Value {
    let mut message: Value = serde_json::from_str(text).unwrap();
    let id = message["requestContext"]
        .as_object_mut()
        .unwrap()
        .remove("requestId")
        .unwrap();
    assert_eq!(id.as_str().unwrap().len(), 36);
    message
}

#[test]
fn given_a_letter_when_it_is_described_then_it_is_as_awss_and_the_same_whenever_it_comes() {
    let records = records();
    let described = records.record(&letter(&["a", "b"])).unwrap();
    assert_eq!(message(&serde_json::to_string(&described).unwrap()), expected());
    let again = records.record(&letter(&["a", "b"])).unwrap();
    assert_eq!(described.request_context.request_id, again.request_context.request_id);

    let mut named = letter(&["a"]);
    named.error = Some("the handler named record 0 of 1 as failed".to_owned());
    let named = serde_json::to_value(records.record(&named).unwrap()).unwrap();
    assert_eq!(named["responseContext"]["functionError"], Value::Null);
    let mut old = letter(&["a"]);
    (old.reason, old.attempts) = (DiscardReason::RecordAgeExceeded, 0);
    let old = serde_json::to_value(records.record(&old).unwrap()).unwrap();
    assert_eq!(
        (
            old.get("responseContext"),
            &old["requestContext"]["approximateInvokeCount"]
        ),
        (None, &json!(1))
    );

    let whole = records.record_with_payload(&letter(&["a", "b"])).unwrap();
    let events = parse_event(whole.payload.unwrap().as_json().as_bytes()).unwrap();
    assert_eq!(events.len(), 2);
    assert!(records.record(&letter(&[])).is_err(), "there is nothing to describe");
}

#[cfg(feature = "sqs")]
fn queue(service: &Service, records: LambdaRecords) -> SqsDestination {
    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(service.clone());
    let queue: Destination = "arn:aws:sqs:eu-west-1:111122223333:dead".parse().unwrap();
    SqsDestination::new(aws_sdk_sqs::Client::from_conf(config.build()), queue, records).unwrap()
}

#[cfg(feature = "sqs")]
const QUEUE_URL: &str = r#"{"QueueUrl":"https://sqs.eu-west-1.amazonaws.com/111122223333/dead"}"#;

#[cfg(feature = "sqs")]
#[tokio::test]
async fn given_a_queue_when_letters_come_then_it_gets_awss_message_and_its_address_is_asked_once() {
    let sent = r#"{"MessageId":"m"}"#;
    let service = Service::answering(&[(200, QUEUE_URL), (200, sent), (200, sent)]);
    let queue = queue(&service, records());
    queue.keep(&letter(&["a", "b"])).await.unwrap();
    queue.keep(&letter(&["a", "b"])).await.unwrap();
    let asked: Vec<Value> = service
        .asked()
        .iter()
        .map(|body| serde_json::from_str(body).unwrap())
        .collect();
    assert_eq!(asked.len(), 3);
    assert_eq!(
        asked[0],
        json!({"QueueName": "dead", "QueueOwnerAWSAccountId": "111122223333"})
    );
    assert_eq!(
        asked[1]["QueueUrl"],
        "https://sqs.eu-west-1.amazonaws.com/111122223333/dead"
    );
    assert_eq!(message(asked[1]["MessageBody"].as_str().unwrap()), expected());
}

#[cfg(feature = "sqs")]
#[tokio::test]
async fn given_messages_with_payload_when_the_records_do_not_fit_then_they_are_left_out() {
    let sent = r#"{"MessageId":"m"}"#;
    let service = Service::answering(&[(200, QUEUE_URL), (200, sent), (200, sent)]);
    let queue = queue(&service, records().with_payload(true));
    queue.keep(&letter(&["a", "b"])).await.unwrap();
    queue
        .keep(&letter(&[&"x".repeat(MESSAGE_BYTES_MAX), "b"]))
        .await
        .unwrap();
    let body = |body: &String| {
        let asked: Value = serde_json::from_str(body).unwrap();
        serde_json::from_str::<InvocationRecord>(asked["MessageBody"].as_str().unwrap()).unwrap()
    };
    let asked = service.asked();
    let payload = body(&asked[1]).payload.unwrap();
    assert_eq!(parse_event(payload.as_json().as_bytes()).unwrap().len(), 2);
    assert_eq!(body(&asked[2]).payload, None);
}

#[cfg(feature = "sqs")]
#[tokio::test]
async fn given_a_queue_that_refuses_when_a_letter_comes_then_the_error_names_queue_and_reason() {
    let denied = r#"{"__type":"com.amazonaws.sqs#AccessDenied","message":"not you"}"#;
    let service = Service::answering(&[(200, QUEUE_URL), (403, denied)]);
    let error = queue(&service, records()).keep(&letter(&["a"])).await.unwrap_err();
    assert!(
        error.to_string().contains("arn:aws:sqs:eu-west-1:111122223333:dead"),
        "{error}"
    );
    let causes: Vec<String> = std::iter::successors(error.source(), |error| error.source())
        .map(ToString::to_string)
        .collect();
    assert!(causes.join(": ").contains("not you"), "{causes:?}");
}

#[cfg(feature = "sqs")]
#[test]
fn given_the_arn_of_a_topic_when_a_queue_is_wanted_then_it_is_refused() {
    let service = Service::default();
    let right = queue(&service, records());
    let topic: Destination = "arn:aws:sns:eu-west-1:111122223333:dead".parse().unwrap();
    let wrong = SqsDestination::new(right.client, topic, records()).unwrap_err();
    assert!(wrong.to_string().ends_with("is not the ARN of an SQS queue"), "{wrong}");
}

/// The records that are in the world's stream: key and data.
async fn in_stream(world: &TestWorld) -> Vec<(String, bytes::Bytes)> {
    let seen = world.recorder();
    let worker = world.start(world.worker("reader").function(seen.succeed()));
    world.until_checkpointed().await;
    worker.stop().await;
    let records = seen.records();
    records
        .into_iter()
        .map(|record| (record.partition_key.to_string(), record.data))
        .collect()
}

fn arn_of(world: &TestWorld) -> StreamArn {
    format!("arn:aws:kinesis:us-east-1:{}:stream/{}", "000000000000", world.stream())
        .parse()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn given_a_stream_when_a_letter_comes_then_its_records_are_there_in_order_and_described() {
    let world = TestWorld::new("dead", 2).await;
    let destination = KinesisDestination::new(world.client(), arn_of(&world), records());
    let mut two = letter(&["one", "two"]);
    two.error = None;
    destination.keep(&two).await.unwrap();
    let found = in_stream(&world).await;
    let data = |(key, envelope): &(String, bytes::Bytes)| {
        assert_eq!(key, "sensor-7");
        let record: InvocationRecord = serde_json::from_slice(envelope).unwrap();
        assert_eq!(record.kinesis_batch_info.batch_size, 1);
        let events = parse_event(record.payload.unwrap().as_json().as_bytes()).unwrap();
        String::from_utf8(events[0].record.data.to_vec()).unwrap()
    };
    assert_eq!(found.iter().map(data).collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn given_a_record_whose_envelope_is_too_large_when_it_comes_then_it_is_put_as_it_is() {
    let world = TestWorld::new("dead", 1).await;
    let large = "x".repeat(900 << 10);
    KinesisDestination::new(world.client(), arn_of(&world), records())
        .keep(&letter(&[&large]))
        .await
        .unwrap();
    KinesisDestination::plain(world.client(), arn_of(&world))
        .keep(&letter(&["small"]))
        .await
        .unwrap();
    let found = in_stream(&world).await;
    assert_eq!(found[0].1.len(), 900 << 10);
    assert_eq!(found[1].1, "small");
}

#[tokio::test(start_paused = true)]
async fn given_a_stream_that_is_not_there_when_a_letter_comes_then_it_is_not_kept() {
    let world = TestWorld::new("dead", 1).await;
    let none: StreamArn = "arn:aws:kinesis:us-east-1:000000000000:stream/none".parse().unwrap();
    let error = KinesisDestination::plain(world.client(), none)
        .keep(&letter(&["a"]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("stream/none"), "{error}");
}
