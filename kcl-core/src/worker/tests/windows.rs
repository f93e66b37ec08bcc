//! The state of windows in the row of a lease: written with the checkpoint that it belongs to, by every kind of write.

use bytes::Bytes;

use super::bench::{Bench, at, child, creates, seconds, writes};
use crate::{
    LeaseWrite, PendingCheckpoint, Position, WriteOutcome,
    shard::Finish,
    worker::{ShardReport, WorkerInput},
};

fn told(number: u64, state: &str) -> ShardReport {
    ShardReport::ProgressWith {
        position: at(number),
        state: (!state.is_empty()).then(|| Bytes::from(state.to_owned())),
    }
}

fn kept(number: u64, state: &str) -> Option<PendingCheckpoint> {
    Some(PendingCheckpoint {
        position: at(number),
        state: Some(Bytes::from(state.to_owned())),
    })
}

fn place(bench: &Bench) -> (Position, Option<PendingCheckpoint>) {
    let row = bench.row(1);
    (row.checkpoint, row.pending_checkpoint)
}

#[test]
fn given_progress_with_a_state_when_the_lease_is_renewed_then_one_write_has_both() {
    let mut bench = Bench::consuming(&[1]);
    assert!(
        writes(&bench.report(1, told(7, "a"))).is_empty(),
        "it waits for a write"
    );
    let (op, write) = bench.renewal();
    assert_eq!(
        (write.patch.checkpoint.clone(), write.patch.pending_checkpoint.clone()),
        (Some(at(7)), Some(kept(7, "a")))
    );
    // What is told meanwhile is of another position: it goes with the next write, whole.
    bench.report(1, told(8, "ab"));
    bench.applied(op, &write);
    assert_eq!(place(&bench), (at(7), kept(7, "a")));
    let (op, write) = bench.renewal();
    bench.applied(op, &write);
    assert_eq!(place(&bench), (at(8), kept(8, "ab")));
    let (_, write) = bench.renewal();
    assert_eq!(
        write.patch.pending_checkpoint, None,
        "what is there is not written again"
    );
}

#[test]
fn given_a_checkpoint_that_is_due_when_it_is_written_then_the_state_goes_with_it() {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, told(7, "a"));
    let (op, write) = writes(&bench.report(1, ShardReport::Checkpoint(at(7)))).remove(0);
    bench.applied(op, &write);
    assert_eq!(place(&bench), (at(7), kept(7, "a")));
}

#[test]
fn given_a_window_that_ended_when_the_position_stays_then_its_state_is_dropped_with_the_next_write() {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, told(7, "a"));
    let (op, write) = bench.renewal();
    bench.applied(op, &write);
    bench.report(1, told(7, ""));
    let (op, write) = bench.renewal();
    assert_eq!(write.patch.checkpoint, None);
    bench.applied(op, &write);
    assert_eq!(place(&bench), (at(7), None));
}

#[test]
fn given_progress_with_a_state_when_the_lease_is_given_back_or_its_row_is_put_back_then_both_are_there() {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, told(7, "a"));
    let effects = bench.report(1, ShardReport::Finished(Finish::Drained));
    let (op, write) = writes(&effects).remove(0);
    bench.applied(op, &write);
    assert_eq!(place(&bench), (at(7), kept(7, "a")));

    let mut bench = Bench::consuming(&[1]);
    bench.report(1, told(7, "a"));
    let (op, _) = bench.renewal();
    let (_, row) = creates(&bench.answer(op, Ok(WriteOutcome::Conflict(None)))).remove(0);
    assert_eq!((row.checkpoint, row.pending_checkpoint), (at(7), kept(7, "a")));
}

#[test]
fn given_progress_with_a_state_when_the_shard_is_finished_or_sought_then_the_state_is_gone() {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, told(7, "a"));
    let (op, write) = bench.renewal();
    bench.applied(op, &write);
    let (op, lease) = creates(&bench.report(1, ShardReport::Finished(Finish::Ended(vec![child(2, &[1])])))).remove(0);
    let (op, write) = writes(&bench.answer(op, Ok(WriteOutcome::Applied(lease)))).remove(0);
    bench.applied(op, &write);
    assert_eq!(place(&bench), (Position::ShardEnd, None));

    let mut bench = Bench::consuming(&[1]);
    bench.report(1, told(7, "a"));
    let row = LeaseWrite::seek(&bench.row(1), at(3)).patch.apply(&bench.row(1));
    bench.handle(WorkerInput::Changed(row));
    bench.report(1, told(8, "ab"));
    bench.report(1, ShardReport::Finished(Finish::Lost));
    for (op, write) in writes(&bench.after(seconds(4))) {
        bench.applied(op, &write);
    }
    assert_eq!(place(&bench), (at(3), None));
}
