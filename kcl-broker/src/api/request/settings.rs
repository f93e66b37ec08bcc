//! What the owner of a stream can switch on and off: encryption and metrics of shards.

use serde::Deserialize;

use crate::api::field;

/// Encrypts what is written to a stream from now on, or does so with another key.
///
/// Here nothing is encrypted, and no key is looked for: clients are told what the service would tell them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct StartStreamEncryption {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// `KMS`.
    #[serde(deserialize_with = "field::text")]
    pub encryption_type: Option<String>,
    /// The key's id, its ARN, or an alias of it.
    #[serde(deserialize_with = "field::text")]
    pub key_id: Option<String>,
}

impl StartStreamEncryption {
    /// Encrypts the stream of this name with this key.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, key_id: impl Into<String>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            encryption_type: Some("KMS".to_owned()),
            key_id: Some(key_id.into()),
        }
    }
}

/// Encrypts no more of what is written to a stream. What was encrypted stays so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct StopStreamEncryption {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// `KMS`.
    #[serde(deserialize_with = "field::text")]
    pub encryption_type: Option<String>,
    /// The key's id, its ARN, or an alias of it.
    #[serde(deserialize_with = "field::text")]
    pub key_id: Option<String>,
}

impl StopStreamEncryption {
    /// Ends the encryption of the stream of this name, with this key.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, key_id: impl Into<String>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            encryption_type: Some("KMS".to_owned()),
            key_id: Some(key_id.into()),
        }
    }
}

/// Measures more of each shard of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct EnableEnhancedMonitoring {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// Names of [metrics](crate::api::ShardLevelMetric), or `ALL`.
    #[serde(deserialize_with = "field::texts")]
    pub shard_level_metrics: Option<Vec<String>>,
}

impl EnableEnhancedMonitoring {
    /// Measures this as well, of each shard of the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, metrics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            shard_level_metrics: Some(metrics.into_iter().map(Into::into).collect()),
        }
    }
}

/// Measures less of each shard of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DisableEnhancedMonitoring {
    /// The stream, by name.
    #[serde(deserialize_with = "field::text")]
    pub stream_name: Option<String>,
    /// The stream, by ARN.
    #[serde(deserialize_with = "field::text", rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// Names of [metrics](crate::api::ShardLevelMetric), or `ALL`.
    #[serde(deserialize_with = "field::texts")]
    pub shard_level_metrics: Option<Vec<String>>,
}

impl DisableEnhancedMonitoring {
    /// Measures this no more, of each shard of the stream of this name.
    #[must_use]
    pub fn new(stream_name: impl Into<String>, metrics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            stream_name: Some(stream_name.into()),
            stream_arn: None,
            shard_level_metrics: Some(metrics.into_iter().map(Into::into).collect()),
        }
    }
}
