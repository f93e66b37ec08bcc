use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use kcl_core::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::engine::EngineConfig;

mod checks;
mod formats;
mod node;

const JSON: &str = "application/x-amz-json-1.1";
const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=a/20130101/us-east-1/kinesis/aws4_request, SignedHeaders=host, \
                         Signature=b";

fn broker() -> Broker {
    Broker::builder()
        .clock(std::sync::Arc::new(|| Timestamp::from_epoch_millis(1_357_034_400_250)))
        .build()
}

fn headers(target: Option<&'static str>, content_type: Option<&'static str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static(SIGNATURE));
    headers.insert("x-amz-date", HeaderValue::from_static("20130101T100000Z"));
    if let Some(target) = target {
        headers.insert(TARGET, HeaderValue::from_static(target));
    }
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers
}

/// The answer to a request, which comes without waiting for anything.
fn respond(broker: &Broker, method: &Method, headers: &HeaderMap, body: &[u8]) -> Response<Bytes> {
    let mut request = http::Request::new(());
    *request.method_mut() = method.clone();
    *request.headers_mut() = headers.clone();
    answer_to(broker, request, body)
}

fn answer_to(broker: &Broker, request: http::Request<()>, body: &[u8]) -> Response<Bytes> {
    let (head, ()) = request.into_parts();
    let mut answer = pin!(super::respond(broker, Peer::InProcess, &head, body));
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.expect("an answer").map(|body| match body {
            Body::Full(bytes) => bytes,
            Body::Events(_) => panic!("the answer has no end"),
        }),
        Poll::Pending => panic!("the answer has to be waited for"),
    }
}

fn post(broker: &Broker, operation: &str, body: &Value) -> (StatusCode, Value) {
    let mut headers = headers(None, Some(JSON));
    headers.insert(TARGET, format!("{SERVICE_PREFIX}{operation}").parse().unwrap());
    let response = respond(broker, &Method::POST, &headers, body.to_string().as_bytes());
    let body = response.body();
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).unwrap()
    };
    (response.status(), body)
}

