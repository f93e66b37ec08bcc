//! [`VirtualClock`]: the one time of a world.

use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use kcl_core::Timestamp;
use tokio::time::Instant;

/// Where every world's time begins: 1 January 2013, 10:00 UTC.
const EPOCH: Timestamp = Timestamp::from_epoch_millis(1_357_034_400_000);

/// Tokio's timer as a wall clock: broker, SDK and workers read the same one, and it stands still while anybody works.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock {
    origin: Instant,
}

impl VirtualClock {
    /// A clock that begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where a world reads a clock")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The wall-clock time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        EPOCH.saturating_add(self.elapsed())
    }

    /// Whether tokio's time stands still while real time passes.
    #[expect(
        clippy::disallowed_methods,
        reason = "real time is what virtual time is compared with"
    )]
    pub(super) fn is_paused(&self) -> bool {
        let (virtually, really) = (self.elapsed(), std::time::Instant::now());
        while really.elapsed() < Duration::from_micros(1) {
            std::hint::spin_loop();
        }
        self.elapsed() == virtually
    }
}

impl TimeSource for VirtualClock {
    fn now(&self) -> SystemTime {
        let millis = u64::try_from(Self::now(self).epoch_millis()).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }
}
