//! Enhanced fan-out, as decisions: when to subscribe, what the end of a subscription means, when polling takes over.
//!
//! A subscription is over after five minutes, and now and then before that. The next one goes on where the last event
//! that was given out ended, so that none is missed and none comes twice. If subscriptions do not come to be, or do not
//! last, the shard is polled for a while rather than left alone, and then fan-out is tried again.

use std::time::Duration;

use fastrand::Rng;

use super::{FetchFailure, FetchFailureKind, Retrieval, RetrievalMode, SubscribeAt};
use crate::{
    retry::Backoff,
    sequence::{Position, SequenceNumber},
    time::Tick,
};

/// From one subscription to the next: sooner the service refuses it.
pub const FLOOR: Duration = Duration::from_secs(5);
/// After so long without a word nobody can say any more that a shard is read to its tip. The service says something
/// every five seconds, also when there is nothing to tell.
pub const UNHEARD: Duration = Duration::from_secs(6);
/// After so long without a word, while we listen, a subscription is dead.
pub const IDLE: Duration = Duration::from_secs(20);
/// A subscription to which nobody listens for so long, since the handler is slow, is let go: what it holds back would hold
/// up the subscriptions of other shards on the same connection.
pub const LET_GO: Duration = Duration::from_secs(10);

/// Without an event for so long, while we want one, the shard is polled.
const PATIENCE: Duration = Duration::from_secs(30);
/// A subscription that lasted so long was a good one.
const LASTING: Duration = Duration::from_mins(1);
/// After so many in a row that did not last, the shard is polled.
const SHORT_LIVED: u32 = 5;
/// The least wait after the service refused a subscription for too many calls.
const THROTTLED: Duration = Duration::from_secs(1);
/// Before fan-out is tried again.
const RETRY: Backoff = Backoff {
    initial: Duration::from_mins(1),
    longest: Duration::from_mins(15),
};

/// Why a shard is polled that was to be subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// What stood in the way last.
    pub failure: FetchFailure,
    /// When fan-out is tried again.
    pub until: Tick,
}

/// Chooses how one shard is read, and paces its subscriptions.
#[derive(Debug)]
pub struct Retriever {
    mode: RetrievalMode,
    /// When the last subscription began.
    began: Option<Tick>,
    /// Whether it goes on.
    subscribed: bool,
    /// Since when an event is wanted and none came. Not counted is the time in which nobody listens.
    wanted_since: Option<Tick>,
    /// Attempts in a row that gave no event.
    failures: u32,
    /// Subscriptions in a row that did not last.
    short_lived: u32,
    /// Where the last event that was given out ended.
    continuation: Option<SequenceNumber>,
    fallback: Option<Fallback>,
    /// How often in a row polling had to take over.
    fallbacks: u32,
}

impl Retriever {
    /// For a shard that is to be read like this, and was not read yet.
    #[must_use]
    pub fn new(mode: RetrievalMode) -> Self {
        Self {
            mode,
            began: None,
            subscribed: false,
            wanted_since: None,
            failures: 0,
            short_lived: 0,
            continuation: None,
            fallback: None,
            fallbacks: 0,
        }
    }

    /// Reads the shard like this from now on.
    pub fn set_mode(&mut self, mode: RetrievalMode) {
        if self.mode != mode {
            *self = Self {
                began: self.began,
                continuation: self.continuation.take(),
                ..Self::new(mode)
            };
        }
    }

    /// How the shard is to be read now.
    #[must_use]
    pub fn choice(&self, now: Tick) -> Retrieval {
        let polls = self.mode == RetrievalMode::Polling || self.fallback().is_some_and(|fallback| now < fallback.until);
        if polls { Retrieval::Polling } else { Retrieval::FanOut }
    }

    /// Why the shard is polled though it was to be subscribed to. Stays until a subscription gives something.
    #[must_use]
    pub fn fallback(&self) -> Option<&Fallback> {
        self.fallback.as_ref()
    }

    /// Whether polling is what is not wanted.
    #[must_use]
    pub fn insists(&self) -> bool {
        self.mode == RetrievalMode::FanOut
    }

