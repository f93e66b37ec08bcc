//! Tumbling windows: [`Window`], and what the user's code is told of one.

use std::time::Duration;

use bytes::Bytes;

use crate::time::Timestamp;

/// A tumbling window: from its start, included, to its end, excluded. Windows of a size begin at the multiples of it
/// since the Unix epoch.
///
/// ```
/// use std::time::Duration;
/// use kcl_core::{Timestamp, delivery::Window};
///
/// let at: Timestamp = "2025-11-21T04:41:59.999Z".parse()?;
/// let window = Window::of(at, Duration::from_secs(120)).ok_or("a window has a size")?;
/// assert_eq!(window.start(), "2025-11-21T04:40:00Z".parse()?);
/// assert_eq!(window.end(), "2025-11-21T04:42:00Z".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    start: i64,
    end: i64,
}

impl Window {
    /// The window of `size` in which a record lies that arrived `at` this time; `None` if `size` is below a
    /// millisecond, or the window goes beyond what a timestamp can say.
    #[must_use]
    pub fn of(at: Timestamp, size: Duration) -> Option<Self> {
        let size = i64::try_from(size.as_millis()).ok().filter(|size| *size > 0)?;
        let start = at.epoch_millis().div_euclid(size).checked_mul(size)?;
        let end = start.checked_add(size)?;
        Some(Self { start, end })
    }

    /// The window from `start` to `end`, unless it is empty.
    pub(super) fn between(start: i64, end: i64) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// When it starts.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        Timestamp::from_epoch_millis(self.start)
    }

    /// When it ends: the start of the next one.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        Timestamp::from_epoch_millis(self.end)
    }

    /// Whether what arrived `at` this time lies in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        (self.start..self.end).contains(&at.epoch_millis())
    }
}

/// What the user's code is told of the window that it is called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowCall {
    /// The window.
    pub window: Window,
    /// What the last call for the window returned; empty at first.
    pub state: Bytes,
    /// This call ends the window, and has no records.
    pub is_final: bool,
    /// The window ends before its time, since its state is larger than [`LARGEST_WINDOW_STATE`]. It goes on with an empty one.
    pub is_terminated_early: bool,
}

/// The largest state of a window that is kept, in bytes: with a few words about the window it goes into the row of the
/// lease table, as [application state](crate::shard::LARGEST_APPLICATION_STATE).
pub const LARGEST_WINDOW_STATE: usize = crate::shard::LARGEST_APPLICATION_STATE - 128;
