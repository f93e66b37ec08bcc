//! What a row means: the rules that all stores share.

use kcl_core::Timestamp;

use crate::store::{Begun, Claim, Completion, Lock};

/// The values of `status`, as Powertools writes them.
pub(crate) const IN_PROGRESS: &str = "INPROGRESS";
pub(crate) const COMPLETED: &str = "COMPLETED";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// With the end of the lock, if that is not the row's.
    InProgress {
        until: Option<Timestamp>,
    },
    Completed {
        result: Option<String>,
    },
}

/// What a store keeps for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) status: Status,
    /// The second since the epoch after which the row is as good as gone; `None` for never.
    pub(crate) expiration: Option<i64>,
    pub(crate) validation: Option<String>,
}

pub(crate) fn seconds(at: Timestamp) -> i64 {
    at.epoch_millis().div_euclid(1000)
}

impl Row {
    pub(crate) fn claimed(claim: &Claim) -> Self {
        Self {
            status: Status::InProgress {
                until: Some(claim.lock_until),
            },
            expiration: Some(seconds(claim.expires_at)),
            validation: claim.validation.clone(),
        }
    }

    pub(crate) fn completed(completion: &Completion) -> Self {
        Self {
            status: Status::Completed {
                result: Some(completion.result.clone()),
            },
            expiration: Some(seconds(completion.expires_at)),
            validation: completion.validation.clone(),
        }
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expiration.is_some_and(|expiration| expiration < seconds(now))
    }

    /// Whether somebody may begin as if the row were not there.
    pub(crate) fn is_free(&self, now: Timestamp) -> bool {
        let unlocked = matches!(&self.status, Status::InProgress { until: Some(until) } if *until < now);
        self.is_expired(now) || unlocked
    }

    /// What a row that is not free answers to a claim.
    pub(crate) fn answer(&self, claim: &Claim) -> Begun {
        let differs = |stored: &String| claim.validation.as_ref().is_some_and(|claimed| claimed != stored);
        if self.validation.as_ref().is_some_and(differs) {
            return Begun::Mismatch;
        }
        match &self.status {
            Status::InProgress { until } => Begun::InProgress { until: *until },
            Status::Completed { result } => Begun::Completed(result.clone()),
        }
    }

    /// The result that stands against a later completion.
    pub(crate) fn standing_result(&self, now: Timestamp) -> Option<&Option<String>> {
        match &self.status {
            Status::Completed { result } if !self.is_expired(now) => Some(result),
            _ => None,
        }
    }

    pub(crate) fn is_locked_by(&self, lock: &Lock) -> bool {
        matches!(&self.status, Status::InProgress { until: Some(until) } if *until == lock.until)
    }
}
