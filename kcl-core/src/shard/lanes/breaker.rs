//! [`Breaker`]: leaves the user's code alone for a while when every call fails.

use crate::{delivery::BreakerConfig, time::Tick};

/// Closed (calls are made), open (none is, until a time), or half open (one is, and decides).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Breaker {
    config: Option<BreakerConfig>,
    failures: u32,
    open_until: Option<Tick>,
}

impl Breaker {
    pub(super) fn new(config: Option<BreakerConfig>) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    /// Whether a call may be made beside so many others.
    pub(super) fn allows(&self, now: Tick, running: usize) -> bool {
        self.open_until.is_none_or(|until| until <= now && running == 0)
    }

    /// From when on a call may be made beside so many others; `None` if one of these has to end first.
    pub(super) fn allowed_from(&self, running: usize) -> Option<Tick> {
        match self.open_until {
            Some(_) if running > 0 => None,
            open => Some(open.unwrap_or(Tick::ZERO)),
        }
    }

    /// A call succeeded, at least in part.
    pub(super) fn succeeded(&mut self) {
        (self.failures, self.open_until) = (0, None);
    }

    /// A call failed or could not be made. Says whether that opens the circuit.
    pub(super) fn failed(&mut self, now: Tick) -> bool {
        let Some(config) = self.config else {
            return false;
        };
        self.failures = self.failures.saturating_add(1);
        let opens = self.failures >= config.failures.max(1);
        if opens {
            self.open_until = Some(now + config.pause);
        }
        opens
    }
}
