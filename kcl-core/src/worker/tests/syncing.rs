//! Leases kept in step with the shards, by old scans of the table as well as by new ones.

use super::bench::{Bench, child, creates, held, key, seconds, shard, shards_listed, writes};
use crate::{
    HashKeyRange, InitialPosition, Lease, Position, Shard, ShardFilter, WriteOutcome,
    shard::Finish,
    worker::{ShardReport, WorkerEffect, WorkerEvent, WorkerFailure, WorkerInput},
};

fn lists_shards(effects: &[WorkerEffect]) -> bool {
    effects.iter().any(|effect| {
        matches!(
            effect,
            WorkerEffect::ListShards {
                filter: ShardFilter::All,
                ..
            }
        )
    })
}

fn is_replaced(effect: &WorkerEffect) -> bool {
    match effect {
        WorkerEffect::Event(WorkerEvent::Stopping { failure }) => {
            matches!(failure, Some(WorkerFailure::StreamReplaced { .. }))
        }
        _ => false,
    }
}

#[test]
fn given_a_lease_of_a_shard_with_other_parents_when_the_stream_is_listed_then_the_worker_stops_and_says_so() {
    // It would wait for a parent that is not its own, and that may stay open for ever.
    for (parents, replaced) in [([1], true), ([3], false)] {
        let mut bench = Bench::new();
        let row = held(4, "me", 4).with_parents(parents.map(shard));
        assert!(lists_shards(&bench.listed(vec![
            row,
            held(1, "other", 1),
            held(3, "other", 1)
        ])));
        let mut listed = [1, 3, 4].map(|number| Shard::new(shard(number), HashKeyRange::FULL));
        listed[1].ending_sequence_number = Some("9".parse().unwrap());
        listed[2].parent = Some(shard(3));
        let effects = bench.handle(shards_listed(Ok(listed.to_vec())));
        assert_eq!(effects.iter().any(is_replaced), replaced, "{effects:?}");
    }
}

#[test]
fn given_a_lease_that_waits_for_a_shard_of_another_stream_when_it_is_old_enough_then_the_worker_stops() {
    let mut bench = Bench::new();
    // A fifth shard, left over from a former stream, whose parent has the id of a shard that is read now.
    let left_over = Lease::new(shard(5), Position::TrimHorizon).with_parents([shard(1)]);
    let mut row = held(1, "other", 1);
    let listed = vec![Shard::new(shard(1), HashKeyRange::FULL)];
    let mut stopped_after = None;
    for second in 0..400 {
        let mut effects = bench.after(seconds(1));
        row.counter += 1;
        effects.extend(bench.listed(vec![row.clone(), left_over.clone()]));
        if lists_shards(&effects) {
            effects.extend(bench.handle(shards_listed(Ok(listed.clone()))));
        }
        if effects.iter().any(is_replaced) {
            stopped_after = Some(second);
            break;
        }
    }
    // A listing may be old, so a row that is new says nothing.
    assert!(
        stopped_after.is_some_and(|second| (300..=361).contains(&second)),
        "{stopped_after:?}"
    );
}

#[test]
fn given_a_shard_seen_to_be_finished_when_an_old_scan_shows_no_trace_of_it_then_it_does_not_begin_anew() {
    let mut bench = Bench::new();
    bench.machine.streams.get_mut(None).unwrap().initial = InitialPosition::TrimHorizon;
    let finished = Lease::new(shard(1), Position::ShardEnd);
    let bystander = held(3, "me", 4);
    let effects = bench.listed(vec![
        finished,
        held(2, "other", 1).with_parents([shard(1)]),
        bystander.clone(),
    ]);
    assert!(lists_shards(&effects), "a worker that starts lists the shards");
    // A scan of a moment at which neither the row nor its child's was there.
    bench.listed(vec![bystander]);
    let mut parent = Shard::new(shard(1), HashKeyRange::FULL);
    parent.ending_sequence_number = Some("9".parse().unwrap());
    let mut child = Shard::new(shard(2), HashKeyRange::FULL);
    child.parent = Some(shard(1));
    let created = creates(&bench.handle(shards_listed(Ok(vec![parent, child]))));
    assert!(
        created.iter().all(|(_, lease)| lease.key != key(1)),
        "it was handled to its end: {created:?}"
    );
}

#[test]
fn given_a_merged_shard_whose_other_parent_has_no_lease_when_a_parent_ends_then_that_lease_comes_first() {
    let merged = child(3, &[1, 2]);
    for other_is_listed in [true, false] {
        let mut bench = Bench::consuming(&[1]);
        let ended = ShardReport::Finished(Finish::Ended(vec![merged.clone()]));
        let effects = bench.report(1, ended);
        assert_eq!(
            creates(&effects),
            [],
            "others would take a parent without a lease for done"
        );
        assert!(lists_shards(&effects), "{effects:?}");

        let mut open = Shard::new(shard(3), HashKeyRange::FULL);
        (open.parent, open.adjacent_parent) = (Some(shard(1)), Some(shard(2)));
        let others = other_is_listed.then(|| closed(2));
        let listed = [closed(1), open].into_iter().chain(others).collect();
        let mut created = creates(&bench.handle(WorkerInput::Shards {
            stream: None,
            result: Ok(listed),
        }));
        if other_is_listed {
            let (op, parent) = created.pop().expect("the parent's lease is added");
            assert_eq!((parent.shard.clone(), created), (shard(2), vec![]));
            bench.answer(op, Ok(WriteOutcome::Applied(parent)));
        }
        let effects = bench.after(seconds(2));
        let keys: Vec<_> = creates(&effects).into_iter().map(|(_, lease)| lease.shard).collect();
        assert_eq!(keys, [shard(3)], "{effects:?}");
    }
}

