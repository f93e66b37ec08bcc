//! What holds for the account: limits and settings.

use kcl_core::Timestamp;

/// Answers [`DescribeLimits`](crate::api::DescribeLimits).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribeLimitsOutput {
    /// The most shards that can be open.
    pub shard_limit: usize,
    /// How many are.
    pub open_shard_count: usize,
    /// How many streams are in the on-demand mode.
    pub on_demand_stream_count: usize,
    /// The most that can be.
    pub on_demand_stream_count_limit: usize,
}

/// Answers [`DescribeAccountSettings`](crate::api::DescribeAccountSettings) and
/// [`UpdateAccountSettings`](crate::api::UpdateAccountSettings).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountSettings {
    /// Whether the account pays for on-demand streams at lower rates and for a minimum of throughput.
    pub minimum_throughput_billing_commitment: BillingCommitment,
}

/// The commitment to pay for a minimum of throughput.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BillingCommitment {
    /// Whether it holds.
    pub status: BillingCommitmentStatus,
    /// When it began, if there ever was one.
    pub started_at: Option<Timestamp>,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// When it can end, while it holds.
    pub earliest_allowed_end_at: Option<Timestamp>,
}

/// Whether a commitment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BillingCommitmentStatus {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It does, and ends as soon as it can.
    EnabledUntilEarliestAllowedEnd,
}

impl BillingCommitmentStatus {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
            Self::EnabledUntilEarliestAllowedEnd => "ENABLED_UNTIL_EARLIEST_ALLOWED_END",
        }
    }
}
