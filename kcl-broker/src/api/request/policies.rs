//! Resource policies: who may do what to a stream or a consumer. They are kept, not enforced.

use serde::Deserialize;

use crate::api::field;

/// Attaches a policy to a stream or to a consumer, in place of the one that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PutResourcePolicy {
    /// The stream or the consumer.
    #[serde(deserialize_with = "field::text", rename = "ResourceARN")]
    pub resource_arn: Option<String>,
    /// The policy, in JSON.
    #[serde(deserialize_with = "field::text")]
    pub policy: Option<String>,
}

impl PutResourcePolicy {
    /// Attaches the policy to what has this ARN.
    #[must_use]
    pub fn new(resource_arn: impl Into<String>, policy: impl Into<String>) -> Self {
        Self {
            resource_arn: Some(resource_arn.into()),
            policy: Some(policy.into()),
        }
    }
}

/// Gives the policy of a stream or of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GetResourcePolicy {
    /// The stream or the consumer.
    #[serde(deserialize_with = "field::text", rename = "ResourceARN")]
    pub resource_arn: Option<String>,
}

impl GetResourcePolicy {
    /// Gives the policy of what has this ARN.
    #[must_use]
    pub fn new(resource_arn: impl Into<String>) -> Self {
        Self {
            resource_arn: Some(resource_arn.into()),
        }
    }
}

/// Takes the policy off a stream or a consumer, if it has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeleteResourcePolicy {
    /// The stream or the consumer.
    #[serde(deserialize_with = "field::text", rename = "ResourceARN")]
    pub resource_arn: Option<String>,
}

impl DeleteResourcePolicy {
    /// Takes the policy off what has this ARN.
    #[must_use]
    pub fn new(resource_arn: impl Into<String>) -> Self {
        Self {
            resource_arn: Some(resource_arn.into()),
        }
    }
}
