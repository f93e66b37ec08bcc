//! Whether an application may take a step, and what goes with it.

use std::{borrow::Borrow, collections::BTreeSet, fmt, time::Duration};

use kcl_core::{
    Lease, LeaseListing, Timestamp, WorkerId,
    coordination::{ClientVersion, Coordination},
};

/// Java's leader does not count on a worker whose metrics are older.
const METRICS_FRESH: Duration = Duration::from_secs(60);
/// The most names that a text has.
const NAMED: usize = 5;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Rollback,
    Rollforward,
    Complete,
}

/// What is known of an application.
#[derive(Debug)]
pub(super) struct Situation<'a> {
    pub(super) coordination: &'a Coordination,
    pub(super) listing: &'a LeaseListing,
    /// An earlier scan, long enough before for every worker that lives to have renewed its leases.
    pub(super) earlier: Option<&'a LeaseListing>,
    pub(super) has_owner_index: bool,
    pub(super) now: Timestamp,
}

/// Something that was looked at for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) holds: bool,
    pub(super) text: String,
}

/// A step, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) checks: Vec<Check>,
    pub(super) notes: Vec<String>,
    /// The application is there already.
    pub(super) is_done: bool,
}

impl Step {
    /// The version that it writes.
    pub(super) const fn target(self) -> ClientVersion {
        match self {
            Self::Rollback => ClientVersion::TwoX,
            Self::Rollforward => ClientVersion::UpgradeFrom2x,
            Self::Complete => ClientVersion::ThreeX,
        }
    }

    /// The versions that it may be taken from.
    const fn from(self) -> &'static [ClientVersion] {
        match self {
            Self::Rollback => &[ClientVersion::UpgradeFrom2x, ClientVersion::ThreeXWithRollback],
            Self::Rollforward => &[ClientVersion::TwoX],
            Self::Complete => &[ClientVersion::ThreeXWithRollback],
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Rollforward => "rollforward",
            Self::Complete => "complete",
        }
    }

    /// Whether it has to be known who lives. To go back must be quick, and asks nothing of the workers.
    pub(super) const fn needs_the_living(self) -> bool {
        matches!(self, Self::Complete)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Plan {
    /// Judges a step.
    pub(super) fn of(step: Step, version: ClientVersion, situation: &Situation<'_>) -> Self {
        let is_done = version == step.target();
        let mut plan = Self {
            checks: Vec::new(),
            notes: Vec::new(),
            is_done,
        };
        if is_done {
            return plan;
        }
        let from: Vec<&str> = step.from().iter().map(|version| version.as_str()).collect();
        let from = from.join(" or ");
        plan.check(
            step.from().contains(&version),
            format!("the application is at {version}, and {step} is from {from}"),
            format!("the application is at {version}, and {step} is only from {from}"),
        );
        match step {
            Step::Rollback => plan.rollback(situation),
            Step::Rollforward => plan.rollforward(situation),
            Step::Complete => plan.complete(situation),
        }
        plan
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// Why it is not allowed.
    pub(super) fn reasons(&self) -> Vec<String> {
        let failed = self.checks.iter().filter(|check| !check.holds);
        failed.map(|check| check.text.clone()).collect()
    }

    fn check(&mut self, holds: bool, yes: String, no: String) {
        let text = if holds { yes } else { no };
        self.checks.push(Check { holds, text });
    }

    fn rollback(&mut self, situation: &Situation<'_>) {
        let rows = &situation.coordination.foreign_rows;
        if !rows.is_empty() {
            self.notes.push(format!(
                "workers keep the code that they have. Do not go on to a version of Java KCL before 3.5: it fails on the rows of \
                 the lease table that are no leases ({})",
                named(rows)
            ));
        }
    }

    fn rollforward(&mut self, situation: &Situation<'_>) {
        let silent = without_metrics(situation);
        if !silent.is_empty() {
            self.notes.push(format!(
                "the application stays at {} until these workers publish metrics, too: {}",
                Step::Rollforward.target(),
                named(&silent)
            ));
        }
    }

    fn complete(&mut self, situation: &Situation<'_>) {
        self.check(
            !holders(situation).is_empty(),
            "workers live, and hold leases".to_owned(),
            "nobody lives who holds a lease, so that nobody knows of which version the workers are: start them first"
                .to_owned(),
        );
        let silent = without_metrics(situation);
        self.check(
            silent.is_empty(),
            "every worker of Java's that lives and holds a lease publishes metrics".to_owned(),
            format!(
                "these workers hold leases and publish no metrics, so that they may not be of 3.x: {}",
                named(&silent)
            ),
        );
        self.check(
            situation.has_owner_index,
            "the index by owner is there".to_owned(),
            "the lease table lacks the index LeaseOwnerToLeaseKeyIndex, by which workers of 3.x find their leases"
                .to_owned(),
        );
        self.notes.push(
            "there is no way back from it. Give the workers CLIENT_VERSION_CONFIG_3X as their configuration with the next \
             deployment"
                .to_owned(),
        );
    }
}

/// The unfinished leases that are held, and whose holders live if that is known.
fn held<'a>(situation: &Situation<'a>) -> impl Iterator<Item = (&'a WorkerId, &'a Lease)> {
    let leases = situation.listing.leases.iter().map(Borrow::<Lease>::borrow);
    let unfinished = leases.filter(|lease| !lease.is_finished());
    let earlier = situation.earlier;
    let moved = unfinished.filter(move |lease| {
        let Some(earlier) = earlier else { return true };
        let before = earlier.leases.iter().find(|before| before.key == lease.key);
        before.is_none_or(|before| before.counter != lease.counter)
    });
    moved.filter_map(|lease| Some((lease.holder()?, lease)))
}

/// The workers that hold unfinished leases, and live if that is known.
pub(super) fn holders(situation: &Situation<'_>) -> BTreeSet<WorkerId> {
    held(situation).map(|(holder, _)| holder.clone()).collect()
}

/// Those of them that Java's leader does not count on. Workers with a session are this project's: they take part in every
/// state of the application, and publish only where somebody reads it.
pub(super) fn without_metrics(situation: &Situation<'_>) -> Vec<WorkerId> {
    let of_java = held(situation).filter(|(_, lease)| lease.session.is_none());
    let mut silent: BTreeSet<&WorkerId> = of_java.map(|(holder, _)| holder).collect();
    silent.retain(|holder| !publishes(situation, holder));
    silent.into_iter().cloned().collect()
}

/// Whether a worker wrote metrics lately, which only one that lives does.
pub(super) fn publishes(situation: &Situation<'_>, worker: &WorkerId) -> bool {
    let is_fresh = |at: Timestamp| Duration::from_millis(situation.now.millis_since(at)) <= METRICS_FRESH;
    let mut workers = situation.coordination.workers.iter();
    workers.any(|metrics| metrics.worker == *worker && metrics.updated_at.is_some_and(is_fresh))
}

pub(super) fn named(things: &[impl AsRef<str>]) -> String {
    let named: Vec<&str> = things.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = things.len().saturating_sub(NAMED);
    let rest = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    named.join(", ") + &rest
}
