//! The producer's calls, through the AWS SDK.

use std::time::Duration;

use aws_sdk_kinesis::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata as _},
    primitives::Blob,
    types::{PutRecordsRequestEntry, PutRecordsResultEntry},
};
use kcl_core::{
    SequenceNumber, Shard, ShardFilter, ShardId, StreamName,
    aggregate::UserRecord,
    producer::{CallFailure, CallFailureKind, Refusal, Written},
};

use crate::source::{KinesisSource, RecordSource as _};

/// What became of each record of a call.
pub(super) type Answers = Result<Vec<Result<Written, Refusal>>, CallFailure>;

#[derive(Clone, Debug)]
pub(super) struct Writer {
    client: Client,
    stream: StreamName,
    timeout: Duration,
}

impl Writer {
    pub(super) fn new(client: Client, stream: StreamName, timeout: Duration) -> Self {
        Self {
            client,
            stream,
            timeout,
        }
    }

    pub(super) fn stream(&self) -> &StreamName {
        &self.stream
    }

    pub(super) async fn list_shards(self) -> Result<Vec<Shard>, String> {
        let source = KinesisSource::new(self.client, self.stream).with_request_timeout(self.timeout);
        let listed = source.list_shards(ShardFilter::All).await;
        listed.map_err(|failure| failure.message)
    }

    pub(super) async fn put(self, records: Vec<UserRecord>) -> Answers {
        let entries = records.into_iter().map(entry).collect::<Result<_, _>>()?;
        let request = self.client.put_records().stream_name(self.stream.as_str());
        let sent = Box::pin(request.set_records(Some(entries)).send());
        match tokio::time::timeout(self.timeout, sent).await {
            Ok(Ok(answer)) => Ok(answer.records.into_iter().map(read).collect()),
            Ok(Err(error)) => {
                let code = error.code().unwrap_or("Unreachable").to_owned();
                let message = match error.message() {
                    Some(message) => message.to_owned(),
                    None => DisplayErrorContext(&error).to_string(),
                };
                Err(CallFailure {
                    kind: kind_of(&code),
                    refusal: Refusal { code, message },
                })
            }
            Err(_) => Err(CallFailure {
                kind: CallFailureKind::Passing,
                refusal: Refusal {
                    code: "Timeout".to_owned(),
                    message: format!("PutRecords gave no answer within {} s", self.timeout.as_secs_f64()),
                },
            }),
        }
    }
}

/// What another attempt would not change; all else is tried again until records expire.
fn kind_of(code: &str) -> CallFailureKind {
    match code {
        "InvalidArgumentException" | "ValidationException" | "SerializationException" => CallFailureKind::Invalid,
        "ResourceNotFoundException" | "AccessDeniedException" | "UnrecognizedClientException" => {
            CallFailureKind::Permanent
        }
        "InvalidSignatureException" | "MissingAuthenticationTokenException" => CallFailureKind::Permanent,
        "KMSAccessDeniedException" | "KMSDisabledException" | "KMSNotFoundException" | "KMSOptInRequired" => {
            CallFailureKind::Permanent
        }
        _ => CallFailureKind::Passing,
    }
}

fn entry(record: UserRecord) -> Result<PutRecordsRequestEntry, CallFailure> {
    // The SDK wants data of its own: this is the one copy on the way.
    PutRecordsRequestEntry::builder()
        .data(Blob::new(record.data))
        .partition_key(record.partition_key.to_string())
        .set_explicit_hash_key(record.explicit_hash_key.map(|key| key.to_string()))
        .build()
        .map_err(|error| CallFailure {
            kind: CallFailureKind::Invalid,
            refusal: Refusal {
                code: "Incomplete".to_owned(),
                message: error.to_string(),
            },
        })
}

fn read(entry: PutRecordsResultEntry) -> Result<Written, Refusal> {
    if let Some(code) = entry.error_code {
        let message = entry.error_message.unwrap_or_default();
        return Err(Refusal { code, message });
    }
    let sequence_number = entry.sequence_number.and_then(|text| SequenceNumber::new(text).ok());
    let shard = entry.shard_id.and_then(|text| ShardId::new(text).ok());
    match (sequence_number, shard) {
        (Some(sequence_number), Some(shard)) => Ok(Written { shard, sequence_number }),
        _ => Err(Refusal {
            code: "MalformedAnswer".to_owned(),
            message: "neither an error nor a place".to_owned(),
        }),
    }
}
