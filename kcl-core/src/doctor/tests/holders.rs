//! Who lives, who is silent, who waits.

use super::{Case, FAILOVER, Severity, finished, free, held, high, key, low, shard, worker};
use crate::{
    HashKeyRange, Lease, LeaseWrite, Position, Session,
    doctor::{BlockedBy, HAND_OFF_PATIENCE, Problem},
};

fn handed(lease: &Lease, to: &str) -> Lease {
    LeaseWrite::request_hand_off(lease, &worker(to)).patch.apply(lease)
}

#[test]
fn given_a_holder_that_does_not_renew_when_others_live_then_it_is_silent() {
    let case = Case::healthy().silent(1);
    assert_eq!(case.codes(), [("silent_holder", Severity::Error)]);
    assert!(matches!(&case.findings()[0].problem,
        Problem::SilentHolder { holder, lives_elsewhere: false, leases, .. }
            if *holder == worker("w1") && *leases == [key(1)]));
    // The others may be about to take the lease, or nothing can be said at all.
    let soon = Case::healthy().silent(1).within(FAILOVER * 2);
    assert_eq!(soon.codes(), [("silent_holder", Severity::Warning)]);
    assert_eq!(Case::healthy().silent(1).within(FAILOVER).findings(), []);
    assert_eq!(Case::healthy().silent(1).once(), []);
}

#[test]
fn given_a_silent_lease_when_it_was_taken_between_the_looks_then_nothing_is_found() {
    let taken = Case::healthy().then(1, |lease| {
        *lease = LeaseWrite::take(lease, &worker("w2"), Session(2)).patch.apply(lease);
    });
    assert_eq!(taken.findings(), []);
}

#[test]
fn given_leases_that_are_held_when_nobody_renews_then_that_is_said_once() {
    let case = Case::healthy().silent(1).silent(2);
    assert_eq!(case.codes(), [("nobody_lives", Severity::Error)]);
    assert!(matches!(&case.findings()[0].problem, Problem::AllSilent { holders, leases: 2, .. } if holders.len() == 2));
}

#[test]
fn given_leases_that_nobody_holds_when_nobody_comes_then_the_application_is_stopped() {
    let case = Case::of([free(1, low()), free(2, high())]);
    assert_eq!(case.codes(), [("stopped", Severity::Note)]);
    let began = case.then(1, |lease| {
        *lease = LeaseWrite::take(lease, &worker("w1"), Session(1)).patch.apply(lease);
    });
    assert_eq!(began.codes(), [("untaken_leases", Severity::Error)]);
}

#[test]
fn given_a_hand_off_when_the_giver_does_not_renew_then_it_is_stuck() {
    let leases = || [handed(&held(1, low(), "gone"), "w2"), held(2, high(), "w2")];
    let case = Case::of(leases()).silent(1);
    assert_eq!(case.codes(), [("stuck_hand_off", Severity::Error)]);
    assert!(matches!(&case.findings()[0].problem,
        Problem::StuckHandOff { from, to, receiver_lives: true, .. } if *from == worker("gone") && *to == worker("w2")));
    let remedy = case.findings()[0].problem.remedy();
    assert_eq!(remedy.command, Some(vec!["release".to_owned(), key(1).to_string()]));
    // While the giver renews it is still handling its last batch.
    assert_eq!(Case::of(leases()).findings(), []);
}

#[test]
fn given_a_hand_off_when_the_giver_renews_for_longer_than_a_batch_may_take_then_it_is_named() {
    let leases = || [handed(&held(1, low(), "w1"), "w2"), held(2, high(), "w2")];
    let case = Case::of(leases()).within(HAND_OFF_PATIENCE + FAILOVER);
    assert_eq!(case.codes(), [("endless_hand_off", Severity::Warning)]);
    assert!(
        case.findings()[0]
            .problem
            .to_string()
            .contains("w1 has renewed it for 40 s")
    );
    // Another one than at the first look has only begun.
    let passed = case.then(1, |lease| lease.owner = Some(worker("w3")));
    assert_eq!(passed.findings(), []);
}

#[test]
fn given_a_lease_that_a_worker_of_2x_stole_in_a_hand_off_when_it_renews_then_nobody_is_said_to_live_for_it() {
    // The thief leaves who was to pass it on, and its rows have no session.
    let mut stolen = handed(&held(1, low(), "gone"), "thief");
    stolen.session = None;
    let case = Case::of([stolen, held(2, high(), "gone")]).silent(2);
    let found = case.findings();
    assert!(
        matches!(&found[..], [only] if matches!(&only.problem,
            Problem::SilentHolder { holder, lives_elsewhere: false, .. } if *holder == worker("gone"))),
        "{found:?}"
    );
    let case = case.within(HAND_OFF_PATIENCE + FAILOVER);
    let told: String = case.findings().iter().map(|found| found.problem.to_string()).collect();
    assert!(
        told.contains("by one of the two: thief, if it is a worker of KCL 2.x"),
        "{told}"
    );
}

