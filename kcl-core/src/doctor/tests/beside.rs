//! Leaders, metrics, and rows of other kinds.

use std::time::Duration;

use super::{Case, NOW, codes, worker};
use crate::{
    Timestamp, UnreadableRow,
    coordination::{ClientVersion, Coordination, LeaderLock, WorkerMetrics},
    doctor::{Finding, Problem, Severity},
};

fn leader(version: &str) -> Coordination {
    Coordination {
        leader: Some(LeaderLock {
            owner: worker("java"),
            version: version.to_owned(),
            lease_duration: Duration::from_secs(120),
        }),
        ..Coordination::default()
    }
}

/// Metrics that were so old at the last look.
fn metrics(name: &str, seconds: u64) -> WorkerMetrics {
    let at = NOW.saturating_sub(Duration::from_secs(seconds));
    WorkerMetrics::of_cpu(worker(name), at, Vec::new())
}

fn upgrading(workers: impl IntoIterator<Item = WorkerMetrics>) -> Coordination {
    Coordination {
        client_version: Some(ClientVersion::UpgradeFrom2x),
        workers: workers.into_iter().collect(),
        ..Coordination::default()
    }
}

fn mixed(workers: impl IntoIterator<Item = WorkerMetrics>) -> Coordination {
    Coordination {
        foreign_rows: vec!["Leader".to_owned(), "w1".to_owned()],
        workers: workers.into_iter().collect(),
        ..Coordination::default()
    }
}

impl Case {
    fn beside(mut self, earlier: Coordination, last: Coordination) -> Self {
        self.beside = Some([earlier, last]);
        self
    }

    fn always_beside(self, both: Coordination) -> Self {
        self.beside(both.clone(), both)
    }
}

fn only(findings: &[Finding]) -> &Problem {
    let [finding] = findings else { panic!("{findings:?}") };
    &finding.problem
}

#[test]
fn given_a_lock_that_stands_still_for_its_time_when_examined_then_nobody_leads() {
    let minutes = Duration::from_secs(121);
    let stale = Case::healthy().always_beside(leader("v1"));
    let findings = stale.clone().within(minutes).findings();
    assert_eq!(codes(&findings), [("stale_leader", Severity::Warning)]);
    assert!(findings[0].confirmed);
    let told = findings[0].problem.to_string();
    assert!(
        told.starts_with("java leads") && told.contains("121 s") && told.contains("after 120 s"),
        "{told}"
    );
    assert!(findings[0].problem.remedy().words.contains("need no leader"));
    // It may yet be renewed, it was renewed, it went to somebody else, it was given back, or there was only one look.
    assert!(stale.clone().within(Duration::from_secs(120)).findings().is_empty());
    let renewed = Case::healthy().beside(leader("v1"), leader("v2"));
    assert!(renewed.within(minutes).findings().is_empty());
    let mut other = leader("v1");
    other.leader.as_mut().unwrap().owner = worker("other");
    assert!(
        Case::healthy()
            .beside(leader("v1"), other)
            .within(minutes)
            .findings()
            .is_empty()
    );
    let given_back = Case::healthy().beside(leader("v1"), Coordination::default());
    assert!(given_back.within(minutes).findings().is_empty());
    assert!(stale.within(minutes).once().is_empty());
}

#[test]
fn given_an_upgrade_from_2x_when_a_holder_publishes_nothing_then_it_is_named() {
    let case = |workers: Vec<WorkerMetrics>| Case::healthy().always_beside(upgrading(workers));
    assert!(case(vec![metrics("w1", 20), metrics("w2", 30)]).findings().is_empty());
    // One publishes nothing, one did so too long ago, and one that holds nothing does not count.
    let findings = case(vec![metrics("w1", 91), metrics("w3", 500)]).findings();
    assert_eq!(codes(&findings), [("workers_without_metrics", Severity::Warning)]);
    let told = only(&findings).to_string();
    assert!(told.starts_with("w1, w2 holds leases"), "{told}");
    assert!(told.ends_with("stays at CLIENT_VERSION_UPGRADE_FROM_2X"), "{told}");
    // Only a look at the end shows that it is so, and it may have begun just now.
    let begins = Case::healthy().beside(
        upgrading([metrics("w1", 50), metrics("w2", 50)]),
        upgrading([metrics("w1", 0)]),
    );
    assert!(begins.findings().is_empty());
    let once = begins.once();
    assert_eq!(
        (codes(&once), once[0].confirmed),
        (vec![("workers_without_metrics", Severity::Warning)], false)
    );
    // In any other state nobody waits for them.
    for version in [
        ClientVersion::TwoX,
        ClientVersion::ThreeXWithRollback,
        ClientVersion::ThreeX,
    ] {
        let mut other = upgrading([]);
        other.client_version = Some(version);
        assert!(Case::healthy().always_beside(other).findings().is_empty(), "{version}");
    }
}

#[test]
fn given_a_worker_whose_clock_is_wrong_when_it_publishes_between_the_looks_then_it_lives() {
    let row = |seconds| upgrading([metrics("w1", seconds), metrics("w2", 10)]);
    assert!(Case::healthy().beside(row(7230), row(7200)).findings().is_empty());
    let silent = Case::healthy().always_beside(row(7200)).findings();
    assert_eq!(codes(&silent), [("workers_without_metrics", Severity::Warning)]);
}

#[test]
fn wound_13_given_rows_that_old_workers_fail_on_when_examined_then_those_that_may_fail_are_named() {
    let aware = mixed([metrics("w1", 20), metrics("w2", 30)]);
    let findings = Case::healthy().always_beside(aware).findings();
    assert_eq!(codes(&findings), [("rows_old_workers_fail_on", Severity::Note)]);
    assert!(
        only(&findings).to_string().contains("(Leader, w1)"),
        "{}",
        findings[0].problem
    );
    assert!(
        only(&findings)
            .remedy()
            .words
            .contains("start no worker of Java KCL before 3.5")
    );

    // A code that is not said again is of an earlier version: a worker that was rolled back leaves it in its row.
    let mut rolled_back = metrics("w2", 10);
    rolled_back.support = Some((1, Timestamp::from_epoch_millis(0)));
    let mut without = metrics("w2", 10);
    without.support = None;
    for old in [rolled_back, without] {
        let case = Case::healthy().always_beside(mixed([metrics("w1", 20), old]));
        let findings = case.findings();
        assert_eq!(codes(&findings), [("rows_old_workers_fail_on", Severity::Warning)]);
        assert!(findings[0].confirmed);
        assert!(
            only(&findings).to_string().contains("; w2 holds leases"),
            "{}",
            findings[0].problem
        );
        assert!(!case.once()[0].confirmed);
    }
    assert!(
        Case::healthy()
            .always_beside(Coordination::default())
            .findings()
            .is_empty()
    );
}

#[test]
fn given_a_row_beside_the_leases_that_cannot_be_read_when_examined_then_it_is_named() {
    let mut coordination = Coordination::default();
    coordination.unreadable.push(UnreadableRow {
        key: "w1".to_owned(),
        reason: "lut: missing (in the table t)".to_owned(),
    });
    let findings = Case::healthy().always_beside(coordination).findings();
    assert_eq!(codes(&findings), [("unreadable_row_beside_leases", Severity::Warning)]);
    assert_eq!(
        only(&findings).to_string(),
        "the row \"w1\" cannot be read: lut: missing (in the table t)"
    );
}
