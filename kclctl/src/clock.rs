//! The one place where the command line reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kcl_core::{Tick, Timestamp};

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "totals tell how long a command took; nothing is decided by it"
    )]
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long it runs, as a place on its own clock.
    pub(crate) fn tick(&self) -> Tick {
        Tick::from_origin(self.elapsed())
    }
}

/// What time it is.
#[expect(
    clippy::disallowed_methods,
    reason = "a time that a user means by `latest` is that of the wall clock"
)]
pub(crate) fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_epoch_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
