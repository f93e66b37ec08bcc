//! What was seen of each lease: how old its counter is, how often it was checkpointed, what changed.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use kcl_core::{Lease, LeaseKey, Tick};
use serde::Serialize;

/// All leases as the last look showed them.
#[derive(Debug, Default)]
pub(super) struct History {
    sights: BTreeMap<LeaseKey, Sight>,
}

/// A lease, and what was seen of it since the first look.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) lease: Arc<Lease>,
    first: Tick,
    /// When the counter was first seen as it is.
    moved: Tick,
    checkpoints: u32,
}

/// What two looks tell apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Change {
    /// Since the watch began.
    seconds: f64,
    lease_key: LeaseKey,
    what: What,
    owner: Option<String>,
    passed_to: Option<String>,
    checkpoint: String,
    counter: u64,
    /// How long the counter before had stood, as far as it was watched.
    seconds_unchanged: f64,
    checkpoints_per_minute: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Seen,
    Owner,
    HandOff,
    Checkpoint,
    Renewed,
    Gone,
}

impl Sight {
    /// For how long the counter is known to have been as it is.
    pub(super) fn age(&self, now: Tick) -> Duration {
        now.since(self.moved)
    }

    /// The rate since the first look.
    pub(super) fn checkpoints_per_minute(&self, now: Tick) -> f64 {
        let minutes = now.since(self.first).as_secs_f64() / 60.0;
        if minutes > 0.0 {
            f64::from(self.checkpoints) / minutes
        } else {
            0.0
        }
    }

    /// The worker that gets the lease next.
    pub(super) fn passed_to(&self) -> Option<String> {
        let owner = self.lease.owner.as_ref().filter(|_| self.lease.is_in_hand_off());
        owner.map(ToString::to_string)
    }

    fn change(&self, now: Tick, what: What, unchanged: Duration) -> Change {
        let rounded = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        Change {
            seconds: rounded(now.since_origin().as_secs_f64()),
            lease_key: self.lease.key.clone(),
            what,
            owner: self.lease.holder().map(ToString::to_string),
            passed_to: self.passed_to(),
            checkpoint: self.lease.checkpoint.to_string(),
            counter: self.lease.counter,
            seconds_unchanged: rounded(unchanged.as_secs_f64()),
            checkpoints_per_minute: rounded(self.checkpoints_per_minute(now)),
        }
    }
}

impl History {
    pub(super) fn sights(&self) -> impl Iterator<Item = &Sight> {
        self.sights.values()
    }

    /// Takes in a look, and says what is new in it.
    pub(super) fn look(&mut self, now: Tick, leases: &[Arc<Lease>]) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut before = std::mem::take(&mut self.sights);
        for lease in leases {
            let (sight, change) = match before.remove(&lease.key) {
                None => begin(now, lease),
                Some(sight) => go_on(now, sight, lease),
            };
            changes.extend(change);
            self.sights.insert(lease.key.clone(), sight);
        }
        let gone = before.into_values();
        changes.extend(gone.map(|sight| sight.change(now, What::Gone, sight.age(now))));
        changes
    }
}

fn begin(now: Tick, lease: &Arc<Lease>) -> (Sight, Option<Change>) {
    let sight = Sight {
        lease: Arc::clone(lease),
        first: now,
        moved: now,
        checkpoints: 0,
    };
    let change = sight.change(now, What::Seen, Duration::ZERO);
    (sight, Some(change))
}

fn go_on(now: Tick, mut sight: Sight, lease: &Arc<Lease>) -> (Sight, Option<Change>) {
    let before = std::mem::replace(&mut sight.lease, Arc::clone(lease));
    let unchanged = sight.age(now);
    if before.counter != lease.counter {
        sight.moved = now;
    }
    if before.checkpoint != lease.checkpoint {
        sight.checkpoints = sight.checkpoints.saturating_add(1);
    }
    let what = if before.holder() != lease.holder() {
        Some(What::Owner)
    } else if before.is_in_hand_off() != lease.is_in_hand_off() || before.owner != lease.owner {
        Some(What::HandOff)
    } else if before.checkpoint != lease.checkpoint {
        Some(What::Checkpoint)
    } else if before.counter != lease.counter {
        Some(What::Renewed)
    } else {
        None
    };
    let change = what.map(|what| sight.change(now, what, unchanged));
    (sight, change)
}

impl fmt::Display for Change {
    /// One line: when, which lease, what happened, and how it stands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Seen => "seen",
            What::Owner => "owner",
            What::HandOff => "hand-off",
            What::Checkpoint => "checkpoint",
            What::Renewed => "renewed",
            What::Gone => "gone",
        };
        write!(
            f,
            "{:.1}s {} {what} owner={} checkpoint={} counter={} unchanged={:.1}s checkpoints/min={:.1}",
            self.seconds,
            self.lease_key,
            self.owner.as_deref().unwrap_or("-"),
            self.checkpoint,
            self.counter,
            self.seconds_unchanged,
            self.checkpoints_per_minute
        )?;
        match &self.passed_to {
            Some(to) => write!(f, " passed-to={to}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kcl_core::{Position, ShardId, WorkerId};

    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::from_origin(Duration::from_secs(seconds))
    }

    fn lease(counter: u64, owner: Option<&str>, record: u64) -> Arc<Lease> {
        let position = Position::after(record.to_string().parse().unwrap());
        let mut lease = Lease::new(ShardId::new("shardId-000000000000").unwrap(), position);
        lease.counter = counter;
        lease.owner = owner.map(|owner| WorkerId::new(owner).unwrap());
        Arc::new(lease)
    }

    #[test]
    fn given_looks_when_rows_change_then_each_change_is_told_once() {
        let mut history = History::default();
        let mut told = |seconds, leases: &[Arc<Lease>]| -> Vec<What> {
            let changes = history.look(at(seconds), leases);
            changes.iter().map(|change| change.what).collect()
        };
        assert_eq!(told(0, &[lease(1, Some("w1"), 7)]), [What::Seen]);
        assert_eq!(told(1, &[lease(1, Some("w1"), 7)]), []);
        assert_eq!(told(2, &[lease(2, Some("w1"), 7)]), [What::Renewed]);
        assert_eq!(told(3, &[lease(3, Some("w1"), 9)]), [What::Checkpoint]);
        assert_eq!(told(4, &[lease(4, Some("w2"), 9)]), [What::Owner]);
        assert_eq!(told(5, &[]), [What::Gone]);
    }

    #[test]
    fn given_a_counter_that_stands_still_when_watched_then_its_age_grows_and_checkpoints_are_counted() {
        let mut history = History::default();
        for (seconds, counter, record) in [(0, 1, 7), (10, 2, 8), (20, 3, 9), (30, 3, 9)] {
            history.look(at(seconds), &[lease(counter, Some("w1"), record)]);
        }
        let sight = history.sights().next().unwrap();
        assert_eq!(sight.age(at(30)), Duration::from_secs(10));
        assert!((sight.checkpoints_per_minute(at(30)) - 4.0).abs() < 1e-9);
    }
}
