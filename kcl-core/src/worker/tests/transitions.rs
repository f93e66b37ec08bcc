//! Single transitions of one worker, with the table played by the test.

use std::time::Duration;

use crate::{
    ChildShard, Expect, HashKeyRange, Lease, LeaseKey, LeaseListing, LeaseWrite, Patch, Position, Session, Shard,
    ShardId, Tick, Timestamp, WorkerId, WriteOutcome,
    fetch::{FetchFailure, FetchFailureKind},
    shard::{Finish, StopReason},
    worker::{
        Exit, LossReason, OpId, ShardReport, StoreFailure, TenureId, WorkerConfig, WorkerEffect, WorkerEvent,
        WorkerFailure, WorkerInput, WorkerMachine,
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(count: u32) -> Duration {
    SECOND * count
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn shard(number: u8) -> ShardId {
    ShardId::new(format!("shardId-{number}")).unwrap()
}

fn key(number: u8) -> LeaseKey {
    LeaseKey::of_shard(&shard(number))
}

fn at(number: u64) -> Position {
    Position::after(number.to_string().parse().unwrap())
}

fn child(number: u8, parents: &[u8]) -> ChildShard {
    ChildShard {
        id: shard(number),
        parents: parents.iter().map(|parent| shard(*parent)).collect(),
        hash_key_range: None,
    }
}

/// A lease that this worker, in an earlier life, or another one holds.
fn held(number: u8, owner: &str, session: u64) -> Lease {
    let mut lease = Lease::new(shard(number), Position::TrimHorizon);
    (lease.owner, lease.session, lease.counter) = (Some(worker(owner)), Some(Session(session)), 10);
    lease
}

/// A worker called `me`, in its fifth life, and its clock.
struct Bench {
    machine: WorkerMachine,
    now: Tick,
}

impl Bench {
    fn new() -> Self {
        let now = Tick::from_origin(seconds(1_000));
        let config = WorkerConfig::new(worker("me"), Session(5));
        Self {
            machine: WorkerMachine::new(config, now, 7),
            now,
        }
    }

    /// One that consumes these shards, which an earlier life had held.
    fn consuming(numbers: &[u8]) -> Self {
        let mut bench = Self::new();
        let effects = bench.listed(numbers.iter().map(|number| held(*number, "me", 4)).collect());
        for (op, write) in writes(&effects) {
            bench.applied(op, &write);
        }
        assert_eq!(bench.machine.leases_held(), numbers.len());
        let open = numbers
            .iter()
            .map(|number| Shard::new(shard(*number), HashKeyRange::FULL))
            .collect();
        bench.handle(WorkerInput::Shards(Ok(open)));
        bench
    }

    fn effects(&mut self) -> Vec<WorkerEffect> {
        std::iter::from_fn(|| self.machine.poll_effect()).collect()
    }

    fn handle(&mut self, input: WorkerInput) -> Vec<WorkerEffect> {
        self.machine.handle(self.now, input);
        self.effects()
    }

    fn listed(&mut self, leases: Vec<Lease>) -> Vec<WorkerEffect> {
        self.handle(WorkerInput::Leases(Ok(LeaseListing {
            leases,
            unreadable: Vec::new(),
        })))
    }

    fn after(&mut self, wait: Duration) -> Vec<WorkerEffect> {
        self.now = self.now + wait;
        self.handle(WorkerInput::Wake)
    }

    fn report(&mut self, tenure: u64, report: ShardReport) -> Vec<WorkerEffect> {
        self.handle(WorkerInput::Shard {
            tenure: TenureId(tenure),
            report,
        })
    }

    fn answer(&mut self, op: OpId, result: Result<WriteOutcome, StoreFailure>) -> Vec<WorkerEffect> {
        self.handle(WorkerInput::Written { op, result })
    }

    /// The table does what was asked.
    fn applied(&mut self, op: OpId, write: &LeaseWrite) -> Vec<WorkerEffect> {
        let row = write.patch.apply(&self.machine.table[&write.key]);
        self.answer(op, Ok(WriteOutcome::Applied(row)))
    }

    /// Lets a renewal become due, and gives it.
    fn renewal(&mut self) -> (OpId, LeaseWrite) {
        let effects = self.after(seconds(4));
        writes(&effects).pop().expect("a renewal is due")
    }

    /// Another worker asks for the first lease; the next renewal finds out.
    fn asked_for_first(&mut self) -> Vec<WorkerEffect> {
        let row = self.machine.table[&key(1)].clone();
        let request = LeaseWrite::request_hand_off(&row, &worker("other"));
        let (op, _) = self.renewal();
        let mut effects = self.answer(op, Ok(WriteOutcome::Conflict(Some(request.patch.apply(&row)))));
        // The renewal that found out is still due.
        for (op, write) in writes(&effects)
            .into_iter()
            .filter(|(_, write)| write.patch == Patch::renewal())
        {
            effects.extend(self.applied(op, &write));
        }
        effects
    }
}

fn writes(effects: &[WorkerEffect]) -> Vec<(OpId, LeaseWrite)> {
    let write = |effect: &WorkerEffect| match effect {
        WorkerEffect::Update { op, write } => Some((*op, write.clone())),
        _ => None,
    };
    effects.iter().filter_map(write).collect()
}

fn creates(effects: &[WorkerEffect]) -> Vec<(OpId, Lease)> {
    let create = |effect: &WorkerEffect| match effect {
        WorkerEffect::Create { op, lease } => Some((*op, lease.clone())),
        _ => None,
    };
    effects.iter().filter_map(create).collect()
}

fn stops(effects: &[WorkerEffect]) -> Vec<(u64, StopReason)> {
    let stop = |effect: &WorkerEffect| match effect {
        WorkerEffect::StopShard { tenure, reason } => Some((tenure.0, *reason)),
        _ => None,
    };
    effects.iter().filter_map(stop).collect()
}

fn starts(effects: &[WorkerEffect]) -> usize {
    effects
        .iter()
        .filter(|effect| matches!(effect, WorkerEffect::StartShard { .. }))
        .count()
}

fn lost(effects: &[WorkerEffect]) -> Option<LossReason> {
    effects.iter().find_map(|effect| match effect {
        WorkerEffect::Event(WorkerEvent::LeaseLost { reason, .. }) => Some(*reason),
        _ => None,
    })
}

fn exit(effects: &[WorkerEffect]) -> Option<&Exit> {
    effects.iter().find_map(|effect| match effect {
        WorkerEffect::Exit(exit) => Some(exit),
        _ => None,
    })
}

fn ambiguous() -> Result<WriteOutcome, StoreFailure> {
    Err(StoreFailure::Ambiguous("no answer".to_owned()))
}

#[test]
fn given_a_held_lease_when_its_parent_is_not_finished_then_it_waits_until_it_is() {
    let mut bench = Bench::new();
    let lease = held(2, "me", 4).with_parents([shard(1)]);
    let mut parent = held(1, "other", 1);
    let effects = bench.listed(vec![parent.clone(), lease]);
    let (op, write) = writes(&effects).remove(0);
    assert_eq!(starts(&bench.applied(op, &write)), 0);
    (parent.checkpoint, parent.owner, parent.counter) = (Position::ShardEnd, None, 11);
    bench.after(seconds(1));
    let row = bench.machine.table[&key(2)].clone();
    assert_eq!(starts(&bench.listed(vec![parent, row])), 1);
}

#[test]
fn given_a_renewal_under_way_when_a_checkpoint_is_wanted_then_no_second_write_is_sent() {
    let mut bench = Bench::consuming(&[1]);
    let (op, write) = bench.renewal();
    assert!(writes(&bench.report(1, ShardReport::Checkpoint(at(7)))).is_empty());
    let effects = bench.applied(op, &write);
    assert_eq!(writes(&effects)[0].1.patch.checkpoint, Some(at(7)));
}

#[test]
fn given_an_urgent_checkpoint_when_it_is_written_then_later_progress_waits_for_the_renewal() {
    let mut bench = Bench::consuming(&[1]);
    let (op, write) = writes(&bench.report(1, ShardReport::Checkpoint(at(7)))).remove(0);
    bench.report(1, ShardReport::Progress(at(8)));
    assert!(writes(&bench.applied(op, &write)).is_empty());
    let (_, renewal) = bench.renewal();
    assert_eq!(renewal.patch.checkpoint, Some(at(8)));
}

#[test]
fn given_no_answer_to_a_renewal_when_the_row_shows_it_then_the_lease_is_kept() {
    let mut bench = Bench::consuming(&[1]);
    let (op, write) = bench.renewal();
    let effects = bench.answer(op, ambiguous());
    assert!(matches!(effects[..], [.., WorkerEffect::Get { .. }]), "{effects:?}");
    let row = write.patch.apply(&bench.machine.table[&key(1)]);
    bench.handle(WorkerInput::Read {
        op,
        result: Ok(Some(row.clone())),
    });
    assert_eq!(bench.renewal().1.expect, Expect::unchanged(&row));
}

#[test]
fn given_no_answer_to_a_renewal_when_the_row_does_not_show_it_then_it_is_tried_again_in_a_while() {
    let mut bench = Bench::consuming(&[1]);
    let (op, write) = bench.renewal();
    bench.answer(op, ambiguous());
    let row = bench.machine.table[&key(1)].clone();
    let effects = bench.handle(WorkerInput::Read {
        op,
        result: Ok(Some(row)),
    });
    assert!(writes(&effects).is_empty(), "not at once: {effects:?}");
    assert_eq!(writes(&bench.after(seconds(1)))[0].1, write);
}

#[test]
fn given_no_renewal_when_the_failover_time_is_over_then_the_consumer_stops_before_anything_else_counts() {
    let mut bench = Bench::consuming(&[1]);
    bench.now = bench.now + seconds(60);
    let effects = bench.report(1, ShardReport::Finished(Finish::Ended(vec![child(2, &[1])])));
    assert_eq!(lost(&effects), Some(LossReason::Lapsed));
    assert!(
        creates(&effects).is_empty() && writes(&effects).is_empty(),
        "{effects:?}"
    );
    assert_eq!(bench.machine.leases_held(), 0);
}

#[test]
fn given_a_take_when_its_answer_is_later_than_the_failover_time_then_nothing_starts() {
    let mut bench = Bench::new();
    let (op, write) = writes(&bench.listed(vec![held(1, "me", 4)])).remove(0);
    bench.now = bench.now + seconds(11);
    assert_eq!(starts(&bench.applied(op, &write)), 0);
    assert_eq!(bench.machine.leases_held(), 0);
}

#[test]
fn given_a_row_that_another_took_when_renewed_then_the_lease_is_lost_and_late_reports_do_not_count() {
    let mut bench = Bench::consuming(&[1]);
    let (op, _) = bench.renewal();
    let effects = bench.answer(op, Ok(WriteOutcome::Conflict(Some(held(1, "other", 1)))));
    assert_eq!(
        (lost(&effects), stops(&effects)),
        (Some(LossReason::Taken), vec![(1, StopReason::LeaseLost)])
    );
    assert!(writes(&bench.report(1, ShardReport::Checkpoint(at(9)))).is_empty());
}

#[test]
fn given_a_newer_life_when_it_takes_a_lease_then_this_one_stops() {
    let mut bench = Bench::consuming(&[1]);
    let (op, _) = bench.renewal();
    let effects = bench.answer(op, Ok(WriteOutcome::Conflict(Some(held(1, "me", 6)))));
    let failure = exit(&effects).and_then(|exit| exit.failure.clone());
    assert_eq!(
        failure,
        Some(WorkerFailure::DuplicateWorker {
            worker: worker("me"),
            key: key(1)
        })
    );
}

#[test]
fn given_a_deleted_row_when_renewed_then_the_progress_is_put_back() {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, ShardReport::Progress(at(7)));
    let (op, _) = bench.renewal();
    let effects = bench.answer(op, Ok(WriteOutcome::Conflict(None)));
    assert_eq!(lost(&effects), Some(LossReason::RowDeleted));
    assert_eq!(creates(&effects)[0].1.checkpoint, at(7));
}

#[test]
fn given_a_shard_that_ended_when_a_child_cannot_be_created_then_it_is_tried_again_before_the_end_is_written() {
    let mut bench = Bench::consuming(&[1]);
    let effects = bench.report(1, ShardReport::Finished(Finish::Ended(vec![child(2, &[1])])));
    let (op, _) = creates(&effects).remove(0);
    assert!(writes(&effects).is_empty());
    bench.answer(op, Err(StoreFailure::Retry("no".to_owned())));
    let (op, lease) = creates(&bench.after(seconds(1))).remove(0);
    let effects = bench.answer(op, Ok(WriteOutcome::Applied(lease)));
    assert_eq!(writes(&effects)[0].1.patch.checkpoint, Some(Position::ShardEnd));
}

#[test]
fn given_two_parents_of_one_shard_when_both_end_and_creation_fails_once_then_both_are_finished() {
    let mut bench = Bench::consuming(&[1, 2]);
    let end = || ShardReport::Finished(Finish::Ended(vec![child(3, &[1, 2])]));
    let (op, _) = creates(&bench.report(1, end())).remove(0);
    assert!(
        creates(&bench.report(2, end())).is_empty(),
        "one request at a time for one row"
    );
    bench.answer(op, Err(StoreFailure::Retry("no".to_owned())));
    let (op, lease) = creates(&bench.after(seconds(1))).remove(0);
    let effects = bench.answer(op, Ok(WriteOutcome::Applied(lease)));
    assert_eq!(writes(&effects).len(), 2, "{effects:?}");
}

#[test]
fn given_an_end_whose_answer_was_lost_when_the_row_is_gone_then_it_is_put_back_as_finished() {
    let mut bench = Bench::consuming(&[1]);
    let (op, lease) = creates(&bench.report(1, ShardReport::Finished(Finish::Ended(vec![child(2, &[1])])))).remove(0);
    let (op, _) = writes(&bench.answer(op, Ok(WriteOutcome::Applied(lease)))).remove(0);
    bench.answer(op, ambiguous());
    let effects = bench.handle(WorkerInput::Read { op, result: Ok(None) });
    assert!(creates(&effects)[0].1.is_finished(), "{effects:?}");
}

#[test]
fn given_a_hand_off_request_when_the_consumer_has_drained_then_the_lease_goes_over_with_its_progress() {
    let mut bench = Bench::consuming(&[1]);
    assert_eq!(stops(&bench.asked_for_first()), [(1, StopReason::HandOff)]);
    bench.report(1, ShardReport::Progress(at(7)));
    let effects = bench.report(1, ShardReport::Finished(Finish::Drained));
    let (_, write) = writes(&effects).remove(0);
    let row = write.patch.apply(&bench.machine.table[&key(1)]);
    assert_eq!(
        (row.holder(), row.session, &row.checkpoint),
        (Some(&worker("other")), None, &at(7))
    );
}

#[test]
fn given_a_hand_off_when_the_consumer_hangs_then_it_is_cut_at_the_deadline() {
    let mut bench = Bench::consuming(&[1]);
    bench.asked_for_first();
    let mut effects = Vec::new();
    for _ in 0..40 {
        effects = bench.after(seconds(1));
        if !stops(&effects).is_empty() {
            break;
        }
        for (op, write) in writes(&effects) {
            bench.applied(op, &write);
        }
    }
    assert_eq!(stops(&effects), [(1, StopReason::LeaseLost)]);
    assert_eq!(writes(&effects)[0].1.patch.checkpoint_owner, Some(None));
}

#[test]
fn given_a_hand_off_when_the_shard_ends_meanwhile_then_it_is_finished_instead() {
    let mut bench = Bench::consuming(&[1]);
    bench.asked_for_first();
    let (op, lease) = creates(&bench.report(1, ShardReport::Finished(Finish::Ended(vec![child(2, &[1])])))).remove(0);
    let effects = bench.answer(op, Ok(WriteOutcome::Applied(lease)));
    let (op, write) = writes(&effects).remove(0);
    let row = write.patch.apply(&bench.machine.table[&key(1)]);
    assert!(row.is_finished() && row.holder().is_none() && !row.is_in_hand_off());
    bench.applied(op, &write);
    assert_eq!(bench.machine.leases_held(), 0);
}

#[test]
fn given_a_hand_off_while_waiting_for_parents_when_asked_then_it_goes_over_at_once() {
    let mut bench = Bench::new();
    let lease = held(1, "me", 4).with_parents([shard(9)]);
    let (op, write) = writes(&bench.listed(vec![lease, held(9, "other", 1)])).remove(0);
    bench.applied(op, &write);
    let effects = bench.asked_for_first();
    assert_eq!(writes(&effects)[0].1.patch.checkpoint_owner, Some(None));
}

#[test]
fn given_a_hand_off_that_an_earlier_life_did_not_finish_when_resumed_then_the_lease_goes_over() {
    let mut bench = Bench::new();
    let row = held(1, "me", 4);
    let row = LeaseWrite::request_hand_off(&row, &worker("other")).patch.apply(&row);
    let (_, write) = writes(&bench.listed(vec![row.clone()])).remove(0);
    assert_eq!(write, LeaseWrite::finish_hand_off(&row, None));
}

#[test]
fn given_a_request_of_its_own_when_the_worker_stops_then_it_is_taken_back() {
    let mut bench = Bench::consuming(&[1]);
    let row = held(2, "other", 1);
    let row = LeaseWrite::request_hand_off(&row, &worker("me")).patch.apply(&row);
    bench.after(seconds(1));
    let own = bench.machine.table[&key(1)].clone();
    bench.listed(vec![own, row.clone()]);
    let effects = bench.handle(WorkerInput::Shutdown);
    let (op, write) = writes(&effects).remove(0);
    assert_eq!(write, LeaseWrite::cancel_hand_off(&row));
    // It came too late: the lease has been passed on already, and is given back instead.
    let passed = LeaseWrite::finish_hand_off(&row, None).patch.apply(&row);
    let effects = bench.answer(op, Ok(WriteOutcome::Conflict(Some(passed.clone()))));
    assert_eq!(writes(&effects)[0].1, LeaseWrite::release(&passed, None));
}

#[test]
fn given_a_shutdown_when_all_is_given_back_then_the_worker_exits() {
    let mut bench = Bench::consuming(&[1]);
    assert_eq!(stops(&bench.handle(WorkerInput::Shutdown)), [(1, StopReason::Shutdown)]);
    bench.report(1, ShardReport::Progress(at(7)));
    let (op, write) = writes(&bench.report(1, ShardReport::Finished(Finish::Drained))).remove(0);
    assert_eq!(
        (&write.patch.owner, &write.patch.checkpoint),
        (&Some(None), &Some(at(7)))
    );
    assert_eq!(exit(&bench.applied(op, &write)), Some(&Exit::default()));
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn given_a_take_under_way_when_the_worker_stops_then_the_lease_is_given_back_before_it_exits() {
    let mut bench = Bench::new();
    let (op, write) = writes(&bench.listed(vec![held(1, "me", 4)])).remove(0);
    assert_eq!(exit(&bench.handle(WorkerInput::Shutdown)), None);
    let effects = bench.applied(op, &write);
    assert_eq!((starts(&effects), &writes(&effects)[0].1.patch.owner), (0, &Some(None)));
}

#[test]
fn given_a_table_that_does_not_answer_when_the_shutdown_deadline_comes_then_the_worker_exits_and_says_what_it_holds() {
    let mut bench = Bench::consuming(&[1]);
    bench.handle(WorkerInput::Shutdown);
    bench.report(1, ShardReport::Finished(Finish::Drained));
    let effects = bench.after(seconds(9));
    assert_eq!(exit(&effects), None);
    let mut bench = Bench::consuming(&[1]);
    bench.machine.config.failover_time = seconds(600);
    bench.handle(WorkerInput::Shutdown);
    bench.report(1, ShardReport::Finished(Finish::Drained));
    let effects = bench.after(seconds(36));
    assert_eq!(exit(&effects).map(|exit| exit.unreleased.clone()), Some(vec![key(1)]));
}

#[test]
fn given_a_table_that_cannot_be_used_when_a_write_says_so_then_consumers_stop_and_the_worker_exits() {
    let mut bench = Bench::consuming(&[1]);
    bench.handle(WorkerInput::Shutdown);
    let (op, _) = bench.renewal();
    let effects = bench.answer(op, Err(StoreFailure::Unusable("gone".to_owned())));
    assert_eq!(stops(&effects), [(1, StopReason::LeaseLost)]);
    assert!(exit(&effects).is_some_and(|exit| exit.failure.is_some()));
}

#[test]
fn given_a_shard_beyond_retention_when_the_listing_confirms_it_then_its_children_go_on() {
    let mut bench = Bench::consuming(&[1]);
    let effects = bench.report(1, ShardReport::Missing);
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, WorkerEffect::ListShards(_))),
        "{effects:?}"
    );
    let mut next = Shard::new(shard(2), HashKeyRange::FULL);
    next.parent = Some(shard(1));
    let effects = bench.handle(WorkerInput::Shards(Ok(vec![next])));
    assert_eq!(stops(&effects), [(1, StopReason::LeaseLost)]);
    assert!(creates(&effects).iter().any(|(_, lease)| lease.shard == shard(2)));
}

