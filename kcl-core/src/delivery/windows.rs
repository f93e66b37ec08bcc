//! [`Windows`]: where a shard stands with its tumbling windows.

use std::time::Duration;

use bytes::Bytes;

use super::{LARGEST_WINDOW_STATE, Window, WindowCall};
use crate::time::Timestamp;

/// What a row holds begins so: other application state is not taken for that of a window.
const NAME: &str = "kcl-window 1";

/// The windows of one shard. One is open at a time; it opens when records of it were handled, and closes with a call.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    size: Duration,
    /// For what arrived at a time that no window can hold.
    first: Window,
    open: Option<Open>,
    /// The window that was closed last.
    closed: Option<Window>,
    /// The window of the delivery that is made.
    called: Option<Window>,
    /// What arrived before belongs to the window that begins here or holds this: no window opens twice, and none before another.
    floor: Timestamp,
    /// When the newest record arrived that was looked at.
    seen: Timestamp,
    /// The shard was read to its tip by a read that began at this time.
    tip: Timestamp,
}

#[derive(Clone, Debug)]
struct Open {
    window: Window,
    state: Bytes,
}

const NEVER: Timestamp = Timestamp::from_epoch_millis(i64::MIN);

impl Windows {
    /// Windows of `size`; none of less than a millisecond.
    pub(super) fn new(size: Duration) -> Option<Self> {
        Some(Self {
            size,
            first: Window::of(Timestamp::default(), size)?,
            open: None,
            closed: None,
            called: None,
            floor: NEVER,
            seen: NEVER,
            tip: NEVER,
        })
    }

    /// The window that a record belongs to which is delivered next.
    fn of(&self, arrived: Timestamp) -> Window {
        match &self.open {
            Some(open) if arrived < open.window.end() => open.window,
            _ => Window::of(arrived.max(self.floor), self.size).unwrap_or(self.first),
        }
    }

    /// Up to when the records arrived that may be delivered together with one that arrived then.
    pub(super) fn end_for(&self, arrived: Timestamp) -> Timestamp {
        self.of(arrived).end()
    }

    /// Whether nothing joins the window any more of which a record waits that arrived then.
    pub(crate) fn is_over_for(&self, arrived: Timestamp) -> bool {
        self.seen.max(self.tip) >= self.end_for(arrived)
    }

    /// A record was looked at that arrived then.
    pub(crate) fn saw(&mut self, arrived: Timestamp) {
        self.seen = self.seen.max(arrived);
    }

    /// A read that began at this time gave all that was there.
    pub(crate) fn read_to_tip(&mut self, began: Timestamp) {
        self.tip = self.tip.max(began);
    }

    /// Records are delivered, the first of which arrived then.
    pub(crate) fn call(&mut self, arrived: Timestamp) -> WindowCall {
        let window = self.of(arrived);
        self.called = Some(window);
        self.floor = self.floor.max(window.start());
        WindowCall {
            window,
            state: self.state(),
            is_final: false,
            is_terminated_early: false,
        }
    }

    fn state(&self) -> Bytes {
        self.open.as_ref().map(|open| open.state.clone()).unwrap_or_default()
    }

    /// Records of the delivery were handled. A call that says nothing of the state leaves it.
    pub(crate) fn handled(&mut self, state: Option<Bytes>) {
        let before = self.state();
        let Some(window) = self.called else { return };
        self.open = Some(Open {
            window,
            state: state.unwrap_or(before),
        });
    }

    /// Whether the state is larger than what is kept, so that nothing can be committed before the window ended early.
    pub(crate) fn has_overflown(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.state.len() > LARGEST_WINDOW_STATE)
    }

    /// The call that ends the open window, if it is to end now: `next` is when the record arrived that waits to be delivered
    /// next; `ended`, whether nothing follows any more.
    pub(crate) fn ending(&self, next: Option<Timestamp>, ended: bool) -> Option<WindowCall> {
        let open = self.open.as_ref()?;
        let end = open.window.end();
        let is_over = match next {
            Some(next) => next >= end,
            None => ended || self.seen.max(self.tip) >= end,
        };
        is_over.then(|| self.last_call(open, false))
    }

    /// The call that ends the open window before its time.
    pub(crate) fn ending_early(&self) -> Option<WindowCall> {
        let open = self.open.as_ref().filter(|_| self.has_overflown())?;
        Some(self.last_call(open, true))
    }

    fn last_call(&self, open: &Open, is_terminated_early: bool) -> WindowCall {
        WindowCall {
            window: open.window,
            state: open.state.clone(),
            is_final: true,
            is_terminated_early,
        }
    }

    /// The call that ends a window succeeded: its state is dropped.
    pub(crate) fn ended(&mut self, call: &WindowCall) {
        if call.is_terminated_early {
            if let Some(open) = &mut self.open {
                open.state = Bytes::new();
            }
            return;
        }
        self.open = None;
        self.closed = Some(call.window);
        self.floor = self.floor.max(call.window.end());
    }

    /// What goes into the table with a checkpoint.
    pub(crate) fn to_keep(&self) -> Option<Bytes> {
        let (window, word, state) = match (&self.open, &self.closed) {
            (Some(open), _) => (open.window, "open", open.state.clone()),
            (None, Some(closed)) => (*closed, "closed", Bytes::new()),
            (None, None) => return None,
        };
        let (start, end) = (window.start().epoch_millis(), window.end().epoch_millis());
        let mut kept = format!("{NAME} {start} {end} {word}\n").into_bytes();
        kept.extend_from_slice(&state);
        Some(kept.into())
    }

    /// Goes on where [`to_keep`](Self::to_keep) was asked. What is not from there is left alone.
    pub(crate) fn resume(&mut self, kept: &Bytes) {
        let Some(length) = kept.iter().position(|byte| *byte == b'\n') else {
            return;
        };
        let words = std::str::from_utf8(&kept[..length]).ok();
        let words = words.and_then(|line| line.strip_prefix(NAME)?.strip_prefix(' '));
        let mut words = words.unwrap_or_default().split(' ');
        let mut number = || words.next()?.parse().ok();
        let Some(window) = number()
            .zip(number())
            .and_then(|(start, end)| Window::between(start, end))
        else {
            return;
        };
        match words.next() {
            Some("open") => {
                let state = kept.slice(length + 1..);
                self.open = Some(Open { window, state });
                self.floor = window.start();
            }
            Some("closed") => {
                self.closed = Some(window);
                self.floor = window.end();
            }
            _ => {}
        }
    }
}
