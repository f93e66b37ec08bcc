//! Leases that are taken, renewed, checkpointed, finished and lost.

use super::bench::{
    Bench, ambiguous, at, child, creates, exit, held, key, lost, seconds, shard, shards_listed, starts, stops, worker,
    writes,
};
use crate::{
    Expect, HashKeyRange, Lease, LeaseKey, LeaseListing, PendingCheckpoint, Position, Session, Shard, UnreadableRow,
    WriteOutcome,
    assign::LeaseAssignment,
    shard::{Finish, StopReason},
    worker::{
        LossReason, ShardReport, StoreFailure, TenureId, WorkerConfig, WorkerEffect, WorkerEvent, WorkerFailure,
        WorkerInput,
    },
};

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
    let row = bench.row(2);
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
fn wound_31_given_no_answer_to_a_renewal_when_the_row_does_not_show_it_then_it_is_tried_again_in_a_while() {
    let mut bench = Bench::consuming(&[1]);
    let (op, write) = bench.renewal();
    bench.answer(op, ambiguous());
    let row = bench.row(1);
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
fn given_a_row_that_cannot_be_put_back_when_time_passes_then_it_is_told_once_and_tried_less_and_less_often() {
    let mut bench = Bench::consuming(&[1]);
    let (op, _) = bench.renewal();
    let effects = bench.answer(op, Ok(WriteOutcome::Conflict(None)));
    let mut under_way = creates(&effects);
    let (mut told, mut tries) = (0, 0);
    let is_trouble = |effect: &&WorkerEffect| matches!(effect, WorkerEffect::Event(WorkerEvent::StoreTrouble { .. }));
    for _ in 0..60 {
        for (op, _) in std::mem::take(&mut under_way) {
            tries += 1;
            let refused = StoreFailure::Retry("it is no lease but a LEADER".to_owned());
            told += bench.answer(op, Err(refused)).iter().filter(is_trouble).count();
        }
        bench.after(seconds(1));
        under_way = creates(&bench.listed(vec![held(2, "w2", 1)]));
    }
    assert_eq!(told, 1);
    assert!((5..25).contains(&tries), "{tries}");
    // A row that is there and cannot be read is left alone, until it is mended or gone.
    bench.after(seconds(10));
    let mut listing: LeaseListing = [held(2, "w2", 1)].into_iter().collect();
    listing.unreadable.push(UnreadableRow {
        key: key(1).to_string(),
        reason: "no checkpoint".to_owned(),
    });
    assert!(creates(&bench.handle(WorkerInput::Leases(Ok(listing)))).is_empty());
    bench.after(seconds(1));
    let (op, row) = creates(&bench.listed(vec![held(2, "w2", 1)])).remove(0);
    let effects = bench.answer(op, Ok(WriteOutcome::Applied(row)));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, WorkerEffect::Event(WorkerEvent::LeaseRestored { .. })))
    );
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
fn given_a_shard_beyond_retention_when_the_listing_confirms_it_then_its_children_go_on() {
    let mut bench = Bench::consuming(&[1]);
    let effects = bench.report(1, ShardReport::Missing);
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, WorkerEffect::ListShards { .. })),
        "{effects:?}"
    );
    let mut next = Shard::new(shard(2), HashKeyRange::FULL);
    next.parent = Some(shard(1));
    let effects = bench.handle(shards_listed(Ok(vec![next])));
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
    let effects = bench.handle(shards_listed(Ok(vec![next])));
    assert!(
        stops(&effects).is_empty() && creates(&effects).is_empty(),
        "{effects:?}"
    );
}

#[test]
fn given_children_in_any_order_when_their_shard_is_finished_then_the_row_names_them_in_order() {
    // A table keeps them as a set: in another order, the row read after a lost answer would not be the one written.
    let mut bench = Bench::consuming(&[1]);
    let ended = vec![child(3, &[1]), child(2, &[1])];
    let mut effects = bench.report(1, ShardReport::Finished(Finish::Ended(ended)));
    for (op, lease) in creates(&effects.split_off(0)) {
        effects.extend(bench.answer(op, Ok(WriteOutcome::Applied(lease))));
    }
    let (_, write) = writes(&effects).remove(0);
    assert_eq!(write.patch.children, Some(vec![shard(2), shard(3)]));
}

/// A worker that balances throughput and has little to do, beside one that has much.
fn beside_a_busy_one() -> (Bench, Vec<Lease>) {
    let mut config = WorkerConfig::new(worker("me"), Session(5));
    config.assignment = LeaseAssignment::Throughput;
    let mut bench = Bench::of(config);
    let weighing = |number, owner: &str, throughput| {
        let mut row = held(number, owner, 4);
        row.throughput = Some(throughput);
        row
    };
    let mine = [1, 2].map(|number| weighing(number, "me", 10));
    let others = [3, 4].map(|number| weighing(number, "other", 900_000));
    let effects = bench.listed(mine.into_iter().chain(others.clone()).collect());
    for (op, write) in writes(&effects) {
        bench.applied(op, &write);
    }
    (bench, others.to_vec())
}

