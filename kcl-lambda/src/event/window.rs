//! Tumbling windows in events: [`Window`], and what an event says about one.

use std::time::Duration;

use kcl_core::Timestamp;

use crate::response::WindowState;

/// A tumbling window: from its start, included, to its end, excluded. Windows of a size begin at the multiples of it
/// since the Unix epoch.
///
/// ```
/// use std::time::Duration;
/// use kcl_core::Timestamp;
/// use kcl_lambda::event::Window;
///
/// let window = Window::of("2025-11-21T04:41:59.999Z".parse()?, Duration::from_secs(120)).ok_or("a window has a
/// size")?; assert_eq!(window.start(), "2025-11-21T04:40:00Z".parse()?); assert_eq!(window.end(),
/// "2025-11-21T04:42:00Z".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// What an event says about its window, beside the records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data, made with a literal")]
pub struct WindowInvoke {
    /// The window.
    pub window: Window,
    /// The state that the last invocation for the window returned; `{}` at first.
    pub state: WindowState,
    /// This is the last invocation for the window.
    pub is_final: bool,
    /// The window ends before its time, since its state became too large.
    pub is_terminated_early: bool,
}

impl WindowInvoke {
    /// The members after `Records`, each after a comma; `place` is those of the shard.
    pub(super) fn members(&self, place: &str) -> String {
        format!(
            r#","window":{{"start":"{}","end":"{}"}},"state":{}{place},"isFinalInvokeForWindow":{},"isWindowTerminatedEarly":{}"#,
            instant(self.window.start()),
            instant(self.window.end()),
            self.state.as_json(),
            self.is_final,
            self.is_terminated_early,
        )
    }
}

/// As AWS writes it: without a fraction of a second where there is none.
fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    match text.strip_suffix(".000Z") {
        Some(seconds) => format!("{seconds}Z"),
        None => text,
    }
}
