//! Which steps are allowed, and what is said about them.

use std::sync::Arc;

use kcl_core::{
    Lease, LeaseListing, Position, Session, ShardId, Timestamp, WorkerId,
    coordination::{ClientVersion, Coordination, WorkerMetrics},
};

use super::plan::{Plan, Situation, Step};

const NOW: Timestamp = Timestamp::from_epoch_millis(1_763_740_800_000);

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

/// Leases with these counters, one for each of the workers.
fn held(counters: &[(&str, u64)]) -> LeaseListing {
    let leases = counters.iter().zip(0..).map(|((name, counter), number)| {
        let shard = ShardId::new(format!("shardId-{number:012}")).unwrap();
        let mut lease = Lease::new(shard, Position::Latest);
        (lease.owner, lease.counter) = (Some(worker(name)), *counter);
        lease
    });
    leases.collect()
}

fn publishing(workers: &[(&str, i64)]) -> Coordination {
    let workers = workers.iter().map(|(name, seconds_ago)| {
        let at = Timestamp::from_epoch_millis(NOW.epoch_millis() - seconds_ago * 1000);
        WorkerMetrics::of_cpu(worker(name), at, Vec::new())
    });
    Coordination {
        workers: workers.collect(),
        ..Coordination::default()
    }
}

struct Case {
    coordination: Coordination,
    earlier: Option<LeaseListing>,
    listing: LeaseListing,
    has_owner_index: bool,
}

impl Case {
    /// Two workers that live and publish.
    fn ready() -> Self {
        Self {
            coordination: publishing(&[("w1", 10), ("w2", 60)]),
            earlier: Some(held(&[("w1", 1), ("w2", 1)])),
            listing: held(&[("w1", 4), ("w2", 4)]),
            has_owner_index: true,
        }
    }

    fn plan(&self, step: Step, version: ClientVersion) -> Plan {
        let situation = Situation {
            coordination: &self.coordination,
            listing: &self.listing,
            earlier: self.earlier.as_ref(),
            has_owner_index: self.has_owner_index,
            now: NOW,
        };
        Plan::of(step, version, &situation)
    }
}

#[test]
fn given_every_version_when_a_step_is_judged_then_only_javas_own_steps_are_allowed() {
    use ClientVersion::{ThreeX, ThreeXWithRollback, TwoX, UpgradeFrom2x};
    for (step, allowed, done) in [
        (Step::Rollback, &[UpgradeFrom2x, ThreeXWithRollback][..], TwoX),
        (Step::Rollforward, &[TwoX], UpgradeFrom2x),
        (Step::Complete, &[ThreeXWithRollback], ThreeX),
    ] {
        for version in [UpgradeFrom2x, TwoX, ThreeXWithRollback, ThreeX] {
            let plan = Case::ready().plan(step, version);
            assert_eq!(plan.is_done, version == done, "{step} from {version}");
            if plan.is_done {
                continue;
            }
            assert_eq!(plan.is_allowed(), allowed.contains(&version), "{step} from {version}");
            assert_eq!(plan.reasons().is_empty(), plan.is_allowed());
        }
    }
}

#[test]
fn given_a_worker_that_lives_without_metrics_when_completed_then_it_is_refused_and_named() {
    let complete = |case: &Case| case.plan(Step::Complete, ClientVersion::ThreeXWithRollback);
    let mut case = Case::ready();
    case.coordination = publishing(&[("w1", 10), ("w2", 61)]);
    let reasons = complete(&case).reasons();
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].ends_with("may not be of 3.x: w2"), "{reasons:?}");
    // One of this project's, which its session shows, is in no way.
    Arc::make_mut(&mut case.listing.leases[1]).session = Some(Session(7));
    assert!(complete(&case).is_allowed());
    Arc::make_mut(&mut case.listing.leases[1]).session = None;
    // One that is gone is of no version at all.
    case.earlier = Some(held(&[("w1", 1), ("w2", 4)]));
    assert!(complete(&case).is_allowed());
    // Nobody is known to be gone from one look.
    case.earlier = None;
    assert!(!complete(&case).is_allowed());

    // Of which version are those who may come back, when nobody lives?
    case.earlier = Some(held(&[("w1", 4), ("w2", 4)]));
    assert!(complete(&case).reasons()[0].starts_with("nobody lives"));

    let mut case = Case::ready();
    case.has_owner_index = false;
    assert!(complete(&case).reasons()[0].contains("LeaseOwnerToLeaseKeyIndex"));
}

#[test]
fn given_a_way_back_when_rolled_back_then_neither_metrics_nor_index_are_asked_for() {
    let mut case = Case::ready();
    case.coordination = publishing(&[]);
    case.has_owner_index = false;
    let plan = case.plan(Step::Rollback, ClientVersion::ThreeXWithRollback);
    assert!(plan.is_allowed() && plan.notes.is_empty(), "{plan:?}");
    // Rows that an older version would fail on are worth a word, for who goes back further.
    case.coordination.foreign_rows = vec!["Leader".to_owned()];
    let plan = case.plan(Step::Rollback, ClientVersion::ThreeXWithRollback);
    assert!(plan.is_allowed() && plan.notes[0].contains("before 3.5"), "{plan:?}");
}

#[test]
fn given_workers_that_are_not_ready_when_rolled_forward_then_it_is_allowed_and_says_who_holds_it_up() {
    let mut case = Case::ready();
    case.coordination = publishing(&[("w1", 10)]);
    let plan = case.plan(Step::Rollforward, ClientVersion::TwoX);
    assert!(plan.is_allowed());
    assert!(plan.notes[0].ends_with("publish metrics, too: w2"), "{plan:?}");
    assert!(
        Case::ready()
            .plan(Step::Rollforward, ClientVersion::TwoX)
            .notes
            .is_empty()
    );
}