#[test]
fn given_a_free_lease_when_workers_live_and_do_not_take_it_then_it_is_named() {
    let case = Case::of([free(1, low()), held(2, high(), "w2")]);
    assert_eq!(case.codes(), [("untaken_leases", Severity::Error)]);
    let soon = Case::of([free(1, low()), held(2, high(), "w2")]).within(FAILOVER * 2);
    assert_eq!(soon.codes(), [("untaken_leases", Severity::Warning)]);
    let taken = case.then(1, |lease| {
        *lease = LeaseWrite::take(lease, &worker("w2"), Session(1)).patch.apply(lease);
    });
    assert_eq!(taken.findings(), []);
}

#[test]
fn given_a_child_when_its_parent_ended_between_the_looks_then_it_is_not_late() {
    let child = free(2, low()).with_parents([shard(1)]);
    let case = Case::of([held(1, low(), "w1"), child, held(3, high(), "w3")]).then(1, |lease| {
        *lease = LeaseWrite::finish_shard(lease, vec![shard(2)]).patch.apply(lease)
    });
    assert_eq!(case.findings(), []);
}

#[test]
fn given_children_when_nobody_reads_their_parent_then_they_wait_for_it() {
    let child = |number, range| free(number, range).with_parents([shard(1)]);
    let other = || held(9, high(), "w2");
    let blocked = Case::of([free(1, low()), child(2, low()), other()]);
    let found = blocked.findings();
    let expected = Problem::Blocked {
        parent: key(1),
        by: BlockedBy::Free,
        children: vec![key(2)],
    };
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|finding| finding.problem == expected), "{found:?}");

    let silent = Case::of([held(1, low(), "w1"), child(2, low()), other()]).silent(1);
    let by = BlockedBy::Silent(worker("w1"));
    let expected = Problem::Blocked {
        parent: key(1),
        by,
        children: vec![key(2)],
    };
    assert!(silent.findings().iter().any(|finding| finding.problem == expected));

    let read = Case::of([held(1, low(), "w1"), child(2, low()), other()]);
    assert_eq!(read.findings(), []);
}

#[test]
fn given_a_merged_shard_when_one_parent_has_no_lease_then_it_waits_for_that() {
    let merged = || {
        let mut lease = free(3, HashKeyRange::FULL).with_parents([shard(1), shard(2)]);
        lease.checkpoint = Position::TrimHorizon;
        lease
    };
    let unread = |case: Case| -> Vec<BlockedBy> {
        let findings = case.findings().into_iter();
        let blocked = findings.filter_map(|finding| match finding.problem {
            Problem::Blocked { parent, by, .. } if parent == key(2) => Some(by),
            _ => None,
        });
        blocked.collect()
    };
    let leases = || {
        [
            finished(free(1, low())),
            merged(),
            held(9, HashKeyRange::FULL, "w2").with_parents([shard(3)]),
        ]
    };
    assert_eq!(unread(Case::of(leases())), [BlockedBy::Absent]);
    let odd = Case::of(leases()).unreadable(key(2).as_str());
    assert_eq!(unread(odd), [BlockedBy::Unreadable]);
    let both = Case::of(leases().into_iter().chain([finished(free(2, high()))]));
    assert_eq!(unread(both), []);
}

#[test]
fn given_one_worker_id_when_two_sessions_renew_then_two_processes_run() {
    let mut second = held(2, high(), "w1");
    second.session = Some(Session(2));
    let case = Case::of([held(1, low(), "w1"), second]);
    assert_eq!(case.codes(), [("duplicate_worker", Severity::Error)]);
    // The first life is gone: the second one resumes its lease.
    let restarted = case.then(1, |lease| lease.session = Some(Session(2)));
    assert_eq!(restarted.findings(), []);
    // It was started again between the looks, and has not yet come to the lease that its first life renewed last.
    let under_way =
        Case::of([held(1, low(), "w1"), held(2, high(), "w1")]).then(2, |lease| lease.session = Some(Session(2)));
    assert_eq!(under_way.findings(), []);
    let same = Case::of([held(1, low(), "w1"), held(2, high(), "w1")]);
    assert_eq!(same.findings(), []);
}

#[test]
fn given_a_lease_that_is_renewed_when_nothing_was_ever_checkpointed_then_it_is_named() {
    for start in [Position::Latest, Position::TrimHorizon] {
        let mut lease = held(1, low(), "w1");
        lease.checkpoint = start.clone();
        let case = Case::of([lease, held(2, high(), "w2")]);
        assert_eq!(case.codes(), [("no_progress", Severity::Warning)]);
        assert!(matches!(&case.findings()[0].problem,
            Problem::NoProgress { leases, .. } if *leases == [(key(1), start)]));
        let moved = case.then(1, |lease| lease.checkpoint = Position::after("8".parse().unwrap()));
        assert_eq!(moved.findings(), []);
    }
}

#[test]
fn given_every_finding_when_read_then_it_says_what_and_what_to_do_in_one_line() {
    let cases = [
        Case::healthy().silent(1),
        Case::healthy().silent(1).silent(2),
        Case::healthy().unreadable("x"),
        Case::of([free(1, low())]),
        Case::of([handed(&held(1, low(), "gone"), "w2"), held(2, high(), "w2")]).silent(1),
    ];
    for finding in cases.iter().flat_map(Case::findings) {
        let (text, words) = (finding.problem.to_string(), finding.problem.remedy().words);
        assert!(!text.is_empty() && !words.is_empty());
        assert!(
            !text.contains('\n') && !words.contains('\n') && !words.contains("  "),
            "{text}: {words}"
        );
    }
}
