//! [`LambdaRecords`]: a dead letter as Lambda's invocation record.

use kcl_core::{Batch, BoxError, HashKey, StreamArn, delivery::DiscardReason};
use kcl_runtime::dead_letter::DeadLetter;
use uuid::Uuid;

use crate::{
    event::{EventSource, EventWriter},
    invocation_record::{
        Condition, FormatVersion, InvocationRecord, KinesisBatchInfo, Payload, RequestContext, ResponseContext,
    },
};

/// The most bytes of a message that every queue and topic takes. Queues can be set to take up to 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Makes the invocation records of one function and one stream.
///
/// - The id of the last invocation is not known to dead letters: `requestId` is made from the place of the records, so that a
///   letter that is delivered twice has the same one.
/// - `responseContext` is there if the function was tried out, and `functionError` is null in it if it named the records that
///   failed.
#[derive(Clone, Debug)]
pub struct LambdaRecords {
    function_arn: String,
    stream_arn: String,
    source: EventSource,
    payload: bool,
}

impl LambdaRecords {
    /// Records about the function `function_arn` and the stream, as events of `source` name them.
    #[must_use]
    pub fn new(function_arn: impl Into<String>, stream: &StreamArn, source: EventSource) -> Self {
        Self {
            function_arn: function_arn.into(),
            stream_arn: stream.as_str().to_owned(),
            source,
            payload: false,
        }
    }

    /// Whether messages have the payload too, the event with the records in full, where it fits into [`MESSAGE_BYTES_MAX`].
    /// AWS never has it in messages. Off by default.
    #[must_use]
    pub const fn with_payload(mut self, payload: bool) -> Self {
        self.payload = payload;
        self
    }

    /// The record about a letter, without a payload: as SQS and SNS have it.
    ///
    /// # Errors
    /// If the letter has no records, or was given up for a reason that has no name in this format.
    pub fn record(&self, letter: &DeadLetter) -> Result<InvocationRecord, BoxError> {
        self.describe(letter, &letter.batch)
    }

    /// The record about a letter with its payload, as S3 has it.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn record_with_payload(&self, letter: &DeadLetter) -> Result<InvocationRecord, BoxError> {
        self.describe_whole(letter, &letter.batch)
    }

    /// The message about a letter, for a queue or a topic: JSON, with the payload if that is asked for and fits.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn message(&self, letter: &DeadLetter) -> Result<String, BoxError> {
        if self.payload {
            let whole = serde_json::to_string(&self.record_with_payload(letter)?)?;
            if whole.len() <= MESSAGE_BYTES_MAX {
                return Ok(whole);
            }
        }
        Ok(serde_json::to_string(&self.record(letter)?)?)
    }

    /// The record about some of the records of a letter, with these as its payload.
    pub(super) fn describe_whole(&self, letter: &DeadLetter, batch: &Batch) -> Result<InvocationRecord, BoxError> {
        let event = EventWriter::new(&self.source, &letter.shard).event(batch);
        Ok(InvocationRecord {
            payload: Some(Payload::new(&event)?),
            ..self.describe(letter, batch)?
        })
    }

    fn describe(&self, letter: &DeadLetter, batch: &Batch) -> Result<InvocationRecord, BoxError> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Err("a letter without records cannot be described".into());
        };
        let condition = Condition::of(letter.reason)
            .ok_or_else(|| format!("the reason {} has no name in Lambda's format", letter.reason))?;
        let tried = letter.reason == DiscardReason::RetryAttemptsExhausted;
        let place = format!(
            "{}/{}/{}-{}",
            self.stream_arn,
            letter.shard,
            first.position(),
            last.position()
        );
        Ok(InvocationRecord {
            request_context: RequestContext {
                request_id: request_id(&format!("{}/{place}", letter.application)).to_string(),
                function_arn: self.function_arn.clone(),
                condition,
                approximate_invoke_count: u64::from(letter.attempts.max(1)),
            },
            response_context: tried.then(|| ResponseContext {
                status_code: 200,
                executed_version: self.executed_version().to_owned(),
                function_error: (!names_records(letter)).then(|| "Unhandled".to_owned()),
            }),
            version: FormatVersion::V1,
            timestamp: letter.at,
            kinesis_batch_info: KinesisBatchInfo {
                shard_id: letter.shard.clone(),
                start_sequence_number: first.sequence_number.clone(),
                end_sequence_number: last.sequence_number.clone(),
                approximate_arrival_of_first_record: first.approximate_arrival_timestamp,
                approximate_arrival_of_last_record: last.approximate_arrival_timestamp,
                batch_size: batch.len() as u64,
                stream_arn: self.stream_arn.clone(),
            },
            payload: None,
        })
    }

    /// The version that the function's ARN names, if it names one.
    fn executed_version(&self) -> &str {
        let qualifier = self.function_arn.split(':').nth(7);
        qualifier
            .filter(|qualifier| qualifier.bytes().all(|byte| byte.is_ascii_digit()))
            .unwrap_or("$LATEST")
    }
}

/// An id that is the same whenever the same records are given up.
fn request_id(place: &str) -> Uuid {
    // A digest of 128 bits, which is what is wanted here too.
    let digest = HashKey::of_partition_key(place).0;
    uuid::Builder::from_random_bytes(digest.to_be_bytes()).into_uuid()
}

/// Whether the function answered, and named the records that failed: the worker says so in these words.
fn names_records(letter: &DeadLetter) -> bool {
    letter
        .error
        .as_deref()
        .is_some_and(|error| error.starts_with("the handler named "))
}
