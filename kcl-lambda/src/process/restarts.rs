//! How long to wait before the next process is started, after some that did not live.

use std::time::Duration;

use kcl_core::Tick;

pub(super) const RESTART_PAUSE_FIRST: Duration = Duration::from_millis(500);
pub(super) const RESTART_PAUSE_MAX: Duration = Duration::from_mins(1);
/// So many processes in a row may die of an invocation before starts are slowed down: a poison record costs one process a
/// try, and whoever delivers it pauses between the tries anyway.
const FREE_CRASHES: u32 = 3;

/// Failures in a row, of all processes of a function together.
#[derive(Clone, Debug)]
pub(super) struct Restarts {
    first: Duration,
    max: Duration,
    failures: u32,
    crashes: u32,
    blocked: Option<Blocked>,
}

/// Why no process is started now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Blocked {
    since: Tick,
    until: Tick,
    reason: String,
}

impl Restarts {
    pub(super) const fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            failures: 0,
            crashes: 0,
            blocked: None,
        }
    }

    /// Whether a process may be started; else why not, and for how long.
    pub(super) fn may_start(&self, now: Tick) -> Result<(), (String, Duration)> {
        match &self.blocked {
            Some(blocked) if now < blocked.until => Err((blocked.reason.clone(), blocked.until.since(now))),
            _ => Ok(()),
        }
    }

    /// A process that was started at `began` did not come to ask for an invocation. Returns how long none is started.
    pub(super) fn start_failed(&mut self, began: Tick, now: Tick, reason: &str) -> Duration {
        // Of several that were started at the same time, the first to fail says it for all.
        if let Some(blocked) = self.blocked.as_ref().filter(|blocked| began <= blocked.since) {
            return blocked.until.since(now);
        }
        self.failures = self.failures.saturating_add(1);
        self.block(now, self.failures, reason)
    }

    /// A process ended with an invocation unanswered.
    pub(super) fn crashed(&mut self, now: Tick, reason: &str) {
        self.crashes = self.crashes.saturating_add(1);
        if let Some(beyond @ 1..) = self.crashes.checked_sub(FREE_CRASHES) {
            self.block(now, beyond, reason);
        }
    }

    /// A process has started.
    pub(super) fn started(&mut self) {
        self.failures = 0;
        if self.crashes <= FREE_CRASHES {
            self.blocked = None;
        }
    }

    /// A process has answered: whatever was wrong is over.
    pub(super) fn answered(&mut self) {
        self.failures = 0;
        self.crashes = 0;
        self.blocked = None;
    }

    fn block(&mut self, now: Tick, times: u32, reason: &str) -> Duration {
        let doubled = 1_u32.checked_shl(times - 1).unwrap_or(u32::MAX);
        let pause = self.first.saturating_mul(doubled).min(self.max);
        self.blocked = Some(Blocked {
            since: now,
            until: now + pause,
            reason: reason.to_owned(),
        });
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Tick {
        Tick::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn starts_that_fail_are_further_and_further_apart() {
        let mut restarts = Restarts::new(SECOND, 5 * SECOND);
        assert_eq!(restarts.may_start(at(0)), Ok(()));
        let pauses = [0, 10, 20, 30, 40].map(|began| {
            let pause = restarts.start_failed(at(began), at(began + 1), "no module");
            pause.as_secs()
        });
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        assert_eq!(restarts.may_start(at(43)), Err(("no module".to_owned(), 3 * SECOND)));
        assert_eq!(restarts.may_start(at(46)), Ok(()));
        restarts.started();
        assert_eq!(restarts.start_failed(at(50), at(51), "no module"), SECOND);
    }

    #[test]
    fn starts_that_fail_together_count_once() {
        let mut restarts = Restarts::new(SECOND, 5 * SECOND);
        assert_eq!(restarts.start_failed(at(0), at(1), "no module"), SECOND);
        assert_eq!(restarts.start_failed(at(0), at(1), "no module"), SECOND);
        assert_eq!(restarts.start_failed(at(2), at(3), "no module"), 2 * SECOND);
    }

    #[test]
    fn crashes_slow_starts_down_only_after_several_without_an_answer() {
        let mut restarts = Restarts::new(SECOND, 5 * SECOND);
        for _ in 0..FREE_CRASHES {
            restarts.crashed(at(0), "signal: killed");
            assert_eq!(restarts.may_start(at(0)), Ok(()));
            restarts.started();
        }
        restarts.crashed(at(0), "signal: killed");
        assert_eq!(restarts.may_start(at(0)), Err(("signal: killed".to_owned(), SECOND)));
        // A start alone proves nothing: it is the invocation that kills.
        restarts.started();
        restarts.crashed(at(1), "signal: killed");
        assert_eq!(
            restarts.may_start(at(1)),
            Err(("signal: killed".to_owned(), 2 * SECOND))
        );
        restarts.answered();
        assert_eq!(restarts.may_start(at(1)), Ok(()));
    }
}