/// Lets so many seconds pass, in which all rows are renewed; gives the leases that were asked for.
fn asked_for_within(count: u32, bench: &mut Bench, others: &mut [Lease]) -> Vec<LeaseKey> {
    let mut asked = Vec::new();
    for _ in 0..count {
        let mut effects = bench.after(seconds(1));
        for other in others.iter_mut() {
            other.counter += 1;
        }
        let rows = [1, 2].map(|number| bench.row(number));
        effects.extend(bench.listed(rows.into_iter().chain(others.iter().cloned()).collect()));
        for (op, write) in writes(&effects) {
            if write.patch.checkpoint_owner.is_some() {
                asked.push(write.key.clone());
            } else {
                bench.applied(op, &write);
            }
        }
    }
    asked
}

#[test]
fn given_loads_that_stay_uneven_when_a_worker_balances_throughput_then_it_asks_for_a_busy_lease_once() {
    let (mut bench, mut others) = beside_a_busy_one();
    assert_eq!(asked_for_within(25, &mut bench, &mut others), [], "it may pass");
    let asked = asked_for_within(10, &mut bench, &mut others);
    assert!(asked == [key(3)] || asked == [key(4)], "{asked:?}");
}

#[test]
fn given_loads_that_are_uneven_for_a_moment_when_a_worker_balances_throughput_then_nothing_moves() {
    let (mut bench, mut others) = beside_a_busy_one();
    for _ in 0..4 {
        assert_eq!(asked_for_within(15, &mut bench, &mut others), []);
        for other in &mut others {
            other.throughput = Some(10);
        }
        assert_eq!(asked_for_within(2, &mut bench, &mut others), []);
        for other in &mut others {
            other.throughput = Some(900_000);
        }
    }
}

#[test]
fn given_a_prepared_checkpoint_when_it_is_written_then_the_consumer_is_told_and_the_checkpoint_stays() {
    let mut bench = Bench::consuming(&[1]);
    let pending = PendingCheckpoint {
        position: at(7),
        state: Some("state".into()),
    };
    let (op, write) = writes(&bench.report(1, ShardReport::Prepare(pending.clone()))).remove(0);
    assert_eq!(write.patch.checkpoint, None);
    assert_eq!(write.patch.pending_checkpoint, Some(Some(pending.clone())));
    let told = WorkerEffect::ShardPrepared {
        tenure: TenureId(1),
        pending: pending.clone(),
    };
    assert!(bench.applied(op, &write).contains(&told));
    // The same again is there already; what is committed takes its place.
    assert_eq!(bench.report(1, ShardReport::Prepare(pending)), [told]);
    let (op, write) = writes(&bench.report(1, ShardReport::Checkpoint(at(7)))).remove(0);
    assert_eq!(write.patch.pending_checkpoint, Some(None));
    bench.applied(op, &write);
    assert_eq!(bench.row(1).pending_checkpoint, None);
}

#[test]
fn given_a_lost_answer_to_a_preparation_when_the_row_shows_it_then_the_consumer_is_told() {
    let mut bench = Bench::consuming(&[1]);
    let pending = PendingCheckpoint {
        position: at(7),
        state: None,
    };
    let (op, write) = writes(&bench.report(1, ShardReport::Prepare(pending.clone()))).remove(0);
    bench.answer(op, ambiguous());
    let row = write.patch.apply(&bench.row(1));
    let effects = bench.handle(WorkerInput::Read {
        op,
        result: Ok(Some(row)),
    });
    let tenure = TenureId(1);
    assert!(effects.contains(&WorkerEffect::ShardPrepared { tenure, pending }));
}

#[test]
fn given_more_free_leases_than_a_round_may_take_when_alone_then_the_next_round_comes_soon() {
    let mut bench = Bench::new();
    let mut table: Vec<Lease> = (0..250)
        .map(|number| Lease::new(shard(number), Position::TrimHorizon))
        .collect();
    let began = bench.now;
    for taken in [100, 200, 250] {
        let effects = bench.listed(table.clone());
        for (op, write) in writes(&effects) {
            bench.applied(op, &write);
        }
        assert_eq!(bench.machine.leases_held(), taken);
        let held = |lease: &Lease| bench.machine.table[&lease.key].as_ref().clone();
        table = table.iter().map(held).collect();
        if taken < 250 {
            let effects = bench.after(bench.machine.config().scan_interval / 4);
            assert!(effects.contains(&WorkerEffect::ListLeases), "after {taken}");
        }
    }
    assert!(bench.now.since(began) < seconds(1));
}
