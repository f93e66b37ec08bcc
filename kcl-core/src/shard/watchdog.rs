//! A lease must not be held without anything happening: reads and opens that are not answered, and a shard that gives nothing
//! though there is something, are noticed, told, and cured by letting go of the reader and opening again at the exact place.
//!
//! It stands above the readers and knows nothing of how they read. User code that runs long is told, not ended.

use std::{fmt, time::Duration};

use super::{ShardEffect, ShardEvent, ShardMachine, Waiting};
use crate::{record::Batch, time::Tick};

/// The most time between two reads that counts as watching.
const LONGEST_GLANCE: Duration = Duration::from_secs(5);

/// From this cure on the connection is made anew too: opening again did not help.
const CURES_BEFORE_RECONNECT: u32 = 2;

/// How long nothing may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchdogConfig {
    /// For so long an open or a read may go without an answer. The default of 45 s is more than a request to the service may
    /// take: requests end by themselves, unless something below them hangs.
    pub unanswered: Duration,
    /// For so long reads may give nothing while the service says that there is more, and not come nearer to it. 60 s by default.
    pub silent: Duration,
    /// For so long one call of the user's code may run before that is told. 60 s by default.
    pub slow_call: Duration,
}

impl Default for WatchdogConfig {
    fn default() -> Self {
        Self {
            unanswered: Duration::from_secs(45),
            silent: Duration::from_secs(60),
            slow_call: Duration::from_secs(60),
        }
    }
}

/// What stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stall {
    /// An open or a read has no answer.
    Unanswered,
    /// Reads give nothing, though there is something.
    Silent,
}

impl Stall {
    /// The name in lower case, as logs and metrics carry it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::Silent => "silent",
        }
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unanswered => "the service has not answered",
            Self::Silent => "the service says that there are records, and has given none",
        })
    }
}

/// A shard that gives nothing while it is behind.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// How near to the tip reading came.
    nearest: u64,
    last_read: Tick,
    watched: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// Since when an answer is awaited.
    asked: Option<Tick>,
    silence: Option<Silence>,
    calling: Option<Tick>,
    told_of_call: bool,
    /// What stood still since when, and how often that was tried to cure.
    episode: Option<(Stall, Tick)>,
    cures: u32,
}

impl Watchdog {
    pub(super) fn asked(&mut self, now: Tick) {
        self.asked = Some(now);
    }

    pub(super) fn answered(&mut self) {
        self.asked = None;
    }

    pub(super) fn call_ended(&mut self) {
        (self.calling, self.told_of_call) = (None, false);
    }

    /// Since when the user's code works on its call.
    pub(super) fn calling(&self) -> Option<Tick> {
        self.calling
    }

    /// What stands still, for how long, and how often it was opened again.
    pub(super) fn stall(&self, now: Tick) -> Option<(Stall, Duration, u32)> {
        self.episode.map(|(stall, since)| (stall, now.since(since), self.cures))
    }

    fn unanswered_at(&self, config: &WatchdogConfig) -> Option<Tick> {
        self.asked.map(|asked| asked + config.unanswered)
    }

    fn slow_call_at(&self, config: &WatchdogConfig) -> Option<Tick> {
        let calling = self.calling.filter(|_| !self.told_of_call);
        calling.map(|since| since + config.slow_call)
    }

    /// Takes in what a read gave. Says since when the shard has been silent, if that is too long.
    fn silent_since(&mut self, now: Tick, behind: u64, config: &WatchdogConfig) -> Option<Tick> {
        let silence = self.silence.get_or_insert(Silence {
            nearest: behind,
            last_read: now,
            watched: Duration::ZERO,
        });
        if behind < silence.nearest {
            // Parts of a shard without records are passed through as well.
            (silence.nearest, silence.watched) = (behind, Duration::ZERO);
        }
        silence.watched += now.since(silence.last_read).min(LONGEST_GLANCE);
        silence.last_read = now;
        (silence.watched >= config.silent).then(|| now - silence.watched)
    }
}

impl ShardMachine {
    pub(super) fn watchdog_deadline(&self) -> Option<Tick> {
        let config = &self.config.watchdog;
        let unanswered = self.watchdog.unanswered_at(config);
        let call = self.watchdog.slow_call_at(config);
        if self.stop.is_some() {
            return None;
        }
        [unanswered, call].into_iter().flatten().min()
    }

    /// Looks at what is under way, after everything else was done.
    pub(super) fn advance_watchdog(&mut self, now: Tick) {
        if self.stop.is_some() {
            return;
        }
        if self.handling.is_calling() {
            self.watchdog.calling.get_or_insert(now);
        } else {
            self.watchdog.call_ended();
        }
        let config = self.config.watchdog;
        if self.watchdog.unanswered_at(&config).is_some_and(|at| at <= now) {
            let since = self.watchdog.asked.unwrap_or(now);
            self.cure(now, Stall::Unanswered, since);
        }
        if self.watchdog.slow_call_at(&config).is_some_and(|at| at <= now) {
            self.watchdog.told_of_call = true;
            let since = self.watchdog.calling.unwrap_or(now);
            let call = match self.handling.waiting(now) {
                Some(Waiting::ForHandler { call, .. } | Waiting::ForRetry { call, .. }) => call,
                _ => "process_records",
            };
            let time = now.since(since);
            self.effects
                .push_back(ShardEffect::Event(ShardEvent::CallSlow { call, time }));
        }
    }

    /// A read gave something, or at least an answer.
    pub(super) fn watch_fetch(&mut self, now: Tick, batch: &Batch, is_end: bool) {
        let behind = batch.millis_behind_latest().unwrap_or_default();
        if !batch.is_empty() || is_end || behind == 0 {
            return self.flows(now);
        }
        if let Some((Stall::Unanswered, _)) = self.watchdog.episode {
            self.flows(now);
        }
        let config = self.config.watchdog;
        if let Some(since) = self.watchdog.silent_since(now, behind, &config) {
            self.cure(now, Stall::Silent, since);
        }
    }

    fn flows(&mut self, now: Tick) {
        self.watchdog.silence = None;
        if let Some((stall, since)) = self.watchdog.episode.take() {
            let (time, cures) = (now.since(since), std::mem::take(&mut self.watchdog.cures));
            self.effects
                .push_back(ShardEffect::Event(ShardEvent::Flows { stall, time, cures }));
        }
    }

    /// Opens again, soon at first, and from the second time on over a new connection.
    fn cure(&mut self, now: Tick, stall: Stall, since: Tick) {
        let (stall, since) = *self.watchdog.episode.get_or_insert((stall, since));
        self.watchdog.cures = self.watchdog.cures.saturating_add(1);
        let cures = self.watchdog.cures;
        self.watchdog.silence = None;
        let retry_in = if cures == 1 {
            Duration::ZERO
        } else {
            self.config.service_backoff.wait(cures - 1, &mut self.rng)
        };
        self.open_anew(now, retry_in);
        if cures >= CURES_BEFORE_RECONNECT {
            self.effects.push_back(ShardEffect::Reconnect);
        }
        self.effects.push_back(ShardEffect::Event(ShardEvent::Stalled {
            stall,
            time: now.since(since),
            cures,
            retry_in,
        }));
    }
}
