//! How far putting has come.

use std::{
    fmt,
    io::{self, IsTerminal as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};

/// What the service took. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    records: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    retried: Arc<AtomicU64>,
}

impl Totals {
    pub(super) fn put(&self, bytes: usize) {
        self.records.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn retry(&self, records: usize) {
        self.retried.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Of data, without keys.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records that were sent again, as often as they were.
    pub(crate) fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }
}

/// A bar on a terminal, and nothing anywhere else. Clones are the same bar.
#[derive(Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn start(size: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let (bar, template) = match size {
            Some(size) => (ProgressBar::new(size), "{bar:30} {bytes}/{total_bytes} {msg} {eta}"),
            None => (ProgressBar::new_spinner(), "{spinner} {bytes} {msg} {elapsed}"),
        };
        let style = ProgressStyle::with_template(template).expect("the template is a constant, and well-formed");
        Self {
            bar: bar.with_style(style),
        }
    }

    pub(super) fn show(&self, read: u64, totals: &Totals) {
        if !self.bar.is_hidden() {
            self.bar.set_position(read);
            self.bar.set_message(format!("{} records", totals.records()));
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}