#[test]
fn given_a_shard_beyond_retention_when_its_lease_is_being_given_back_then_it_is_left_to_the_next() {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, ShardReport::Missing);
    bench.report(1, ShardReport::Finished(Finish::Drained));
    let mut next = Shard::new(shard(2), HashKeyRange::FULL);
    next.parent = Some(shard(1));
    let effects = bench.handle(WorkerInput::Shards(Ok(vec![next])));
    assert!(
        stops(&effects).is_empty() && creates(&effects).is_empty(),
        "{effects:?}"
    );
}

#[test]
fn given_any_sequence_of_inputs_when_handled_then_nothing_panics_and_every_deadline_is_used() {
    for seed in 0..1_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new();
        for _ in 0..60 {
            bench.now = bench.now + Duration::from_millis(rng.u64(0..4_000));
            let input = any_input(&mut rng);
            bench.handle(input);
            let Some(deadline) = bench.machine.next_deadline() else {
                break;
            };
            bench.now = bench.now.max(deadline);
            let acted = !bench.handle(WorkerInput::Wake).is_empty();
            assert!(
                acted || bench.machine.next_deadline().is_none_or(|next| next > bench.now),
                "seed {seed}"
            );
        }
    }
}

fn any_row(rng: &mut fastrand::Rng) -> Lease {
    let names = ["me", "other", "third"];
    let mut row = held(rng.u8(1..5), names[rng.usize(0..3)], rng.u64(3..7));
    row.counter = rng.u64(0..20);
    row.checkpoint = [
        Position::TrimHorizon,
        Position::Latest,
        at(rng.u64(1..50)),
        Position::ShardEnd,
    ][rng.usize(0..4)]
    .clone();
    if rng.bool() {
        row.checkpoint_owner = Some(worker(names[rng.usize(0..3)]));
    }
    if rng.bool() {
        (row.owner, row.session) = (None, None);
    }
    row.with_parents((0..rng.u8(0..2)).map(shard))
}