#[track_caller]
fn ok(broker: &Broker, operation: &str, body: &Value) -> Value {
    let (status, body) = post(broker, operation, body);
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

#[test]
fn every_response_has_its_ids_and_success_without_output_has_no_body() {
    let broker = broker();
    let headers = headers(
        Some("Kinesis_20131202.CreateStream"),
        Some("application/x-amz-json-1.1; charset=utf-8"),
    );
    let respond = || {
        respond(
            &broker,
            &Method::POST,
            &headers,
            br#"{"StreamName": "s", "ShardCount": 1}"#,
        )
    };
    let (first, second) = (respond(), respond());
    assert_eq!((first.status(), first.body().len()), (StatusCode::OK, 0));
    assert_eq!(second.status(), StatusCode::BAD_REQUEST);
    assert_eq!(first.headers()[CONTENT_TYPE], JSON);
    assert_ne!(first.headers()[REQUEST_ID], second.headers()[REQUEST_ID]);
    assert_ne!(first.headers()[EXTENDED_ID], second.headers()[EXTENDED_ID]);
}

#[test]
fn errors_name_their_type_and_only_unreadable_values_have_the_capital_letter() {
    let broker = broker();
    let (status, body) = post(&broker, "DescribeStream", &json!({"StreamName": "s"}));
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let message = "Stream s under account 000000000000 not found.";
    assert_eq!(body, json!({"__type": "ResourceNotFoundException", "message": message}));
    let (_, body) = post(&broker, "DescribeStream", &json!({"StreamName": true}));
    let message = "class java.lang.Boolean can not be converted to an String";
    assert_eq!(body, json!({"__type": "SerializationException", "Message": message}));
}

#[test]
fn descriptions_have_the_members_of_the_service() {
    let broker = broker();
    let named = json!({"StreamName": "s"});
    ok(&broker, "CreateStream", &json!({"StreamName": "s", "ShardCount": 1}));
    let described = ok(&broker, "DescribeStream", &named);
    let number = described["StreamDescription"]["Shards"][0]["SequenceNumberRange"]["StartingSequenceNumber"].clone();
    assert_eq!(
        described,
        json!({"StreamDescription": {
            "StreamName": "s",
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
            "StreamCreationTimestamp": 1_357_034_400.25,
            "RetentionPeriodHours": 24,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
            "Shards": [{
                "ShardId": "shardId-000000000000",
                "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string()},
                "SequenceNumberRange": {"StartingSequenceNumber": number},
            }],
            "HasMoreShards": false,
        }})
    );
    let summary = ok(&broker, "DescribeStreamSummary", &named)["StreamDescriptionSummary"].clone();
    assert_eq!(summary["OpenShardCount"], 1);
    assert_eq!(summary["ConsumerCount"], 0);
    assert_eq!(summary["MaxRecordSizeInKiB"], 1024);
    assert_eq!(summary["StreamId"], Value::Null);
    let listed = ok(&broker, "ListStreams", &json!({}));
    assert_eq!(listed["StreamNames"], json!(["s"]));
    assert_eq!(listed["HasMoreStreams"], false);
    assert_eq!(listed["StreamSummaries"][0]["StreamStatus"], "ACTIVE");
    assert_eq!(listed.get("NextToken"), None);
}

#[test]
fn records_come_back_as_they_were_written() {
    let broker = broker();
    ok(&broker, "CreateStream", &json!({"StreamName": "s", "ShardCount": 1}));
    let records = json!([{"Data": "AAEC", "PartitionKey": "a"}, {"Data": "", "PartitionKey": "b"}]);
    let written = ok(&broker, "PutRecords", &json!({"StreamName": "s", "Records": records}));
    assert_eq!(written["FailedRecordCount"], 0);
    assert_eq!(written["Records"][1]["ShardId"], "shardId-000000000000");
    let opened = ok(
        &broker,
        "GetShardIterator",
        &json!({"StreamName": "s", "ShardId": "0", "ShardIteratorType": "TRIM_HORIZON"}),
    );
    let read = ok(
        &broker,
        "GetRecords",
        &json!({"ShardIterator": opened["ShardIterator"]}),
    );
    assert_eq!(read["Records"][0]["Data"], "AAEC");
    assert_eq!(
        read["Records"][0]["SequenceNumber"],
        written["Records"][0]["SequenceNumber"]
    );
    assert_eq!(read["Records"][0]["ApproximateArrivalTimestamp"], 1_357_034_400.25);
    assert_eq!(
        read["Records"][1],
        json!({
            "SequenceNumber": written["Records"][1]["SequenceNumber"],
            "ApproximateArrivalTimestamp": 1_357_034_400.25,
            "Data": "",
            "PartitionKey": "b",
        })
    );
    assert!(read["NextShardIterator"].is_string());
    assert_eq!(read.get("ChildShards"), None);
}

#[test]
fn the_same_requests_get_the_same_bytes_in_every_run() {
    let run = || {
        let broker = Broker::builder()
            .config(EngineConfig {
                account: "123456789012".to_owned(),
                ..EngineConfig::default()
            })
            .clock(std::sync::Arc::new(|| Timestamp::from_epoch_millis(5)))
            .seed(3)
            .build();
        let headers = headers(Some("Kinesis_20131202.CreateStream"), Some(JSON));
        let body = br#"{"StreamName": "s", "ShardCount": 2}"#;
        let created = respond(&broker, &Method::POST, &headers, body);
        format!("{created:?} {}", ok(&broker, "ListShards", &json!({"StreamName": "s"})))
    };
    assert_eq!(run(), run());
}

#[test]
fn queues_and_channels_are_operations_that_nobody_knows() {
    let broker = broker();
    for operation in ["CreateQueue", "ListQueues", "CreateChannel", "ListChannels"] {
        let (status, body) = post(&broker, operation, &json!({}));
        assert_eq!(status, StatusCode::BAD_REQUEST, "{operation}");
        assert_eq!(body, json!({"__type": "UnknownOperationException"}), "{operation}");
    }
}
