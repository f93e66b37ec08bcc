//! A worker among workers of Java KCL, whose rows have no session.

use super::bench::{Bench, exit, held, key, seconds, worker, writes};
use crate::{
    Lease, LeaseKey, LeaseWrite, Position, Session, Timestamp,
    coordination::{ClientVersion, Coordination, LeaderLock, WorkerMetrics},
    store::StoreOperation,
    worker::{StoreFailure, TenureId, WorkerEffect, WorkerEvent, WorkerInput},
};

/// What a Java fleet keeps beside its leases.
#[derive(Clone, Default)]
struct Java {
    rows: Coordination,
    beats: u64,
}

impl Java {
    /// With these workers, which publish metrics.
    fn reporting(workers: &[&str]) -> Self {
        let metrics = |name: &&str| WorkerMetrics::of_cpu(worker(name), Timestamp::default(), Vec::new());
        let mut java = Self::default();
        java.rows.workers = workers.iter().map(metrics).collect();
        java
    }

    fn led_by(mut self, name: &str) -> Self {
        self.rows.leader = Some(LeaderLock {
            owner: worker(name),
            version: "0".to_owned(),
            lease_duration: seconds(120),
        });
        self
    }

    fn version(mut self, version: ClientVersion) -> Self {
        self.rows.client_version = Some(version);
        self
    }

    /// All write their rows once more.
    fn beat(&mut self) {
        self.beats += 1;
        let at = Timestamp::from_epoch_millis(i64::try_from(self.beats).unwrap() * 30_000);
        for metrics in &mut self.rows.workers {
            metrics.updated_at = Some(at);
        }
        if let Some(lock) = &mut self.rows.leader {
            lock.version = self.beats.to_string();
        }
    }
}

/// A fleet of Java workers that renew, and the worker `me`.
struct Fleet {
    bench: Bench,
    rows: Vec<Lease>,
    /// What a look at the coordination rows gives; nothing where it is refused.
    java: Option<Java>,
    /// The Java workers renew no more.
    dead: bool,
    effects: Vec<WorkerEffect>,
}

impl Fleet {
    fn new(holders: &[&str], java: Option<Java>) -> Self {
        let row = |(number, holder): (usize, &&str)| {
            let mut row = held(u8::try_from(number + 1).unwrap(), holder, 0);
            row.session = None;
            row
        };
        Self {
            bench: Bench::new(),
            rows: holders.iter().enumerate().map(row).collect(),
            java,
            dead: false,
            effects: Vec::new(),
        }
    }

    /// One second passes: the Java workers renew, and whatever `me` asks for is answered.
    fn second(&mut self) -> Vec<LeaseWrite> {
        let me = worker("me");
        let theirs = self.rows.iter_mut().filter(|row| row.holder() != Some(&me));
        for row in theirs.filter(|_| !self.dead) {
            row.counter += 1;
        }
        let mut pending = self.bench.after(seconds(1));
        pending.extend(self.bench.listed(self.rows.clone()));
        let mut written = Vec::new();
        while !pending.is_empty() {
            let mut next = Vec::new();
            for (op, write) in writes(&pending) {
                let row = self.rows.iter_mut().find(|row| row.key == write.key).unwrap();
                let holds = write.expect.holds(Some(row));
                assert!(holds, "{write:?} on {row:?}");
                *row = write.patch.apply(row);
                next.extend(self.bench.applied(op, &write));
                written.push(write);
            }
            for effect in &pending {
                next.extend(match effect {
                    WorkerEffect::Coordinate => {
                        let answer = match &mut self.java {
                            Some(java) => Ok(java.rows.clone()),
                            None => Err(StoreFailure::Unusable("no permission".to_owned())),
                        };
                        self.bench.handle(WorkerInput::Coordination(answer))
                    }
                    WorkerEffect::Publish { .. } => self.bench.handle(WorkerInput::Published(Ok(()))),
                    _ => Vec::new(),
                });
            }
            self.effects.append(&mut pending);
            pending = next;
        }
        written
    }

