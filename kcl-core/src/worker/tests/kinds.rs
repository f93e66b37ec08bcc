//! Workers that take the application for different ones and begin in the same moment.

use super::bench::{Bench, creates, exit, seconds, shard, shards_listed, starts, worker, writes};
use crate::{
    HashKeyRange, InitialPosition, Lease, LeaseKey, LeaseStream, Position, Session, Shard, StreamId, StreamName,
    WriteOutcome,
    worker::{OpId, StreamConfig, WorkerConfig, WorkerEffect, WorkerFailure, WorkerInput},
};

fn stream() -> StreamId {
    "1:rides:7".parse().unwrap()
}

fn of_one(name: &str) -> Bench {
    Bench::of(WorkerConfig {
        stream: Some(StreamName::new(name).unwrap()),
        ..WorkerConfig::new(worker("me"), Session(5))
    })
}

fn of_several() -> Bench {
    let streams = vec![StreamConfig {
        id: stream(),
        initial_position: InitialPosition::TrimHorizon,
    }];
    Bench::of(WorkerConfig {
        streams: Some(streams),
        ..WorkerConfig::new(worker("me"), Session(5))
    })
}

fn row(number: u8, stream: impl Into<LeaseStream>) -> Lease {
    let lease = Lease::new(shard(number), Position::TrimHorizon).with_hash_key_range(HashKeyRange::FULL);
    match stream.into() {
        LeaseStream::OfSeveral(id) => lease.in_stream(id),
        one => Lease {
            stream: Some(one),
            ..lease
        },
    }
}

fn one(number: u8) -> Lease {
    row(number, StreamName::new("rides").unwrap())
}

fn used(mut lease: Lease) -> Lease {
    (lease.owner, lease.session, lease.counter) = (Some(worker("other")), Some(Session(1)), 1);
    lease
}

fn shards(numbers: &[u8]) -> Vec<Shard> {
    let shard = |number: &u8| Shard::new(shard(*number), HashKeyRange::FULL);
    numbers.iter().map(shard).collect()
}

/// Finds an empty table and adds leases for these shards.
fn adding(mut bench: Bench, numbers: &[u8]) -> (Bench, Vec<(OpId, Lease)>) {
    bench.listed(Vec::new());
    let several = bench.machine.config().streams.is_some();
    let effects = match several {
        false => bench.handle(shards_listed(Ok(shards(numbers)))),
        true => bench.handle(WorkerInput::Shards {
            stream: Some(stream()),
            result: Ok(shards(numbers)),
        }),
    };
    let added = creates(&effects);
    assert_eq!(added.len(), numbers.len());
    (bench, added)
}

/// The same, and they are there.
fn having_added(bench: Bench, numbers: &[u8]) -> (Bench, Vec<Lease>) {
    let (mut bench, added) = adding(bench, numbers);
    for (op, lease) in &added {
        bench.answer(*op, Ok(WriteOutcome::Applied(lease.clone())));
    }
    (bench, added.into_iter().map(|(_, lease)| lease).collect())
}

fn deletes(effects: &[WorkerEffect]) -> Vec<(OpId, LeaseKey)> {
    let delete = |effect: &WorkerEffect| match effect {
        WorkerEffect::Delete { op, key, .. } => Some((*op, key.clone())),
        _ => None,
    };
    effects.iter().filter_map(delete).collect()
}

fn failure(effects: &[WorkerEffect]) -> Option<WorkerFailure> {
    exit(effects).and_then(|exit| exit.failure.clone())
}

/// The rows go, and then the worker. Gives why.
fn gives_way(bench: &mut Bench, effects: &[WorkerEffect], rows: &[Lease]) -> WorkerFailure {
    let gone = deletes(effects);
    let keys: Vec<&LeaseKey> = gone.iter().map(|(_, key)| key).collect();
    assert_eq!(keys, rows.iter().map(|row| &row.key).collect::<Vec<_>>());
    assert!(exit(effects).is_none(), "its rows are still there");
    let mut last = Vec::new();
    for ((op, _), row) in gone.iter().zip(rows) {
        last = bench.answer(*op, Ok(WriteOutcome::Applied(row.clone())));
    }
    failure(&last).expect("the rows are gone")
}

