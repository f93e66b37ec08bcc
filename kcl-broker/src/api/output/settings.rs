//! What the owner of a stream can switch on and off: encryption and metrics of shards.

use std::collections::BTreeSet;

use kcl_core::StreamName;

/// What is switched on in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSettings {
    /// What becomes of records when they are written.
    pub encryption: Encryption,
    /// What is measured of each shard.
    pub shard_level_metrics: BTreeSet<ShardLevelMetric>,
}

/// What becomes of records when they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encryption {
    /// They stay as they are.
    #[default]
    None,
    /// They are encrypted.
    Kms {
        /// The key, as it was named.
        key_id: String,
    },
}

impl Encryption {
    /// The type without the key.
    #[must_use]
    pub const fn encryption_type(&self) -> EncryptionType {
        match self {
            Self::None => EncryptionType::None,
            Self::Kms { .. } => EncryptionType::Kms,
        }
    }
}

/// Whether records are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncryptionType {
    /// They are not.
    #[default]
    None,
    /// They are, with a key of the Key Management Service.
    Kms,
}

impl EncryptionType {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Kms => "KMS",
        }
    }
}

/// What can be measured of each shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ShardLevelMetric {
    /// The bytes written.
    IncomingBytes,
    /// The records written.
    IncomingRecords,
    /// The bytes read.
    OutgoingBytes,
    /// The records read.
    OutgoingRecords,
    /// The records that were too many to be written.
    WriteProvisionedThroughputExceeded,
    /// The reads that were too many.
    ReadProvisionedThroughputExceeded,
    /// The age of the last record that was read.
    IteratorAgeMilliseconds,
}

impl ShardLevelMetric {
    /// All that there are.
    pub const ALL: [Self; 7] = [
        Self::IncomingBytes,
        Self::IncomingRecords,
        Self::OutgoingBytes,
        Self::OutgoingRecords,
        Self::WriteProvisionedThroughputExceeded,
        Self::ReadProvisionedThroughputExceeded,
        Self::IteratorAgeMilliseconds,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IncomingBytes => "IncomingBytes",
            Self::IncomingRecords => "IncomingRecords",
            Self::OutgoingBytes => "OutgoingBytes",
            Self::OutgoingRecords => "OutgoingRecords",
            Self::WriteProvisionedThroughputExceeded => "WriteProvisionedThroughputExceeded",
            Self::ReadProvisionedThroughputExceeded => "ReadProvisionedThroughputExceeded",
            Self::IteratorAgeMilliseconds => "IteratorAgeMilliseconds",
        }
    }
}

/// Answers [`EnableEnhancedMonitoring`](crate::api::EnableEnhancedMonitoring) and
/// [`DisableEnhancedMonitoring`](crate::api::DisableEnhancedMonitoring).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnhancedMonitoringOutput {
    /// The stream's name.
    pub stream_name: StreamName,
    /// The stream's ARN.
    pub stream_arn: String,
    /// What was measured before.
    pub current_shard_level_metrics: BTreeSet<ShardLevelMetric>,
    /// What is measured when the change has taken effect.
    pub desired_shard_level_metrics: BTreeSet<ShardLevelMetric>,
}
