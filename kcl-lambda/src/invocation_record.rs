//! What a failure destination is told about a batch that was given up: Lambda's invocation record.

use bytes::Bytes;
use kcl_core::{SequenceNumber, ShardId, Timestamp, delivery::DiscardReason};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The record about a batch, as it goes to SQS and SNS, and with the payload to S3.
///
/// ```
/// use kcl_lambda::invocation_record::{Condition, InvocationRecord};
///
/// let json =
/// r#"{"requestContext":{"requestId":"6f0e","functionArn":"arn:aws:lambda:eu-west-1:111122223333:function:probe",
/// "condition":"RecordAgeExceeded","approximateInvokeCount":1},"version":"1.0","timestamp":"2025-11-21T04:41:07.310Z",
/// "KinesisBatchInfo":{"shardId":"shardId-000000000003","startSequenceNumber":"4965","endSequenceNumber":"4966",
/// "approximateArrivalOfFirstRecord":"2025-11-21T04:40:00.125Z",
/// "approximateArrivalOfLastRecord":"2025-11-21T04:40:04.900Z",
/// "batchSize":2,"streamArn":"arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry"}}"#; let record:
/// InvocationRecord = serde_json::from_str(json)?; assert_eq!(record.request_context.condition,
/// Condition::RecordAgeExceeded); assert_eq!(record.response_context, None); assert_eq!(serde_json::to_value(&record)?,
/// serde_json::from_str::<serde_json::Value>(json)?);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_structs, reason = "a format of AWS's, made with a literal")]
pub struct InvocationRecord {
    /// What was asked for, and why it was given up.
    pub request_context: RequestContext,
    /// What the function answered last; missing if the records became too old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_context: Option<ResponseContext>,
    /// The version of the format.
    pub version: FormatVersion,
    /// When the batch was given up.
    #[serde(with = "instant")]
    pub timestamp: Timestamp,
    /// Which records the batch had.
    #[serde(rename = "KinesisBatchInfo")]
    pub kinesis_batch_info: KinesisBatchInfo,
    /// The event that the function was invoked with. S3 has it; SQS and SNS have no room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
}

/// The version of the format: there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FormatVersion {
    /// `1.0`.
    #[default]
    #[serde(rename = "1.0")]
    V1,
}

/// What was asked for, and why it was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_structs, reason = "a format of AWS's, made with a literal")]
pub struct RequestContext {
    /// The id of the last invocation.
    pub request_id: String,
    /// The function.
    pub function_arn: String,
    /// Why the batch was given up.
    pub condition: Condition,
    /// How often the function was invoked with the batch; 1 for a batch that became too old before the first time, too.
    pub approximate_invoke_count: u64,
}

/// Why a batch was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Condition {
    /// It failed as often as it may.
    RetryAttemptsExhausted,
    /// Its records became older than they may.
    RecordAgeExceeded,
    /// The record is larger than an event may be. AWS does not say what it does with such a record.
    PayloadTooLarge,
    /// An earlier record of its key was given up, and the key is in quarantine. Not on AWS.
    Quarantined,
}

impl Condition {
    /// The condition for a reason of the worker's; `None` for a reason that has no name in this format.
    #[must_use]
    pub fn of(reason: DiscardReason) -> Option<Self> {
        match reason {
            DiscardReason::RetryAttemptsExhausted => Some(Self::RetryAttemptsExhausted),
            DiscardReason::RecordAgeExceeded => Some(Self::RecordAgeExceeded),
            DiscardReason::PayloadTooLarge => Some(Self::PayloadTooLarge),
            DiscardReason::Quarantined => Some(Self::Quarantined),
            _ => None,
        }
    }
}

/// What the function answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_structs, reason = "a format of AWS's, made with a literal")]
pub struct ResponseContext {
    /// The status of the invocation: 200 whenever the function ran.
    pub status_code: u16,
    /// The version of the function, such as `$LATEST`.
    pub executed_version: String,
    /// `Unhandled` after an error; null if the function named the records that failed.
    pub function_error: Option<String>,
}

/// Which records a batch had. Records between the first and the last need not have been in it: filters make gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_structs, reason = "a format of AWS's, made with a literal")]
pub struct KinesisBatchInfo {
    /// The shard.
    pub shard_id: ShardId,
    /// The number of the first record.
    pub start_sequence_number: SequenceNumber,
    /// The number of the last record.
    pub end_sequence_number: SequenceNumber,
    /// When the first record arrived.
    #[serde(with = "instant")]
    pub approximate_arrival_of_first_record: Timestamp,
    /// When the last record arrived.
    #[serde(with = "instant")]
    pub approximate_arrival_of_last_record: Timestamp,
    /// How many records there are.
    pub batch_size: u64,
    /// The stream.
    pub stream_arn: String,
}

/// The event of a batch in an invocation record. It is written as text that holds JSON, and read as text or as an
/// object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(String);

impl Payload {
    /// The payload `event`, JSON.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn new(event: &[u8]) -> Result<Self, std::str::Utf8Error> {
        str::from_utf8(event).map(|event| Self(event.to_owned()))
    }

    /// The event, JSON: [`parse_event`](crate::event::parse_event) reads its records.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The event, JSON.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from(self.0)
    }
}

impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match raw.get().as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw.get()).map(Self).map_err(D::Error::custom),
            Some(b'{') => Ok(Self(Box::<str>::from(raw).into_string())),
            _ => Err(D::Error::custom("payload is neither text nor an object")),
        }
    }
}

/// The key under which S3 keeps the record: by mapping, shard and the time `at` which the batch was given up, in UTC.
///
/// `unique` makes it different from every other key.
///
/// ```
/// use kcl_core::ShardId;
/// use kcl_lambda::invocation_record::s3_key;
///
/// let key = s3_key(uuid::Uuid::nil(), &ShardId::new("shardId-7")?, "2025-11-21T04:41:07.310Z".parse()?,
/// uuid::Uuid::max()); assert_eq!(key, "aws/lambda/00000000-0000-0000-0000-000000000000/shardId-7/2025/11/21/\
/// 2025-11-21T04.41.07-ffffffff-ffff-ffff-ffff-ffffffffffff");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn s3_key(mapping: Uuid, shard: &ShardId, at: Timestamp, unique: Uuid) -> String {
    // A time that no calendar has, which no clock shows, is put at its start.
    let at = jiff::Timestamp::from_millisecond(at.epoch_millis()).unwrap_or_default();
    format!(
        "aws/lambda/{mapping}/{shard}/{}-{unique}",
        at.strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S")
    )
}

/// Instants in RFC 3339 with milliseconds.
mod instant {
    use kcl_core::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