    /// So many seconds pass; every 30 the Java workers say that they live, if they do.
    fn pass(&mut self, count: u32, alive: bool) -> Vec<LeaseWrite> {
        let mut all = Vec::new();
        for second in 0..count {
            if let Some(java) = self.java.as_mut().filter(|_| alive && second % 30 == 0) {
                java.beat();
            }
            all.extend(self.second());
        }
        all
    }

    fn publications(&self) -> usize {
        let published = |effect: &&WorkerEffect| matches!(effect, WorkerEffect::Publish { .. });
        self.effects.iter().filter(published).count()
    }

    fn held_by(&self, name: &str) -> Vec<LeaseKey> {
        let rows = self.rows.iter().filter(|row| row.owner == Some(worker(name)));
        rows.map(|row| row.key.clone()).collect()
    }
}

fn asks(write: &LeaseWrite) -> bool {
    matches!(&write.patch.checkpoint_owner, Some(Some(_)))
}

fn takes(write: &LeaseWrite) -> bool {
    write.patch.owner == Some(Some(worker("me"))) && write.patch.increment_counter
}

#[test]
fn given_holders_that_hear_no_requests_when_a_worker_joins_then_it_takes_its_share_one_by_one() {
    let mut fleet = Fleet::new(&["java"; 6], Some(Java::default()));
    // A row without a session may be one that was just passed on to a worker of this kind.
    assert_eq!(fleet.pass(4, true), []);
    for round in 1..=3 {
        let written = fleet.second();
        assert_eq!(written.iter().filter(|write| takes(write)).count(), 1, "round {round}");
    }
    fleet.pass(30, true);
    assert_eq!((fleet.held_by("me").len(), fleet.held_by("java").len()), (3, 3));
    assert_eq!(fleet.publications(), 0, "nobody reads it");
}

#[test]
fn given_holders_of_3x_when_a_worker_joins_then_it_asks_and_steals_nothing() {
    let mut fleet = Fleet::new(&["java"; 4], Some(Java::reporting(&["java"])));
    let written = fleet.pass(20, true);
    assert!(written.len() >= 2 && written.iter().all(asks), "{written:?}");
    assert_eq!(written.len(), 2, "{written:?}");
}

#[test]
fn wound_07_given_a_holder_that_never_passes_a_lease_on_when_it_was_asked_then_the_lease_is_taken() {
    let mut fleet = Fleet::new(&["java"; 2], Some(Java::reporting(&["java"])));
    let asked = fleet.pass(5, true);
    assert!(asked.len() == 1 && asks(&asked[0]), "{asked:?}");
    // As long as Java's leader would give it: its time for a hand-off and the failover time.
    assert_eq!(fleet.pass(30, true), []);
    let taken = fleet.pass(10, true);
    assert!(
        taken.iter().any(|write| takes(write) && write.key == asked[0].key),
        "{taken:?}"
    );
}

#[test]
fn given_an_application_that_still_uses_the_algorithms_of_2x_when_its_workers_publish_then_they_are_not_asked() {
    for version in [ClientVersion::UpgradeFrom2x, ClientVersion::TwoX] {
        let java = Java::reporting(&["java"]).version(version);
        let mut fleet = Fleet::new(&["java"; 4], Some(java));
        let written = fleet.pass(10, true);
        assert!(written.iter().all(|write| !asks(write)), "{written:?}");
        assert_eq!(fleet.held_by("me").len(), 2);
    }
}

#[test]
fn wound_18_given_coordination_rows_that_cannot_be_read_when_a_worker_joins_then_it_says_so_once_and_asks() {
    let mut fleet = Fleet::new(&["java"; 2], None);
    let written = fleet.pass(5, true);
    assert!(written.len() == 1 && asks(&written[0]), "{written:?}");
    fleet.pass(100, true);
    let told = fleet.effects.iter().filter(|effect| {
        let WorkerEffect::Event(WorkerEvent::StoreTrouble { operation, .. }) = effect else {
            return false;
        };
        *operation == StoreOperation::Coordinate
    });
    assert_eq!(told.count(), 1);
}

