//! Checkpoints that operators move, and shards that rest.

use super::bench::{Bench, at, child, creates, held, key, lost, seconds, shard, starts, stops, worker, writes};
use crate::{
    Lease, LeaseWrite, Patch, PendingCheckpoint, Position, Timestamp, WriteOutcome,
    shard::{Finish, StopReason},
    worker::{LeaseState, PauseScope, ShardReport, WorkerEffect, WorkerInput},
};

/// An operator moves the lease; the next renewal finds out.
fn sought(bench: &mut Bench, to: Position) -> (Lease, Vec<WorkerEffect>) {
    let row = LeaseWrite::seek(&bench.row(1), to).patch.apply(&bench.row(1));
    let (op, _) = bench.renewal();
    let mut effects = bench.answer(op, Ok(WriteOutcome::Conflict(Some(row.clone()))));
    // The renewal that found out is still due.
    for (op, write) in writes(&effects)
        .iter()
        .filter(|(_, write)| write.patch == Patch::renewal())
    {
        effects.extend(bench.applied(*op, write));
    }
    (row, effects)
}

fn pauses(effects: &[WorkerEffect]) -> Vec<(u64, bool)> {
    let pause = |effect: &WorkerEffect| match effect {
        WorkerEffect::PauseShard { tenure, paused } => Some((tenure.0, *paused)),
        _ => None,
    };
    effects.iter().filter_map(pause).collect()
}

fn started_at(effects: &[WorkerEffect]) -> Option<(u64, Position)> {
    effects.iter().find_map(|effect| match effect {
        WorkerEffect::StartShard { tenure, start, .. } => Some((tenure.0, start.clone())),
        _ => None,
    })
}

#[test]
fn given_a_seek_back_when_the_holder_finds_out_then_old_progress_never_overwrites_it_and_the_lease_stays() {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, ShardReport::Progress(at(70)));
    let (row, effects) = sought(&mut bench, at(7));
    assert_eq!(stops(&effects), [(1, StopReason::Seek)]);
    assert_eq!(lost(&effects), None);
    assert!(matches!(
        bench.machine.status(bench.now).leases[0].state,
        LeaseState::HeldSeeking
    ));
    // What the consumer did before it knew was on its way.
    for late in [
        ShardReport::Progress(at(71)),
        ShardReport::Checkpoint(at(72)),
        ShardReport::Prepare(PendingCheckpoint {
            position: at(72),
            state: None,
        }),
        ShardReport::Missing,
    ] {
        let effects = bench.report(1, late);
        for (op, write) in writes(&effects) {
            assert_eq!(
                (write.patch.checkpoint.clone(), write.patch.pending_checkpoint.clone()),
                (None, None)
            );
            bench.applied(op, &write);
        }
    }
    let (op, write) = bench.renewal();
    assert_eq!(
        write.patch.checkpoint, None,
        "the lease is renewed while the consumer ends"
    );
    bench.applied(op, &write);
    assert_eq!(bench.row(1).checkpoint, row.checkpoint);

    let effects = bench.report(1, ShardReport::Finished(Finish::Lost));
    assert_eq!(started_at(&effects), Some((2, at(7))), "under a name of its own");
    assert!(
        bench.report(1, ShardReport::Progress(at(73))).is_empty(),
        "that one is over"
    );
    let (op, write) = writes(&bench.report(2, ShardReport::Checkpoint(at(8)))).remove(0);
    assert_eq!(write.patch.checkpoint, Some(at(8)));
    bench.applied(op, &write);
}

#[test]
fn given_the_end_of_the_shard_on_its_way_when_a_seek_came_first_then_it_is_read_again() {
    let mut bench = Bench::consuming(&[1]);
    sought(&mut bench, Position::TrimHorizon);
    let effects = bench.report(1, ShardReport::Finished(Finish::Ended(vec![child(2, &[1])])));
    assert!(creates(&effects).is_empty());
    assert_eq!(started_at(&effects), Some((2, Position::TrimHorizon)));
}

#[test]
fn given_children_that_are_being_added_when_a_seek_comes_then_the_lease_is_given_back_at_the_new_place() {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, ShardReport::Finished(Finish::Ended(vec![child(2, &[1])])));
    let (row, effects) = sought(&mut bench, at(7));
    let (_, write) = writes(&effects).remove(0);
    assert_eq!(
        (write.patch.owner.clone(), write.patch.checkpoint.clone()),
        (Some(None), None)
    );
    assert_eq!(write.patch.apply(&row).checkpoint, at(7));
}

