//! The one place where this crate reads a wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use kcl_core::Timestamp;

/// What time it is by the clock that the functions read: they compare their deadline with it.
#[expect(
    clippy::disallowed_methods,
    reason = "a deadline is told to another process, by the clock that it has too; nothing here is decided by it"
)]
pub(crate) fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_epoch_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
