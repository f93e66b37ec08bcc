//! What the fuzz targets share: a small world inside a broker, and a way to send it bytes.
//!
//! Requests go through the in-process HTTP client, so that a target covers everything from the headers to the answer.

use aws_smithy_runtime_api::client::{
    http::HttpConnector,
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use kcl_broker::{
    Broker,
    api::{CreateStream, GetRecords, GetShardIterator, PutRecord},
};
use kcl_core::Timestamp;

/// The stream of the world.
pub const STREAM: &str = "rides";
/// Its first shard.
pub const SHARD: &str = "shardId-000000000000";
/// Stands in an input for a shard iterator that is good.
const ITERATOR: &[u8] = b"ITERATOR";
const DATA: &[u8] = b"from A to B";
const STORED_BYTES_MAX: u64 = 64 << 20;

/// The operations of Kinesis, by number.
pub const KINESIS: &[&str] = &[
    "PutRecord",
    "PutRecords",
    "GetRecords",
    "GetShardIterator",
    "ListShards",
    "CreateStream",
    "DescribeStream",
    "DescribeStreamSummary",
    "ListStreams",
    "SplitShard",
    "MergeShards",
    "UpdateShardCount",
    "RegisterStreamConsumer",
    "DescribeStreamConsumer",
    "ListStreamConsumers",
    "DeregisterStreamConsumer",
    "SubscribeToShard",
    "AddTagsToStream",
    "RemoveTagsFromStream",
    "ListTagsForStream",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
    "IncreaseStreamRetentionPeriod",
    "DecreaseStreamRetentionPeriod",
    "UpdateStreamMode",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "EnableEnhancedMonitoring",
    "DisableEnhancedMonitoring",
    "PutResourcePolicy",
    "GetResourcePolicy",
    "DeleteResourcePolicy",
    "DescribeLimits",
    "DescribeAccountSettings",
    "UpdateAccountSettings",
    "UpdateMaxRecordSize",
    "UpdateStreamWarmThroughput",
    "DeleteStream",
];

/// The operations of DynamoDB, by number.
pub const DYNAMODB: &[&str] = &[
    "PutItem",
    "UpdateItem",
    "GetItem",
    "DeleteItem",
    "Query",
    "Scan",
    "TransactWriteItems",
    "BatchGetItem",
    "BatchWriteItem",
    "CreateTable",
    "UpdateTable",
    "DescribeTable",
    "DeleteTable",
    "ListTables",
    "UpdateContinuousBackups",
    "TransactGetItems",
];

/// A broker with a stream of two shards, a record, and a lease table with a row.
#[derive(Debug)]
pub struct World {
    /// The broker.
    pub broker: Broker,
    runtime: tokio::runtime::Runtime,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// The same world every time.
    #[must_use]
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O");
        let now = Timestamp::from_epoch_millis(1_790_000_000_000);
        let broker = Broker::builder()
            .clock(std::sync::Arc::new(move || now))
            .stored_bytes_max(STORED_BYTES_MAX)
            .build();
        broker.call(CreateStream::new(STREAM, 2)).expect("a new stream");
        broker.call(PutRecord::new(STREAM, "taxi-7", DATA)).expect("a record");
        Self { broker, runtime }
    }

    /// A lease table, as KCL makes it, with one row.
    #[must_use]
    pub fn with_table(self) -> Self {
        let table = br#"{"TableName":"leases","BillingMode":"PAY_PER_REQUEST",
            "AttributeDefinitions":[{"AttributeName":"leaseKey","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}]}"#;
        let row = br#"{"TableName":"leases","Item":{"leaseKey":{"S":"a"},"leaseCounter":{"N":"7"},
            "children":{"SS":["x","y"]},"list":{"L":[{"N":"1"},{"S":"two"}]},"map":{"M":{"k":{"BOOL":true}}}}}"#;
        for (operation, body) in [("CreateTable", table.as_slice()), ("PutItem", row)] {
            let (status, answer) = self.dynamodb(operation, body);
            assert_eq!(status, 200, "{operation}: {}", String::from_utf8_lossy(&answer));
        }
        self
    }

    /// Sends a request to Kinesis and gives the status and, unless it is a stream, the body.
    pub fn kinesis(&self, operation: &str, content_type: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let response = self.send(
            &format!("Kinesis_20131202.{operation}"),
            content_type,
            &self.with_iterator(body),
        );
        (
            response.status().as_u16(),
            response.body().bytes().unwrap_or_default().to_vec(),
        )
    }

    /// Sends a request to DynamoDB.
    pub fn dynamodb(&self, operation: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let response = self.send(
            &format!("DynamoDB_20120810.{operation}"),
            "application/x-amz-json-1.0",
            body,
        );
        (
            response.status().as_u16(),
            response.body().bytes().unwrap_or_default().to_vec(),
        )
    }

    /// Runs something on the world's own time, which moves on when nothing else can.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Sends a request and gives the whole response.
    pub fn send(&self, target: &str, content_type: &str, body: &[u8]) -> HttpResponse {
        let request = http::Request::post("http://broker/")
            .header("x-amz-target", target)
            .header("content-type", content_type)
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0",
            )
            .body(SdkBody::from(body))
            .expect("a request");
        let request = HttpRequest::try_from(request).expect("a request of the SDK's kind");
        let client = self.broker.http_client();
        self.run(async { HttpConnector::call(&client, request).await })
            .expect("an answer")
    }

    fn with_iterator(&self, body: &[u8]) -> Vec<u8> {
        let Some(at) = body.windows(ITERATOR.len()).position(|window| window == ITERATOR) else {
            return body.to_vec();
        };
        let iterator = self.iterator();
        [&body[..at], iterator.as_bytes(), &body[at + ITERATOR.len()..]].concat()
    }

    fn iterator(&self) -> String {
        let opened = GetShardIterator::trim_horizon(STREAM, SHARD);
        self.broker.call(opened).expect("the shard is there").shard_iterator
    }

    /// Whatever was sent, the broker goes on, and what was stored is there unless the stream was deleted.
    pub fn check(&self, operation: &str, status: u16) {
        assert!(matches!(status, 200 | 400 | 404), "{operation} was answered {status}");
        assert!(self.broker.stored_bytes() <= STORED_BYTES_MAX);
        if operation == "DeleteStream" {
            return;
        }
        let mut records = 0;
        for shard in [SHARD, "shardId-000000000001"] {
            let opened = self
                .broker
                .call(GetShardIterator::trim_horizon(STREAM, shard))
                .expect("the shard is there");
            let read = self
                .broker
                .call(GetRecords::new(opened.shard_iterator))
                .expect("the shard is read");
            records += read.records.iter().filter(|record| record.data == DATA).count();
        }
        assert!(records >= 1, "the record is gone after {operation}");
    }
}