#[test]
fn given_fresh_rows_of_both_kinds_when_scanned_then_that_of_several_takes_its_own_back_and_stops() {
    let (mut bench, mine) = having_added(of_several(), &[1, 2]);
    let effects = bench.listed([mine.clone(), vec![one(1)]].concat());
    let failure = gives_way(&mut bench, &effects, &mine);
    assert!(matches!(failure, WorkerFailure::OneStream { .. }), "{failure:?}");
}

#[test]
fn given_fresh_rows_of_both_kinds_when_scanned_then_that_of_one_waits_until_the_others_are_gone() {
    let (mut bench, mine) = having_added(of_one("rides"), &[1]);
    for _ in 0..3 {
        bench.after(seconds(1));
        let effects = bench.listed([mine.clone(), vec![row(1, stream())]].concat());
        assert_eq!(writes(&effects), [], "nothing is taken while nobody knows");
        assert!(exit(&effects).is_none());
    }
    bench.after(seconds(1));
    let effects = bench.listed(mine);
    let (op, take) = writes(&effects).pop().unwrap();
    assert_eq!(starts(&bench.applied(op, &take)), 1);
}

#[test]
fn given_fresh_rows_of_two_streams_when_scanned_then_the_name_decides() {
    let theirs = |name: &str| row(2, StreamName::new(name).unwrap());
    let (mut bench, mine) = having_added(of_one("rides"), &[1]);
    let effects = bench.listed([mine.clone(), vec![theirs("fares")]].concat());
    let failure = gives_way(&mut bench, &effects, &mine);
    assert!(matches!(failure, WorkerFailure::OtherStream { .. }), "{failure:?}");

    let (mut bench, mine) = having_added(of_one("rides"), &[1]);
    let effects = bench.listed([mine, vec![theirs("tips")]].concat());
    assert_eq!((deletes(&effects), exit(&effects)), (Vec::new(), None));
}

#[test]
fn given_another_kind_at_work_when_scanned_then_what_was_added_goes_and_what_is_on_its_way_too() {
    let (mut bench, added) = adding(of_one("rides"), &[1, 2]);
    let (first, second) = (added[0].clone(), added[1].clone());
    bench.answer(first.0, Ok(WriteOutcome::Applied(first.1.clone())));
    bench.after(seconds(1));
    let effects = bench.listed(vec![first.1.clone(), used(row(1, stream()))]);
    let gone = deletes(&effects);
    assert_eq!(gone.iter().map(|(_, key)| key).collect::<Vec<_>>(), [&first.1.key]);
    assert!(exit(&bench.answer(gone[0].0, Ok(WriteOutcome::Applied(first.1)))).is_none());
    let effects = bench.answer(second.0, Ok(WriteOutcome::Applied(second.1.clone())));
    let failure = gives_way(&mut bench, &effects, &[second.1]);
    assert!(matches!(failure, WorkerFailure::SeveralStreams { .. }), "{failure:?}");
}

#[test]
fn given_rows_of_this_kind_that_others_added_when_giving_way_then_they_are_left_to_them() {
    let (mut bench, mine) = having_added(of_several(), &[1]);
    let effects = bench.listed([mine.clone(), vec![row(2, stream()), one(1)]].concat());
    gives_way(&mut bench, &effects, &mine);
}

#[test]
fn given_own_leases_at_work_when_others_rows_appear_then_it_goes_on_and_stops_only_if_they_stay() {
    let (mut bench, mine) = having_added(of_one("rides"), &[1]);
    let effects = bench.listed(mine);
    let (op, take) = writes(&effects).pop().unwrap();
    bench.applied(op, &take);
    for second in 0..=10 {
        for (op, write) in writes(&bench.after(seconds(1))) {
            bench.applied(op, &write);
        }
        let effects = bench.listed(vec![bench.row(1), row(1, stream())]);
        let stops = effects
            .iter()
            .any(|effect| matches!(effect, WorkerEffect::StopShard { .. }));
        assert_eq!(
            (stops, deletes(&effects)),
            (second == 10, Vec::new()),
            "after {second} s"
        );
    }
}

#[test]
fn given_both_kinds_at_work_when_scanned_then_the_worker_stops_and_leaves_the_rows() {
    let (mut bench, mine) = having_added(of_one("rides"), &[1]);
    let mine = mine.into_iter().map(used).collect();
    let effects = bench.listed([mine, vec![used(row(1, stream()))]].concat());
    assert_eq!(deletes(&effects), []);
    assert!(matches!(failure(&effects), Some(WorkerFailure::SeveralStreams { .. })));
}