#[test]
fn given_a_leader_that_balances_when_a_worker_had_its_share_then_it_does_not_disturb_the_balance() {
    let java = Java::reporting(&["java"]).led_by("java");
    let mut fleet = Fleet::new(&["java"; 4], Some(java));
    assert_eq!(fleet.pass(5, true).len(), 2, "a new one asks for its share");
    // Both are passed on, and then the leader moves them back, by a measure of its own.
    for row in &mut fleet.rows {
        (row.checkpoint_owner, row.counter) = (None, row.counter + 1);
    }
    fleet.pass(5, true);
    assert_eq!(fleet.held_by("me").len(), 2);
    for row in &mut fleet.rows {
        (row.owner, row.session, row.counter) = (Some(worker("java")), None, row.counter + 1);
    }
    assert_eq!(fleet.pass(90, true), []);

    // The leader dies and its lock is not renewed. Then the fleet is as one without a leader.
    let dead = fleet.pass(130, false);
    assert!(dead.iter().any(asks), "{dead:?}");
}

#[test]
fn wound_03_given_a_leader_that_lives_and_assigns_nothing_when_leases_are_free_then_they_are_taken() {
    let java = Java::reporting(&["java"]).led_by("java");
    let mut fleet = Fleet::new(&["java"; 4], Some(java));
    fleet.pass(5, true);
    (fleet.rows[3].owner, fleet.rows[3].checkpoint_owner) = (None, None);
    let written = fleet.second();
    assert!(
        written.iter().any(|write| takes(write) && write.key == key(4)),
        "{written:?}"
    );
}

#[test]
fn given_workers_of_3x_without_leases_when_leases_are_free_then_not_all_are_taken_at_once() {
    let mut fleet = Fleet::new(&["nobody"; 40], Some(Java::reporting(&["java-1", "java-2", "java-3"])));
    fleet.rows.iter_mut().for_each(|row| row.owner = None);
    let rows = std::mem::take(&mut fleet.rows);
    // They are seen to live.
    fleet.pass(31, true);
    fleet.java.as_mut().unwrap().beat();
    fleet.pass(30, true);
    fleet.rows = rows;
    fleet.second();
    let share = fleet.held_by("me").len();
    assert!((10..38).contains(&share), "{share}");
    fleet.pass(15, true);
    assert_eq!(fleet.held_by("me").len(), 40, "nothing lies about for ever");
}

#[test]
fn wound_01_given_a_leader_that_was_killed_when_its_lock_stays_then_its_leases_run_on_within_the_failover_time() {
    let java = Java::reporting(&["java"]).led_by("java");
    let mut fleet = Fleet::new(&["java"; 4], Some(java));
    let before = fleet.pass(5, true).len();
    fleet.dead = true;
    let after = fleet.pass(12, false);
    assert_eq!((before, fleet.held_by("me").len()), (2, 4), "{after:?}");
    assert!(fleet.rows.iter().all(|row| row.holder() == Some(&worker("me"))));
}

#[test]
fn wound_11_given_an_upgrade_from_2x_when_a_worker_has_no_leases_then_it_publishes_all_the_same() {
    let java = Java::default().version(ClientVersion::UpgradeFrom2x);
    let mut fleet = Fleet::new(&["java"], Some(java));
    fleet.pass(40, true);
    assert_eq!(fleet.held_by("me"), []);
    assert!(fleet.publications() >= 1);
}

#[test]
fn given_a_java_fleet_when_it_looks_for_metrics_then_they_are_published_every_30_seconds_until_it_is_gone() {
    let mut fleet = Fleet::new(&["java"; 2], Some(Java::reporting(&["java"]).led_by("java")));
    fleet.pass(120, true);
    assert!((4..=5).contains(&fleet.publications()), "{}", fleet.publications());
    fleet.pass(200, false);
    let last = fleet.publications();
    fleet.pass(200, false);
    assert_eq!(fleet.publications(), last);
}

#[test]
fn given_published_metrics_when_the_worker_stops_then_it_takes_them_back_before_it_ends() {
    let mut fleet = Fleet::new(&["java"], Some(Java::reporting(&["java"])));
    fleet.pass(5, true);
    let effects = fleet.bench.handle(WorkerInput::Shutdown);
    assert!(effects.contains(&WorkerEffect::Withdraw), "{effects:?}");
    assert_eq!(exit(&effects), None);
    assert!(exit(&fleet.bench.handle(WorkerInput::Withdrawn)).is_some());
}

