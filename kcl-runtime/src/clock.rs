//! The runtime's one clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kcl_core::{Tick, Timestamp};
use tokio::time::Instant;

/// Ticks and timestamps from tokio's timer, so that both stand still and jump together under paused time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    origin_wall: Timestamp,
}

impl Clock {
    /// A clock whose origin is now, and `wall` if that is given. By default the system tells what now is.
    #[expect(clippy::disallowed_methods, reason = "the one place where the runtime reads a clock")]
    pub(crate) fn start(wall: Option<Timestamp>) -> Self {
        let origin_wall = wall.unwrap_or_else(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp::from_epoch_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
        });
        Self {
            origin: Instant::now(),
            origin_wall,
        }
    }

    pub(crate) fn now(&self) -> Tick {
        Tick::from_origin(self.origin.elapsed())
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.origin_wall.saturating_add(self.origin.elapsed())
    }

    /// Waits until the tick; for ever without one.
    pub(crate) async fn sleep_until(&self, at: Option<Tick>) {
        match at {
            Some(at) => tokio::time::sleep_until(self.origin + at.since_origin()).await,
            None => std::future::pending().await,
        }
    }
}

/// A duration in seconds, as histograms carry it.
pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