/// A shard that was read and closed before others came of it.
fn closed(number: u8) -> Shard {
    let mut shard = Shard::new(shard(number), HashKeyRange::FULL);
    shard.starting_sequence_number = Some("1".parse().unwrap());
    shard.ending_sequence_number = Some("9".parse().unwrap());
    shard
}

#[test]
fn given_a_listing_from_before_the_other_parent_when_a_shard_waits_for_its_lease_then_that_parent_is_not_taken_for_gone()
 {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, ShardReport::Finished(Finish::Ended(vec![child(3, &[1, 2])])));
    bench.handle(shards_listed(Ok(vec![closed(1)])));

    let effects = bench.after(seconds(2));

    assert_eq!(creates(&effects), []);
}

#[test]
fn given_a_merge_with_a_shard_whose_parent_is_still_read_when_the_other_parent_ends_then_it_does_not_wait_for_that_end()
{
    let mut bench = Bench::consuming(&[1]);
    let read_elsewhere = held(2, "other", 0);
    bench.listed(vec![bench.row(1), read_elsewhere]);
    bench.report(1, ShardReport::Finished(Finish::Ended(vec![child(5, &[1, 4])])));
    let (mut second, mut merged) = (closed(4), Shard::new(shard(5), HashKeyRange::FULL));
    second.parent = Some(shard(2));
    (merged.parent, merged.adjacent_parent) = (Some(shard(1)), Some(shard(4)));

    let created = creates(&bench.handle(shards_listed(Ok(vec![closed(1), closed(2), second, merged]))));

    let [(_, lease)] = created.as_slice() else {
        panic!("{created:?}")
    };
    assert_eq!((&lease.shard, &lease.checkpoint), (&shard(4), &Position::TrimHorizon));
}

#[test]
fn given_a_row_that_only_the_answer_to_its_creation_shows_when_leases_are_planned_then_it_waits_for_a_scan() {
    // The scan was old: it has neither the second shard nor its parents, which are still read.
    let mut bench = Bench::consuming(&[1]);
    let second = Lease::new(shard(4), Position::TrimHorizon).with_parents([shard(2), shard(3)]);
    let listed = [1, 4].map(|number| Shard::new(shard(number), HashKeyRange::FULL));
    loop {
        let effects = bench.after(seconds(1));
        for (op, write) in writes(&effects) {
            bench.applied(op, &write);
        }
        if lists_shards(&effects) {
            break;
        }
    }
    let created = creates(&bench.handle(shards_listed(Ok(listed.to_vec()))));
    let (op, _) = created.into_iter().find(|(_, lease)| lease.shard == shard(4)).unwrap();
    bench.answer(op, Ok(WriteOutcome::Conflict(Some(second.clone()))));
    // The first shard ends meanwhile, and its worker looks for something to read.
    let mut effects = bench.report(1, ShardReport::Finished(Finish::Ended(Vec::new())));
    for (op, write) in writes(&effects) {
        effects.extend(bench.applied(op, &write));
    }
    let taken = |effects: &[WorkerEffect]| writes(effects).iter().any(|(_, write)| write.key == second.key);
    assert!(!taken(&effects), "{effects:?}");
    // A scan that has the row has those of its parents, if there are any.
    let effects = bench.listed(vec![bench.row(1), second.clone()]);
    assert!(taken(&effects), "{effects:?}");
}

#[test]
fn given_a_shard_whose_end_waits_for_another_lease_when_the_worker_stops_then_it_gives_the_shard_back() {
    let mut bench = Bench::consuming(&[1]);
    bench.report(1, ShardReport::Finished(Finish::Ended(vec![child(3, &[1, 2])])));
    let mut effects = bench.handle(WorkerInput::Shutdown);
    let written = writes(&effects);
    let [(op, write)] = written.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((&write.patch.owner, &write.patch.checkpoint), (&Some(None), &None));
    effects.extend(bench.applied(*op, write));
    assert!(
        effects.iter().any(|effect| matches!(effect, WorkerEffect::Exit(_))),
        "{effects:?}"
    );
}

#[test]
fn given_a_stream_of_the_same_shape_that_began_again_when_listed_then_it_is_another_one() {
    let began = |at: &str| {
        let mut shard = Shard::new(shard(1), HashKeyRange::FULL);
        shard.starting_sequence_number = Some(at.parse().unwrap());
        vec![shard]
    };
    // As a worker adds it, and as it is when the shard was handled to its end: neither says a record.
    let mut bench = Bench::new();
    bench.listed(Vec::new());
    let (_, fresh) = creates(&bench.handle(shards_listed(Ok(began("100"))))).pop().unwrap();
    let mut finished = fresh.clone();
    finished.checkpoint = Position::ShardEnd;
    let mut of_java = finished.clone();
    of_java.shard_start = None;
    for (row, at, is_another) in [
        (&fresh, "100", false),
        (&fresh, "200", true),
        (&finished, "100", false),
        (&finished, "200", true),
        (&of_java, "200", false),
    ] {
        let mut bench = Bench::new();
        bench.listed(vec![row.clone()]);
        let effects = bench.handle(shards_listed(Ok(began(at))));
        let stops = effects.iter().any(is_replaced);
        assert_eq!(stops, is_another, "{row:?} at {at}");
    }
}
