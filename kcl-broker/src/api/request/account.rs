//! What holds for the account: limits and settings.

use serde::Deserialize;

use crate::api::field;

/// Tells how much of its limits the account has used up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct DescribeLimits {}

/// Describes the settings of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct DescribeAccountSettings {}

/// Changes the settings of the account.
///
/// ```
/// use kcl_broker::{Broker, api::{BillingCommitmentStatus, UpdateAccountSettings}};
///
/// let broker = Broker::new();
/// let settings = broker.call(UpdateAccountSettings::with_commitment("ENABLED"))?;
/// assert_eq!(settings.minimum_throughput_billing_commitment.status, BillingCommitmentStatus::Enabled);
/// # Ok::<(), kcl_broker::ApiError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UpdateAccountSettings {
    /// Whether to pay for on-demand streams at lower rates and for a minimum of throughput.
    #[serde(deserialize_with = "field::structure")]
    pub minimum_throughput_billing_commitment: Option<MinimumThroughputBillingCommitment>,
}

impl UpdateAccountSettings {
    /// Makes or ends the commitment: `ENABLED` or `DISABLED`.
    #[must_use]
    pub fn with_commitment(status: impl Into<String>) -> Self {
        Self {
            minimum_throughput_billing_commitment: Some(MinimumThroughputBillingCommitment {
                status: Some(status.into()),
            }),
        }
    }
}

/// The commitment to pay for a minimum of throughput, as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MinimumThroughputBillingCommitment {
    /// `ENABLED` or `DISABLED`.
    #[serde(deserialize_with = "field::text")]
    pub status: Option<String>,
}