    /// Before this the service refuses a subscription.
    #[must_use]
    pub fn earliest(&self) -> Tick {
        self.began.map_or(Tick::ZERO, |began| began + FLOOR)
    }

    /// Where a subscription goes on, if everything up to `read` was read.
    #[must_use]
    pub fn start(&self, read: &Position) -> SubscribeAt {
        match &self.continuation {
            Some(number) => SubscribeAt::Continuation(number.clone()),
            None => SubscribeAt::Position(read.clone()),
        }
    }

    /// A subscription or an event is asked for.
    pub fn wants(&mut self, now: Tick) {
        self.wanted_since.get_or_insert(now);
    }

    /// A subscription began.
    pub fn subscribed(&mut self, now: Tick) {
        (self.began, self.subscribed) = (Some(now), true);
    }

    /// The subscription gave an event, which ended here.
    pub fn heard(&mut self, now: Tick, continuation: Option<SequenceNumber>) {
        (self.wanted_since, self.failures, self.fallback) = (None, 0, None);
        self.continuation = continuation;
        if self.lasted(now) {
            (self.short_lived, self.fallbacks) = (0, 0);
        }
    }

    /// A poll read on: where the last subscription ended is past.
    pub fn polled(&mut self) {
        self.continuation = None;
    }

    /// The subscription was let go, since nobody listens.
    pub fn let_go(&mut self) {
        (self.subscribed, self.wanted_since) = (false, None);
    }

    /// Whether this is how a good subscription ends.
    #[must_use]
    pub fn is_regular(&self, now: Tick, kind: FetchFailureKind) -> bool {
        kind == FetchFailureKind::Ended && self.failures == 0 && self.lasted(now)
    }

    /// A subscription did not come to be, or is over. Says how long to wait before the shard is opened again; by which
    /// way, [`choice`](Self::choice) says then.
    pub fn failed(&mut self, now: Tick, failure: &FetchFailure, rng: &mut Rng) -> Duration {
        let kind = failure.kind;
        if std::mem::take(&mut self.subscribed) && !self.lasted(now) {
            self.short_lived = self.short_lived.saturating_add(1);
        }
        self.failures = self.failures.saturating_add(1);
        if kind == FetchFailureKind::InvalidPosition && self.continuation.take().is_some() {
            // The position of the last record may be a better one.
            return self.earliest().since(now).max(Backoff::SERVICE.wait(1, rng));
        }
        // Polling tells best whether the position, the stream or the permission is wrong.
        let is_hopeless = matches!(
            kind,
            FetchFailureKind::Denied | FetchFailureKind::NotFound | FetchFailureKind::InvalidPosition
        );
        let is_long = self.wanted_since.is_some_and(|since| now.since(since) >= PATIENCE);
        let was_trial = self.fallback.is_some();
        if is_hopeless || is_long || was_trial || self.short_lived >= SHORT_LIVED {
            self.fall_back(now, failure, rng);
            return Duration::ZERO;
        }
        let wait = match kind {
            FetchFailureKind::Ended | FetchFailureKind::Silent if self.failures == 1 => Duration::ZERO,
            FetchFailureKind::InUse => FLOOR + Duration::from_millis(rng.u64(..1_000)),
            FetchFailureKind::Throttled => Backoff::SERVICE.wait(self.failures, rng).max(THROTTLED),
            _ => Backoff::SERVICE.wait(self.failures, rng),
        };
        wait.max(self.earliest().since(now))
    }

    fn fall_back(&mut self, now: Tick, failure: &FetchFailure, rng: &mut Rng) {
        self.fallbacks = self.fallbacks.saturating_add(1);
        (self.short_lived, self.wanted_since) = (0, None);
        self.fallback = Some(Fallback {
            failure: failure.clone(),
            until: now + RETRY.wait(self.fallbacks, rng),
        });
    }

    fn lasted(&self, now: Tick) -> bool {
        self.began.is_some_and(|began| now.since(began) >= LASTING)
    }
}

#[cfg(test)]
mod tests;
