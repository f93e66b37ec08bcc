//! What an event says about its tumbling window.

use kcl_core::{Timestamp, delivery::Window};

use crate::response::WindowState;

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
