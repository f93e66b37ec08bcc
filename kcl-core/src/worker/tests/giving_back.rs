//! Leases that are passed on or given back, and the end of a worker.

use super::bench::{
    Bench, ambiguous, at, child, creates, exit, held, key, look, seconds, shard, starts, stops, worker, writes,
};
use crate::{
    LeaseListing, LeaseWrite, UnreadableRow, WriteOutcome,
    shard::{Finish, StopReason},
    worker::{Exit, ShardReport, StoreFailure, WorkerInput},
};

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
fn given_a_lease_that_is_asked_back_when_the_consumer_has_drained_then_it_is_free_with_its_progress() {
    let mut bench = Bench::consuming(&[1]);
    let row = bench.machine.table[&key(1)].clone();
    let asked = LeaseWrite::ask_back(&row).patch.apply(&row);
    assert_eq!((asked.holder(), asked.counter), (row.holder(), row.counter));
    assert_eq!(stops(&bench.listed(vec![asked])), [(1, StopReason::HandOff)]);
    bench.report(1, ShardReport::Progress(at(7)));
    let effects = bench.report(1, ShardReport::Finished(Finish::Drained));
    let (_, write) = writes(&effects).remove(0);
    let row = write.patch.apply(&bench.machine.table[&key(1)]);
    assert_eq!((row.holder(), row.session, &row.checkpoint), (None, None, &at(7)));
}

#[test]
fn given_a_lease_that_was_asked_back_from_an_earlier_life_when_resumed_then_it_is_taken_as_any_other() {
    let mut bench = Bench::new();
    let row = held(1, "me", 4);
    let row = LeaseWrite::ask_back(&row).patch.apply(&row);
    let (op, write) = writes(&bench.listed(vec![row.clone()])).remove(0);
    assert_eq!(write, LeaseWrite::finish_hand_off(&row, None));
    bench.applied(op, &write);
    let row = write.patch.apply(&row);
    let (op, write) = writes(&bench.listed(vec![row])).remove(0);
    bench.applied(op, &write);
    assert_eq!(bench.machine.leases_held(), 1);
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
fn wound_06_given_a_hand_off_while_waiting_for_parents_when_asked_then_it_goes_over_at_once() {
    let mut bench = Bench::new();
    let lease = held(1, "me", 4).with_parents([shard(9)]);
    let (op, write) = writes(&bench.listed(vec![lease, held(9, "other", 1)])).remove(0);
    bench.applied(op, &write);
    let effects = bench.asked_for_first();
    assert_eq!(writes(&effects)[0].1.patch.checkpoint_owner, Some(None));
}

#[test]
fn wound_07_given_a_hand_off_that_an_earlier_life_did_not_finish_when_resumed_then_the_lease_goes_over() {
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
    let own = bench.row(1);
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
fn given_a_lease_passed_on_to_a_stopping_worker_when_the_next_one_asks_for_it_then_it_goes_over_at_once() {
    let mut bench = Bench::consuming(&[1]);
    let row = held(2, "other", 1);
    let row = LeaseWrite::request_hand_off(&row, &worker("me")).patch.apply(&row);
    bench.after(seconds(1));
    let own = bench.row(1);
    bench.listed(vec![own, row.clone()]);
    let (op, _) = writes(&bench.handle(WorkerInput::Shutdown)).remove(0);
    // Passed on, and asked for by a third worker before this one saw it: the third would wait for this one in vain.
    let passed = LeaseWrite::finish_hand_off(&row, None).patch.apply(&row);
    let asked = LeaseWrite::request_hand_off(&passed, &worker("third"))
        .patch
        .apply(&passed);
    let effects = bench.answer(op, Ok(WriteOutcome::Conflict(Some(asked.clone()))));
    assert_eq!(writes(&effects)[0].1, LeaseWrite::finish_hand_off(&asked, None));
}

#[test]
fn given_a_take_that_nobody_answered_when_the_worker_stops_then_it_looks_until_it_knows_and_gives_the_lease_back() {
    let mut bench = Bench::new();
    let (op, write) = writes(&bench.listed(vec![held(1, "me", 4)])).remove(0);
    let row = write.patch.apply(&bench.machine.table[&key(1)]);
    bench.answer(op, ambiguous());
    bench.handle(WorkerInput::Shutdown);
    // The table takes the write and refuses the look at it, twice.
    let mut effects = bench.handle(WorkerInput::Read {
        op,
        result: Err(StoreFailure::Retry("refused".to_owned())),
    });
    for _ in 0..2 {
        assert_eq!(exit(&effects), None);
        effects = bench.after(seconds(4));
        let look = look(&effects).expect("another look");
        let refused = Err(StoreFailure::Retry("refused".to_owned()));
        effects = bench.handle(WorkerInput::Read {
            op: look,
            result: refused,
        });
    }
    effects = bench.after(seconds(4));
    let op = look(&effects).expect("another look");
    let effects = bench.handle(WorkerInput::Read {
        op,
        result: Ok(Some(row.clone())),
    });
    let (op, write) = writes(&effects).remove(0);
    assert_eq!(write, LeaseWrite::release(&row, None));
    assert_eq!(exit(&bench.applied(op, &write)), Some(&Exit::default()));
}

#[test]
fn given_a_doubtful_row_that_cannot_be_read_when_the_worker_stops_then_it_does_not_wait_for_it() {
    let mut bench = Bench::new();
    let (op, _) = writes(&bench.listed(vec![held(1, "me", 4)])).remove(0);
    bench.answer(op, ambiguous());
    let mut listing = LeaseListing::default();
    listing.unreadable.push(UnreadableRow {
        key: key(1).to_string(),
        reason: "no checkpoint".to_owned(),
    });
    bench.after(seconds(1));
    bench.handle(WorkerInput::Leases(Ok(listing)));
    bench.handle(WorkerInput::Shutdown);
    let result = Err(StoreFailure::Retry("it cannot be read".to_owned()));
    let effects = bench.handle(WorkerInput::Read { op, result });
    assert_eq!((look(&effects), exit(&effects)), (None, Some(&Exit::default())));
}

#[test]
fn given_a_take_that_nobody_answered_when_the_table_stays_silent_then_the_worker_says_so_at_its_exit() {
    let mut bench = Bench::new();
    let (op, _) = writes(&bench.listed(vec![held(1, "me", 4)])).remove(0);
    bench.answer(op, ambiguous());
    bench.handle(WorkerInput::Shutdown);
    let effects = bench.after(seconds(36));
    assert_eq!(exit(&effects).map(|exit| exit.unreleased.clone()), Some(vec![key(1)]));
}

#[test]
fn wound_50_given_a_shutdown_when_all_is_given_back_then_the_worker_exits() {
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
fn wound_54_given_a_take_under_way_when_the_worker_stops_then_the_lease_is_given_back_before_it_exits() {
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