#[test]
fn given_a_worker_that_holds_everything_when_time_passes_then_it_scans_once_in_a_failover_time() {
    let mut bench = Bench::consuming(&[1, 2]);
    let mut scans = 0;
    for _ in 0..60 {
        let mut pending = bench.after(seconds(1));
        while !pending.is_empty() {
            let mut next = Vec::new();
            for (op, write) in writes(&pending) {
                next.extend(bench.applied(op, &write));
            }
            if pending.contains(&WorkerEffect::ListLeases) {
                scans += 1;
                let rows = vec![bench.row(1), bench.row(2)];
                next.extend(bench.listed(rows));
            }
            pending = next;
        }
    }
    assert!((5..=7).contains(&scans), "{scans}");
    // Somebody who wants a lease is heard all the same.
    let effects = bench.asked_for_first();
    let started = |effect: &WorkerEffect| matches!(effect, WorkerEffect::Event(WorkerEvent::HandOffStarted { .. }));
    assert!(effects.iter().any(started), "{effects:?}");
    // And from then on this worker watches who lives.
    let rows = vec![bench.row(1), bench.row(2)];
    let mut later = bench.listed(rows);
    for _ in 0..2 {
        later.extend(bench.after(seconds(1)));
    }
    assert!(later.contains(&WorkerEffect::ListLeases), "{later:?}");
}

#[test]
fn given_a_leader_that_balances_by_throughput_when_leases_are_renewed_then_the_rows_say_how_much_is_handled() {
    let mut fleet = Fleet::new(&["java"], Some(Java::reporting(&["java"])));
    let mut mine = held(2, "me", 4);
    mine.throughput = None;
    fleet.rows.push(mine);
    fleet.pass(5, true);
    for second in 0..20 {
        // Ten thousand bytes a second.
        fleet.bench.machine.note_handled(TenureId(1), second * 10_000);
        fleet.second();
    }
    let row = fleet.rows.iter().find(|row| row.key == key(2)).unwrap();
    let throughput = row.throughput.unwrap();
    assert!((9_000..=10_000).contains(&throughput), "{throughput}");
}

#[test]
fn given_a_fleet_without_java_when_leases_are_renewed_then_nothing_is_measured() {
    let mut fleet = Fleet::new(&[], Some(Java::default()));
    fleet.rows.push(held(1, "me", 4));
    let renewals = fleet.pass(20, true);
    assert!(renewals.len() > 3 && renewals.iter().all(|write| write.patch.throughput.is_none()));
}

#[test]
fn given_workers_that_measure_no_cpu_when_metrics_are_published_then_they_have_none_either() {
    let mut java = Java::reporting(&["java"]);
    for (values, cpu) in [(Vec::new(), false), (vec![12.5], true)] {
        java.rows.workers = vec![WorkerMetrics::of_cpu(worker("java"), Timestamp::default(), values)];
        let mut fleet = Fleet::new(&["java"], Some(java.clone()));
        fleet.pass(5, true);
        assert!(
            fleet.effects.contains(&WorkerEffect::Publish { cpu }),
            "{:?}",
            fleet.effects
        );
    }
}

#[test]
fn given_a_lease_in_a_hand_off_that_2x_stole_when_it_is_renewed_then_it_is_left_to_the_thief() {
    let mut fleet = Fleet::new(&["thief"], Some(Java::default()));
    // What was left behind: this worker was asked for the lease by another one.
    fleet.rows[0].checkpoint_owner = Some(worker("me"));
    for _ in 0..30 {
        fleet.rows[0].counter += 1;
        assert_eq!(fleet.second(), []);
    }
    // Nobody renews it, so it is one that was passed on to this worker and asked for before it was taken.
    let mut passed_on = Vec::new();
    for _ in 0..6 {
        passed_on.extend(fleet.second());
    }
    assert_eq!(passed_on.len(), 1, "{passed_on:?}");
    assert_eq!(fleet.rows[0].holder(), Some(&worker("thief")));
}

