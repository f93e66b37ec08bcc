//! Which call meets which fault.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kcl_core::{LeaseKey, StoreOperation};

/// A trouble that a call can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails with `Unavailable` and changes nothing.
    Unavailable,
    /// The call fails with `Throttled` and changes nothing.
    Throttled,
    /// A write is carried out, and its answer is lost: `Ambiguous`. A read fails with `Unavailable`.
    LoseAnswer,
    /// The call waits on tokio's timer before it is carried out, or meets the other faults that the plan has for it.
    Delay(Duration),
    /// A list answers what the list before it answered; the first one of all is never stale. Other calls are spared.
    StaleList,
}

/// When a fault strikes: by operation, key, number of calls, and chance.
///
/// ```
/// use kcl_checkpoint::{Fault, FaultRule};
/// use kcl_core::StoreOperation;
///
/// // Of the updates after the tenth, one in five is throttled, until that has happened three times.
/// let rule = FaultRule::new(Fault::Throttled)
///     .on(StoreOperation::Update)
///     .after(10)
///     .with_probability(0.2)
///     .times(3);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct FaultRule {
    fault: Fault,
    operation: Option<StoreOperation>,
    key: Option<LeaseKey>,
    probability: f64,
    skip: u64,
    remaining: Option<u64>,
}

impl FaultRule {
    /// A rule by which every call meets `fault`.
    pub const fn new(fault: Fault) -> Self {
        Self {
            fault,
            operation: None,
            key: None,
            probability: 1.0,
            skip: 0,
            remaining: None,
        }
    }

    /// Only calls of `operation`.
    pub const fn on(mut self, operation: StoreOperation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Only calls on the row `key`: never a list.
    pub fn on_key(mut self, key: LeaseKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Each of the calls only with this probability, from 0 to 1.
    pub const fn with_probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Spares the first `calls` that the rule would apply to.
    pub const fn after(mut self, calls: u64) -> Self {
        self.skip = calls;
        self
    }

    /// Strikes `times` times, then never again.
    pub const fn times(mut self, times: u64) -> Self {
        self.remaining = Some(times);
        self
    }

    fn concerns(&self, operation: StoreOperation, key: Option<&LeaseKey>) -> bool {
        self.operation.is_none_or(|only| only == operation)
            && self.key.as_ref().is_none_or(|only| Some(only) == key)
            && (self.fault != Fault::StaleList || operation == StoreOperation::List)
    }

    /// Whether the rule strikes a call that concerns it. Certain rules draw nothing, so that adding one to a plan does not
    /// shift the chances of the others.
    fn strikes(&mut self, rng: &mut fastrand::Rng) -> bool {
        if self.remaining == Some(0) {
            return false;
        }
        if let Some(skip) = self.skip.checked_sub(1) {
            self.skip = skip;
            return false;
        }
        if self.probability < 1.0 && rng.f64() >= self.probability {
            return false;
        }
        self.remaining = self.remaining.map(|remaining| remaining - 1);
        true
    }
}

/// How a call goes on after its delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Spared,
    Unavailable,
    Throttled,
    LoseAnswer,
    StaleList,
}

/// The faults of one or several stores. Clones share the plan, so that it can be changed while the stores are in use.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    rules: Vec<FaultRule>,
    out: bool,
    struck: BTreeMap<Fault, u64>,
}

impl FaultPlan {
    /// A plan without faults, whose chances follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: fastrand::Rng::with_seed(seed),
            rules: Vec::new(),
            out: false,
            struck: BTreeMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Adds a rule behind the others. Each call asks them in order until a fault strikes that is not a delay; the delays
    /// on the way there add up.
    pub fn add(&self, rule: FaultRule) {
        self.lock().rules.push(rule);
    }

    /// Removes all rules. An outage stays until it is ended.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// From now on every call fails with `Unavailable`, also those that a delay holds back.
    pub fn start_outage(&self) {
        self.lock().out = true;
    }

    /// Ends the outage.
    pub fn end_outage(&self) {
        self.lock().out = false;
    }

    /// Whether there is an outage.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.lock().out
    }

    /// How often each fault struck by a rule, without outages.
    #[must_use]
    pub fn struck(&self) -> BTreeMap<Fault, u64> {
        self.lock().struck.clone()
    }

    /// Decides a call. Rules neither count nor draw during an outage.
    pub(super) fn judge(&self, operation: StoreOperation, key: Option<&LeaseKey>) -> (Duration, Verdict) {
        let state = &mut *self.lock();
        let mut delay = Duration::ZERO;
        if state.out {
            return (delay, Verdict::Unavailable);
        }
        for rule in &mut state.rules {
            if !rule.concerns(operation, key) || !rule.strikes(&mut state.rng) {
                continue;
            }
            *state.struck.entry(rule.fault).or_default() += 1;
            let verdict = match rule.fault {
                Fault::Delay(by) => {
                    delay = delay.saturating_add(by);
                    continue;
                }
                Fault::Unavailable => Verdict::Unavailable,
                Fault::Throttled => Verdict::Throttled,
                Fault::LoseAnswer => Verdict::LoseAnswer,
                Fault::StaleList => Verdict::StaleList,
            };
            return (delay, verdict);
        }
        (delay, Verdict::Spared)
    }

    /// Nothing here panics while it holds the lock: poison is no news.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
