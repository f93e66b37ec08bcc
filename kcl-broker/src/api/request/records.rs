//! Writing and reading records.

use bytes::Bytes;
use bytestring::ByteString;
use kcl_core::Timestamp;
use serde::Deserialize;

use crate::api::field;

/// Writes one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PutRecord {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// What is written.
    #[serde(deserialize_with = "field::blob")]
    pub data: Option<Bytes>,
    /// Decides, by its MD5, to which shard the record goes.
    #[serde(deserialize_with = "field::shared_text")]
    pub partition_key: Option<ByteString>,
    /// Decides instead of the partition key's MD5.
    #[serde(deserialize_with = "field::text")]
    pub explicit_hash_key: Option<String>,
    /// The number of an earlier record that this one must come after.
    #[serde(deserialize_with = "field::text")]
    pub sequence_number_for_ordering: Option<String>,
    /// Only checks whether the request would succeed, and fails with `DryRunOperationException` if it would.
    #[serde(deserialize_with = "field::boolean")]
    pub dry_run: Option<bool>,
}

impl PutRecord {
    /// Writes `data` under `partition_key` to the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, partition_key: impl Into<ByteString>, data: impl Into<Bytes>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            data: Some(data.into()),
            partition_key: Some(partition_key.into()),
            ..Self::default()
        }
    }
}

/// Writes up to 500 records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PutRecords {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// What is written.
    #[serde(deserialize_with = "field::structures")]
    pub records: Option<Vec<PutRecordsEntry>>,
    /// Only checks whether the request would succeed, and fails with `DryRunOperationException` if it would.
    #[serde(deserialize_with = "field::boolean")]
    pub dry_run: Option<bool>,
}

impl PutRecords {
    /// Writes `records` to the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, records: impl IntoIterator<Item = PutRecordsEntry>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            records: Some(records.into_iter().collect()),
            ..Self::default()
        }
    }
}

/// One record of [`PutRecords`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PutRecordsEntry {
    /// What is written.
    #[serde(deserialize_with = "field::blob")]
    pub data: Option<Bytes>,
    /// Decides, by its MD5, to which shard the record goes.
    #[serde(deserialize_with = "field::shared_text")]
    pub partition_key: Option<ByteString>,
    /// Decides instead of the partition key's MD5.
    #[serde(deserialize_with = "field::text")]
    pub explicit_hash_key: Option<String>,
}

impl PutRecordsEntry {
    /// Writes `data` under `partition_key`.
    #[must_use]
    pub fn new(partition_key: impl Into<ByteString>, data: impl Into<Bytes>) -> Self {
        Self {
            data: Some(data.into()),
            partition_key: Some(partition_key.into()),
            explicit_hash_key: None,
        }
    }
}

/// Opens a shard for reading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GetShardIterator {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// The shard to read.
    #[serde(deserialize_with = "field::text")]
    pub shard_id: Option<String>,
    /// `TRIM_HORIZON`, `LATEST`, `AT_SEQUENCE_NUMBER`, `AFTER_SEQUENCE_NUMBER` or `AT_TIMESTAMP`.
    #[serde(deserialize_with = "field::text")]
    pub shard_iterator_type: Option<String>,
    /// For the two types that name a record.
    #[serde(deserialize_with = "field::text")]
    pub starting_sequence_number: Option<String>,
    /// For `AT_TIMESTAMP`.
    #[serde(deserialize_with = "field::timestamp")]
    pub timestamp: Option<Timestamp>,
    /// Only checks whether the request would succeed, and fails with `DryRunOperationException` if it would.
    #[serde(deserialize_with = "field::boolean")]
    pub dry_run: Option<bool>,
}

impl GetShardIterator {
    /// Begins with the oldest retained record.
    #[must_use]
    pub fn trim_horizon(stream_name: impl Into<String>, shard_id: impl Into<String>) -> Self {
        Self::of_type("TRIM_HORIZON", stream_name, shard_id)
    }

    /// Begins with the next record that arrives.
    #[must_use]
    pub fn latest(stream_name: impl Into<String>, shard_id: impl Into<String>) -> Self {
        Self::of_type("LATEST", stream_name, shard_id)
    }

    /// Begins with the record of this number.
    #[must_use]
    pub fn at(stream_name: impl Into<String>, shard_id: impl Into<String>, number: impl Into<String>) -> Self {
        let starting_sequence_number = Some(number.into());
        Self {
            starting_sequence_number,
            ..Self::of_type("AT_SEQUENCE_NUMBER", stream_name, shard_id)
        }
    }

    /// Begins with the record that follows the one of this number.
    #[must_use]
    pub fn after(stream_name: impl Into<String>, shard_id: impl Into<String>, number: impl Into<String>) -> Self {
        let starting_sequence_number = Some(number.into());
        Self {
            starting_sequence_number,
            ..Self::of_type("AFTER_SEQUENCE_NUMBER", stream_name, shard_id)
        }
    }

    /// Begins with the first record that arrived at or after this time.
    #[must_use]
    pub fn at_timestamp(stream_name: impl Into<String>, shard_id: impl Into<String>, at: Timestamp) -> Self {
        Self {
            timestamp: Some(at),
            ..Self::of_type("AT_TIMESTAMP", stream_name, shard_id)
        }
    }

    fn of_type(kind: &str, stream_name: impl Into<String>, shard_id: impl Into<String>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            shard_id: Some(shard_id.into()),
            shard_iterator_type: Some(kind.to_owned()),
            ..Self::default()
        }
    }
}

/// Reads on from an iterator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GetRecords {
    /// Where to read on; good for five minutes, any number of times.
    #[serde(deserialize_with = "field::text")]
    pub shard_iterator: Option<String>,
    /// The most records to give, 1 to 10000.
    #[serde(deserialize_with = "field::integer")]
    pub limit: Option<i32>,
    /// Only checks whether the request would succeed, and fails with `DryRunOperationException` if it would.
    #[serde(deserialize_with = "field::boolean")]
    pub dry_run: Option<bool>,
}

impl GetRecords {
    /// Reads as many records as one answer holds.
    #[must_use]
    pub fn new(shard_iterator: impl Into<String>) -> Self {
        Self {
            shard_iterator: Some(shard_iterator.into()),
            ..Self::default()
        }
    }
}