#[test]
fn given_a_lease_that_was_passed_on_to_3x_when_it_is_slow_to_look_then_it_has_the_time_that_it_takes() {
    for (passed_on, patience) in [(true, 22..=25), (false, 9..=12)] {
        let mut fleet = Fleet::new(&["java", "java"], Some(Java::reporting(&["java"])));
        fleet.pass(5, true);
        fleet.rows[1].checkpoint_owner = None;
        fleet.rows[1].owner = Some(worker(if passed_on { "rust" } else { "java" }));
        fleet.rows[1].session = passed_on.then_some(Session(1));
        fleet.second();
        // The one that had it passes it on; or Java dies with what it had all the time.
        fleet.rows[1].checkpoint_owner = None;
        (fleet.rows[1].owner, fleet.rows[1].session) = (Some(worker("java")), None);
        fleet.rows[1].counter += 1;
        fleet.dead = true;
        let key = fleet.rows[1].key.clone();

        let taken_after = (0..60).find(|_| {
            let written = fleet.second();
            written.iter().any(|write| takes(write) && write.key == key)
        });
        assert!(patience.contains(&taken_after.unwrap()), "{passed_on}: {taken_after:?}");
    }
}

#[test]
fn given_a_finished_lease_that_java_passes_on_to_this_worker_when_time_passes_then_it_is_not_begun_again() {
    let mut fleet = Fleet::new(&["java", "java"], Some(Java::reporting(&["java"])));
    fleet.rows[0].checkpoint = Position::ShardEnd;
    (fleet.rows[0].owner, fleet.rows[0].checkpoint_owner) = (Some(worker("me")), Some(worker("java")));
    let written = fleet.pass(100, true);
    assert!(written.iter().all(|write| write.key != key(1)), "{written:?}");
}

#[test]
fn given_many_workers_of_3x_that_take_nothing_when_leases_are_free_then_they_do_not_lie_about() {
    let names: Vec<String> = (0..100).map(|number| format!("java-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut fleet = Fleet::new(&["nobody"; 8], Some(Java::reporting(&names)));
    fleet.rows.iter_mut().for_each(|row| row.owner = None);
    let rows = std::mem::take(&mut fleet.rows);
    fleet.pass(31, true);
    fleet.java.as_mut().unwrap().beat();
    fleet.pass(30, true);
    fleet.rows = rows;
    // One in two is taken in a round, however many there are that could take it.
    fleet.pass(15, true);
    assert_eq!(fleet.held_by("me").len(), 8);
}

#[test]
fn given_a_request_of_a_worker_that_is_gone_when_java_never_answers_it_then_the_lease_can_move_again() {
    let mut fleet = Fleet::new(&["java"; 6], Some(Java::reporting(&["java"])));
    for row in &mut fleet.rows[..5] {
        (row.owner, row.checkpoint_owner) = (Some(worker("gone")), Some(worker("java")));
    }
    fleet.pass(75, true);
    assert_eq!(fleet.held_by("me"), []);
    fleet.pass(60, true);
    assert_eq!(fleet.held_by("me").len(), 3, "{:?}", fleet.rows);
}

#[test]
fn given_workers_of_this_kind_that_publish_when_java_is_gone_then_they_are_nobody_to_publish_for() {
    let mut fleet = Fleet::new(&["rust"; 2], Some(Java::reporting(&["rust"])));
    fleet.rows.iter_mut().for_each(|row| row.session = Some(Session(3)));
    fleet.pass(200, true);
    assert!(fleet.publications() <= 1, "{}", fleet.publications());
}

#[test]
fn given_a_row_under_the_key_of_another_shard_when_it_is_scanned_then_it_is_told_and_left_alone() {
    let mut fleet = Fleet::new(&["rust"], Some(Java::default()));
    fleet.rows[0].session = Some(Session(3));
    let mut copy = Lease::new(fleet.rows[0].shard.clone(), Position::TrimHorizon);
    copy.key = LeaseKey::new("copy").unwrap();
    fleet.rows.push(copy);
    assert_eq!(fleet.pass(30, true), []);
    let told = fleet.effects.iter().filter(
        |effect| matches!(effect, WorkerEffect::Event(WorkerEvent::UnreadableRow { key, .. }) if key == "copy"),
    );
    assert_eq!(told.count(), 1);
}