#[test]
fn given_a_seek_when_the_worker_stops_or_is_asked_for_the_lease_meanwhile_then_it_goes_as_the_row_says() {
    let mut bench = Bench::consuming(&[1]);
    sought(&mut bench, at(7));
    assert!(
        stops(&bench.handle(WorkerInput::Shutdown)).is_empty(),
        "it ends already"
    );
    let effects = bench.report(1, ShardReport::Finished(Finish::Lost));
    assert_eq!(starts(&effects), 0);
    let (_, write) = writes(&effects).remove(0);
    assert_eq!((write.patch.owner, write.patch.checkpoint), (Some(None), None));

    let mut bench = Bench::consuming(&[1]);
    let row = bench.row(1);
    let row = LeaseWrite::seek(&row, at(7)).patch.apply(&row);
    let row = LeaseWrite::request_hand_off(&row, &worker("other")).patch.apply(&row);
    let (op, _) = bench.renewal();
    let effects = bench.answer(op, Ok(WriteOutcome::Conflict(Some(row))));
    for (op, write) in writes(&effects) {
        bench.applied(op, &write);
    }
    let effects = bench.report(1, ShardReport::Finished(Finish::Lost));
    let (_, write) = writes(&effects).remove(0);
    assert_eq!(
        (write.patch.checkpoint_owner, write.patch.checkpoint),
        (Some(None), None)
    );
}

#[test]
fn given_a_child_that_is_moved_with_its_finished_parent_when_it_ended_then_it_waits_for_the_parent() {
    let mut bench = Bench::new();
    let mut parent = Lease::new(shard(1), Position::ShardEnd);
    parent.counter = 3;
    let effects = bench.listed(vec![parent.clone(), held(2, "me", 4).with_parents([shard(1)])]);
    let (op, write) = writes(&effects).remove(0);
    assert_eq!(starts(&bench.applied(op, &write)), 1);

    let parent = LeaseWrite::seek(&parent, Position::TrimHorizon).patch.apply(&parent);
    let row = bench.row(2);
    let row = LeaseWrite::seek(&row, Position::TrimHorizon).patch.apply(&row);
    bench.handle(WorkerInput::Changed(row.clone()));
    let effects = bench.report(1, ShardReport::Finished(Finish::Lost));
    assert_eq!(
        starts(&effects),
        0,
        "whether the parent was moved too, only a new scan tells"
    );
    assert_eq!(
        starts(&bench.listed(vec![parent.clone(), row.clone()])),
        0,
        "it was, and comes first"
    );
    bench.after(seconds(1));
    let finished = Lease {
        checkpoint: Position::ShardEnd,
        counter: parent.counter + 1,
        ..parent
    };
    assert_eq!(starts(&bench.listed(vec![finished, row])), 1);
}

#[test]
fn given_a_seek_that_an_own_write_crossed_when_its_answer_is_lost_then_the_seek_counts() {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, ShardReport::Progress(at(70)));
    let (op, write) = bench.renewal();
    let mine = write.patch.apply(&bench.row(1));
    bench.answer(op, super::bench::ambiguous());
    // Even to the very position that this worker wrote.
    let row = LeaseWrite::seek(&mine, at(70)).patch.apply(&mine);
    let effects = bench.handle(WorkerInput::Read {
        op,
        result: Ok(Some(row)),
    });
    assert_eq!(stops(&effects), [(1, StopReason::Seek)]);
}

#[test]
fn given_pauses_of_worker_and_lease_when_they_come_and_go_then_a_shard_rests_while_one_of_them_is_there() {
    let mut bench = Bench::consuming(&[1, 2]);
    let pause = |bench: &mut Bench, scope, paused| pauses(&bench.handle(WorkerInput::Pause { scope, paused }));
    assert_eq!(pause(&mut bench, PauseScope::Lease(key(1)), true), [(1, true)]);
    assert_eq!(pause(&mut bench, PauseScope::Worker, true), [(2, true)]);
    assert_eq!(pause(&mut bench, PauseScope::Lease(key(1)), false), []);
    assert_eq!(pause(&mut bench, PauseScope::Worker, false), [(1, false), (2, false)]);
    let since = Some(Timestamp::from_epoch_millis(7));
    let row = bench.row(1);
    let row = LeaseWrite::pause(&row, since).patch.apply(&row);
    assert_eq!(pauses(&bench.handle(WorkerInput::Changed(row.clone()))), [(1, true)]);
    assert_eq!(
        pause(&mut bench, PauseScope::Worker, false),
        [],
        "the row says so to everybody"
    );
    let row = LeaseWrite::pause(&row, None).patch.apply(&row);
    assert_eq!(pauses(&bench.handle(WorkerInput::Changed(row))), [(1, false)]);
}

#[test]
fn given_a_lease_that_is_paused_in_its_row_when_taken_then_its_consumer_rests_and_the_lease_is_renewed_and_passed_on() {
    let mut bench = Bench::new();
    let mut row = held(1, "me", 4);
    row.paused = Some(Timestamp::from_epoch_millis(7));
    let (op, write) = writes(&bench.listed(vec![row])).remove(0);
    let effects = bench.applied(op, &write);
    assert_eq!((starts(&effects), pauses(&effects)), (1, vec![(1, true)]));
    let (op, write) = bench.renewal();
    bench.applied(op, &write);
    assert_eq!(stops(&bench.asked_for_first()), [(1, StopReason::HandOff)]);
}