fn any_input(rng: &mut fastrand::Rng) -> WorkerInput {
    let op = OpId(rng.u64(1..30));
    let trouble = [
        StoreFailure::Retry(String::new()),
        StoreFailure::Ambiguous(String::new()),
        StoreFailure::Unusable(String::new()),
    ][[0, 1, 0, 1, 0, 1, 0, 1, 2][rng.usize(0..9)]]
    .clone();
    let position = [
        at(rng.u64(1..60)),
        Position::AtTimestamp(Timestamp::from_epoch_millis(1)),
        Position::ShardEnd,
    ];
    let position = position[rng.usize(0..3)].clone();
    let report = match rng.u8(0..6) {
        0 => ShardReport::Missing,
        1 => ShardReport::Finished(Finish::Drained),
        2 => ShardReport::Finished(Finish::Ended(
            (0..rng.u8(0..3)).map(|number| child(number, &[1])).collect(),
        )),
        3 => ShardReport::Progress(position),
        _ => ShardReport::Checkpoint(position),
    };
    let failure = FetchFailure {
        kind: FetchFailureKind::Unavailable,
        message: String::new(),
    };
    match rng.u8(0..40) {
        0..8 => {
            let leases = (0..rng.u8(0..5)).map(|_| any_row(rng)).collect();
            WorkerInput::Leases(Ok(LeaseListing {
                leases,
                unreadable: Vec::new(),
            }))
        }
        8 => WorkerInput::Leases(Err(StoreFailure::Retry(String::new()))),
        9..18 => WorkerInput::Written {
            op,
            result: Ok(WriteOutcome::Applied(any_row(rng))),
        },
        18..22 => WorkerInput::Written {
            op,
            result: Ok(WriteOutcome::Conflict(rng.bool().then(|| any_row(rng)))),
        },
        22 => WorkerInput::Written {
            op,
            result: Err(trouble),
        },
        23..26 => WorkerInput::Read {
            op,
            result: Ok(rng.bool().then(|| any_row(rng))),
        },
        26 => WorkerInput::Read {
            op,
            result: Err(trouble),
        },
        27..36 => WorkerInput::Shard {
            tenure: TenureId(rng.u64(1..6)),
            report,
        },
        36 => WorkerInput::Shards(Ok(vec![Shard::new(shard(rng.u8(1..5)), HashKeyRange::FULL)])),
        37 => WorkerInput::Shards(Err(failure)),
        38 if rng.u8(0..4) == 0 => WorkerInput::Shutdown,
        _ => WorkerInput::Wake,
    }
}
