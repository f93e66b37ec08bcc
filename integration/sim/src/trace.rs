//! The history of a run: a fingerprint always, and the lines themselves when asked for.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

/// The most lines that are kept per subject.
const LINES: usize = 40;

/// What happened, in order.
#[derive(Debug, Default)]
pub(super) struct Trace {
    fingerprint: u64,
    pub(super) lines: u64,
    keep: bool,
    /// The last lines of every worker and every shard.
    timelines: BTreeMap<String, VecDeque<String>>,
    all: Option<String>,
}

impl Trace {
    pub(super) fn new(keep: bool, all: bool) -> Self {
        Self {
            fingerprint: 0xcbf2_9ce4_8422_2325,
            keep,
            all: all.then(String::new),
            ..Self::default()
        }
    }

    /// Notes something about a worker or a shard. The text is written only if somebody will read it.
    pub(super) fn note(&mut self, at: Duration, subject: &str, marks: &[u64], text: impl FnOnce() -> String) {
        self.lines += 1;
        self.mix(u64::try_from(at.as_micros()).unwrap_or(u64::MAX));
        for byte in subject.bytes() {
            self.mix(u64::from(byte));
        }
        for mark in marks {
            self.mix(*mark);
        }
        if self.keep || self.all.is_some() {
            let line = format!("{:10.3} {subject:24} {}", at.as_secs_f64(), text());
            if let Some(all) = &mut self.all {
                all.push_str(&line);
                all.push('\n');
            }
            let timeline = self.timelines.entry(subject.to_owned()).or_default();
            if timeline.len() == LINES {
                timeline.pop_front();
            }
            timeline.push_back(line);
        }
    }

    /// FNV-1a: the same on every machine and in every build.
    fn mix(&mut self, value: u64) {
        self.fingerprint = (self.fingerprint ^ value).wrapping_mul(0x0100_0000_01b3);
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(super) fn whole(&mut self) -> Option<String> {
        self.all.take()
    }

    pub(super) fn timelines(&self) -> String {
        Timelines(&self.timelines).to_string()
    }
}

struct Timelines<'a>(&'a BTreeMap<String, VecDeque<String>>);

impl fmt::Display for Timelines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (subject, lines) in self.0 {
            writeln!(f, "-- {subject}")?;
            for line in lines {
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }
}
