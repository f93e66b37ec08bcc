//! What holds for the account: its limits, and its commitment to pay for a minimum of throughput.

use std::time::Duration;

use kcl_core::Timestamp;

use super::{
    Engine, Operation,
    stream::Stream,
    validate::{Constraints, present},
};
use crate::api::{
    AccountSettings, ApiError, BillingCommitment, BillingCommitmentStatus, DescribeAccountSettings, DescribeLimits,
    DescribeLimitsOutput, MinimumThroughputBillingCommitment, StreamMode, UpdateAccountSettings,
};

/// The most on-demand streams of an account.
pub(super) const ON_DEMAND_STREAMS_MAX: usize = 50;
/// How long a commitment holds at least.
const COMMITMENT_MIN: Duration = Duration::from_hours(24);

impl Operation for DescribeLimits {
    const NAME: &'static str = "DescribeLimits";
    type Output = DescribeLimitsOutput;

    fn execute(self, engine: &mut Engine, _: Timestamp) -> Result<DescribeLimitsOutput, ApiError> {
        let streams = || engine.streams.values();
        Ok(DescribeLimitsOutput {
            shard_limit: engine.config.open_shards_max,
            open_shard_count: streams().map(Stream::open_shard_count).sum(),
            on_demand_stream_count: streams().filter(|stream| stream.mode == StreamMode::OnDemand).count(),
            on_demand_stream_count_limit: ON_DEMAND_STREAMS_MAX,
        })
    }
}

impl Operation for DescribeAccountSettings {
    const NAME: &'static str = "DescribeAccountSettings";
    type Output = AccountSettings;

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<AccountSettings, ApiError> {
        Ok(engine.account_settings(now))
    }
}

impl Operation for UpdateAccountSettings {
    const NAME: &'static str = "UpdateAccountSettings";
    type Output = AccountSettings;

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<AccountSettings, ApiError> {
        let wanted = self.minimum_throughput_billing_commitment;
        let mut constraints = Constraints::default();
        constraints.required("minimumThroughputBillingCommitment", wanted.as_ref());
        if let Some(MinimumThroughputBillingCommitment { status }) = &wanted {
            let path = "minimumThroughputBillingCommitment.status";
            constraints
                .required(path, status.as_ref())
                .one_of(path, status.as_ref(), &["ENABLED", "DISABLED"]);
        }
        constraints.check()?;
        if present(wanted)?.status.as_deref() == Some("ENABLED") {
            engine.commitment = Some(match engine.commitment {
                // An end that is still to come is called off.
                Some(commitment) if commitment.holds(now) => Commitment {
                    ends_at: None,
                    ..commitment
                },
                _ => Commitment {
                    started_at: now,
                    ends_at: None,
                },
            });
        } else if let Some(commitment) = &mut engine.commitment {
            let earliest = commitment.earliest_end().max(now);
            commitment.ends_at.get_or_insert(earliest);
        }
        Ok(engine.account_settings(now))
    }
}

/// The last commitment that the account has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commitment {
    started_at: Timestamp,
    /// When it ended or will end, if that is decided.
    ends_at: Option<Timestamp>,
}

impl Commitment {
    fn holds(&self, now: Timestamp) -> bool {
        self.ends_at.is_none_or(|ends_at| now < ends_at)
    }

    fn earliest_end(&self) -> Timestamp {
        self.started_at.saturating_add(COMMITMENT_MIN)
    }
}

impl Engine {
    /// Whether the account pays for a minimum of throughput, which gives its on-demand streams more.
    pub(super) fn has_commitment(&self, now: Timestamp) -> bool {
        self.commitment.is_some_and(|commitment| commitment.holds(now))
    }

    fn account_settings(&self, now: Timestamp) -> AccountSettings {
        let last = self.commitment;
        let current = last.filter(|commitment| commitment.holds(now));
        AccountSettings {
            minimum_throughput_billing_commitment: BillingCommitment {
                status: match current {
                    None => BillingCommitmentStatus::Disabled,
                    Some(Commitment { ends_at: None, .. }) => BillingCommitmentStatus::Enabled,
                    Some(_) => BillingCommitmentStatus::EnabledUntilEarliestAllowedEnd,
                },
                started_at: last.map(|commitment| commitment.started_at),
                ended_at: last
                    .filter(|commitment| !commitment.holds(now))
                    .and_then(|commitment| commitment.ends_at),
                earliest_allowed_end_at: current.map(|commitment| commitment.earliest_end()),
            },
        }
    }
}
