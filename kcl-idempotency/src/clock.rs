//! [`Clock`]: how time comes in.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use kcl_core::Timestamp;

/// Says what time it is. Locks and results expire by it, so that all who share a store should agree about it within a small part
/// of the time for which a lock holds.
///
/// ```
/// use kcl_core::Timestamp;
/// use kcl_idempotency::Clock;
///
/// let noon = Timestamp::from_epoch_millis(1_357_041_600_000);
/// assert_eq!(Clock::new(move || noon).now(), noon);
/// ```
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks `now`. For tests under paused time, give the time that is paused.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The operating system's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where this crate reads a clock")]
    pub fn system() -> Self {
        Self::new(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp::from_epoch_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
        })
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
