//! [`FaultPlan`]: the faults, and how often each has struck.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Chance, Fault, FaultError, FaultKind, operation};
use crate::engine::{FailRecords, Quirk};

/// The most faults of a plan. Every call asks all of them.
const FAULTS_MAX: usize = 256;

/// A fault's number in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A call, as far as faults choose by it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call<'a> {
    /// The operation's name; those of other services than Kinesis with the service's name in front.
    pub operation: &'a str,
    /// The stream that it is about.
    pub stream: Option<&'a str>,
    /// The shards that it is about.
    pub shards: &'a [String],
    /// The DynamoDB table that it is about.
    pub table: Option<&'a str>,
    /// Whether it came over a connection, which can be cut, and can be made to wait.
    pub has_connection: bool,
}

/// A fault and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FaultStatus {
    /// Its number.
    pub id: FaultId,
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// How many calls were of those that it is for.
    pub matched: u64,
    /// How many of them it struck.
    pub struck: u64,
}

impl FaultStatus {
    /// Whether it has struck as often as it may.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.fault.times.is_some_and(|times| self.struck >= times)
    }
}

/// What happens to a call.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Strike {
    /// The faults that struck, with their names. None, as a rule.
    pub faults: Vec<(FaultId, &'static str)>,
    /// How long the call waits before it is carried out.
    pub latency: Duration,
    /// What happens then.
    pub effect: Option<Effect>,
}

/// What happens to a call beside that it may have to wait.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// The engine answers it as told.
    Quirk(Quirk),
    /// The connection is cut before the call is carried out.
    DropRequest,
    /// The connection is cut after the call was carried out.
    DropAnswer,
    /// The subscription is silent.
    Silence,
    /// The subscription is cut off after so many events.
    Disconnect(u32),
}

/// A plan of faults. It is pure: what happens to a call follows from the plan and the calls before.
///
/// ```
/// use kcl_broker::trouble::{Call, Effect, Fault, FaultPlan};
///
/// let mut plan = FaultPlan::default();
/// plan.add(Fault::drop_answer().on("PutRecords").after(1).times(1))?;
/// let call = Call { operation: "PutRecords", has_connection: true, ..Call::default() };
/// let effects: Vec<_> = (0..3).map(|_| plan.strike(&call).effect).collect();
/// assert_eq!(effects, [None, Some(Effect::DropAnswer), None]);
/// # Ok::<(), kcl_broker::trouble::FaultError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    faults: Vec<FaultStatus>,
    added: u64,
}

impl FaultPlan {
    /// Adds a fault behind those that there are.
    ///
    /// # Errors
    /// If the fault means nothing or could never strike, or if there are 256 already.
    pub fn add(&mut self, fault: Fault) -> Result<FaultId, FaultError> {
        fault.check()?;
        if self.faults.len() >= FAULTS_MAX {
            return Err(FaultError::TooMany { limit: FAULTS_MAX });
        }
        self.added += 1;
        let id = FaultId(self.added);
        self.faults.push(FaultStatus {
            id,
            fault,
            matched: 0,
            struck: 0,
        });
        Ok(id)
    }

    /// The faults, in the order in which they are asked.
    #[must_use]
    pub fn faults(&self) -> &[FaultStatus] {
        &self.faults
    }

    /// Takes a fault out, and gives what became of it.
    pub fn remove(&mut self, id: FaultId) -> Option<FaultStatus> {
        let at = self.faults.iter().position(|fault| fault.id == id)?;
        Some(self.faults.remove(at))
    }

    /// Takes all faults out.
    pub fn clear(&mut self) {
        self.faults.clear();
    }

    /// Whether faults want to know to which shards a call of `operation` writes.
    #[must_use]
    pub fn wants_shards(&self, operation: &str) -> bool {
        self.faults
            .iter()
            .any(|fault| fault.fault.shard.is_some() && operation::matches(&fault.fault.operation, operation))
    }

    /// Decides what happens to a call.
    pub fn strike(&mut self, call: &Call<'_>) -> Strike {
        let mut strike = Strike::default();
        for status in &mut self.faults {
            if !status.strikes(call) {
                continue;
            }
            strike.faults.push((status.id, status.fault.kind.name()));
            match status.effect(call) {
                None => strike.latency = strike.latency.saturating_add(status.latency()),
                effect => {
                    strike.effect = effect;
                    break;
                }
            }
        }
        strike
    }
}

impl FaultStatus {
    /// Counts the call if it is one of those that the fault is for, and says whether it strikes.
    fn strikes(&mut self, call: &Call<'_>) -> bool {
        let fault = &self.fault;
        let is_of = |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        let needs_connection = matches!(
            fault.kind,
            FaultKind::Latency(_) | FaultKind::DropRequest | FaultKind::DropAnswer
        );
        let matches = operation::matches(&fault.operation, call.operation)
            && operation::can_happen(fault.kind, call.operation)
            && (fault.records.is_none() || call.operation == "PutRecords")
            && is_of(&fault.stream, call.stream)
            && is_of(&fault.table, call.table)
            && fault.shard.as_ref().is_none_or(|shard| call.shards.contains(shard))
            && (call.has_connection || !needs_connection);
        if self.is_over() || !matches {
            return false;
        }
        let number = self.matched;
        self.matched += 1;
        let strikes = number >= self.fault.after && Chance::new(self.fault.seed, self.fault.probability).hits(number);
        self.struck += u64::from(strikes);
        strikes
    }

    fn latency(&self) -> Duration {
        match self.fault.kind {
            FaultKind::Latency(latency) => latency,
            _ => Duration::ZERO,
        }
    }

    /// What happens to the call that was counted last.
    fn effect(&self, call: &Call<'_>) -> Option<Effect> {
        Some(match self.fault.kind {
            FaultKind::Latency(_) => return None,
            FaultKind::DropRequest => Effect::DropRequest,
            FaultKind::DropAnswer => Effect::DropAnswer,
            FaultKind::SilentSubscription => Effect::Silence,
            FaultKind::Disconnect(events) => Effect::Disconnect(events),
            FaultKind::Throttle => Effect::Quirk(self.fail_records(call, false).unwrap_or(Quirk::Throttle)),
            FaultKind::InternalError => Effect::Quirk(self.fail_records(call, true).unwrap_or(Quirk::InternalError)),
            FaultKind::Unavailable => Effect::Quirk(Quirk::Unavailable),
            FaultKind::ExpiredIterator => Effect::Quirk(Quirk::ExpiredIterator),
            FaultKind::NullIterator => Effect::Quirk(Quirk::NullIterator),
            FaultKind::StaleShards(age) => Effect::Quirk(Quirk::StaleShards(age)),
            FaultKind::ResourceInUse => Effect::Quirk(Quirk::ResourceInUse),
        })
    }

    /// Where a fault is for some of the records of a call, those.
    fn fail_records(&self, call: &Call<'_>, is_internal: bool) -> Option<Quirk> {
        let fault = &self.fault;
        if call.operation != "PutRecords" || (fault.records.is_none() && fault.shard.is_none()) {
            return None;
        }
        Some(Quirk::FailRecords(FailRecords {
            shard: fault.shard.clone(),
            chance: Chance::within(fault.seed, self.matched, fault.records.unwrap_or(1.0)),
            is_internal,
        }))
    }
}
