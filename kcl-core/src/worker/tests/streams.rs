//! Several streams in one application: each has its own shards, and trouble of its own.

use super::bench::{Bench, child, creates, exit, seconds, shard, starts, stops, worker, writes};
use crate::{
    HashKeyRange, InitialPosition, Lease, LeaseKey, Position, Session, Shard, ShardFilter, StreamId, StreamName, Tick,
    WriteOutcome,
    fetch::{FetchFailure, FetchFailureKind},
    shard::{Finish, StopReason},
    store::{LeaseListing, UnreadableRow},
    worker::{
        FormerStreams, OpId, ShardReport, StreamConfig, WorkerConfig, WorkerEffect, WorkerEvent, WorkerFailure,
        WorkerInput, WorkerMachine,
    },
};

fn stream(name: &str) -> StreamId {
    format!("1:{name}:7").parse().unwrap()
}

fn at(name: &str, initial_position: InitialPosition) -> StreamConfig {
    StreamConfig {
        id: stream(name),
        initial_position,
    }
}

fn configs(names: &[&str]) -> Vec<StreamConfig> {
    names
        .iter()
        .map(|name| at(name, InitialPosition::TrimHorizon))
        .collect()
}

/// A worker called `me`, in its fifth life, that reads these streams.
fn reading(names: &[&str]) -> Bench {
    reading_with(names, FormerStreams::Keep)
}

fn reading_with(names: &[&str], former_streams: FormerStreams) -> Bench {
    let now = Tick::from_origin(seconds(1_000));
    let config = WorkerConfig {
        streams: Some(configs(names)),
        former_streams,
        ..WorkerConfig::new(worker("me"), Session(5))
    };
    Bench {
        machine: WorkerMachine::new(config, now, 7),
        now,
    }
}

fn key(name: &str, number: u8) -> LeaseKey {
    stream(name).key_of(&shard(number))
}

fn free(name: &str, number: u8) -> Lease {
    Lease::new(shard(number), Position::TrimHorizon).in_stream(stream(name))
}

fn held(name: &str, number: u8, owner: &str) -> Lease {
    let mut lease = free(name, number);
    (lease.owner, lease.session, lease.counter) = (Some(worker(owner)), Some(Session(4)), 10);
    lease
}

fn listings(effects: &[WorkerEffect]) -> Vec<(String, ShardFilter)> {
    let listing = |effect: &WorkerEffect| match effect {
        WorkerEffect::ListShards { stream, filter } => Some((stream.as_ref()?.name().to_string(), *filter)),
        _ => None,
    };
    effects.iter().filter_map(listing).collect()
}

fn shards_of(name: &str, result: Result<Vec<Shard>, FetchFailure>) -> WorkerInput {
    let stream = Some(stream(name));
    WorkerInput::Shards { stream, result }
}

fn open(number: u8) -> Shard {
    Shard::new(shard(number), HashKeyRange::FULL)
}

fn refused(kind: FetchFailureKind) -> Result<Vec<Shard>, FetchFailure> {
    let message = "no".to_owned();
    Err(FetchFailure { kind, message })
}

fn lost_streams(effects: &[WorkerEffect]) -> Vec<String> {
    let lost = |effect: &WorkerEffect| match effect {
        WorkerEffect::Event(WorkerEvent::StreamLost { stream, .. }) => Some(stream.name().to_string()),
        _ => None,
    };
    effects.iter().filter_map(lost).collect()
}

fn deletes(effects: &[WorkerEffect]) -> Vec<LeaseKey> {
    let delete = |effect: &WorkerEffect| match effect {
        WorkerEffect::Delete { key, .. } => Some(key.clone()),
        _ => None,
    };
    effects.iter().filter_map(delete).collect()
}

fn apply_all(bench: &mut Bench, effects: &[WorkerEffect]) -> Vec<WorkerEffect> {
    let mut all = Vec::new();
    let mut open = writes(effects);
    while let Some((op, write)) = open.pop() {
        let effects = bench.applied(op, &write);
        open.extend(writes(&effects));
        all.extend(effects);
    }
    all
}

/// One that consumes shard 1 of each of these streams.
fn consuming(names: &[&str]) -> Bench {
    let mut bench = reading(names);
    let effects = bench.listed(names.iter().map(|name| held(name, 1, "me")).collect());
    apply_all(&mut bench, &effects);
    for name in names {
        bench.handle(shards_of(name, Ok(vec![open(1)])));
    }
    assert_eq!(bench.machine.leases_held(), names.len());
    bench
}

/// Lets the worker write what is due, and its consumers end as they are told to.
fn finish_stopping(bench: &mut Bench, effects: &[WorkerEffect]) -> Vec<WorkerEffect> {
    let mut all = Vec::new();
    for (tenure, _) in stops(effects) {
        all.extend(bench.report(tenure, ShardReport::Finished(Finish::Drained)));
    }
    let written = apply_all(bench, &all);
    all.extend(written);
    all
}

#[test]
fn given_an_empty_table_when_scanned_then_each_stream_starts_at_its_own_position() {
    let mut bench = reading(&["a", "b"]);
    bench.handle(WorkerInput::Streams(vec![
        at("a", InitialPosition::Latest),
        at("b", InitialPosition::TrimHorizon),
    ]));
    let effects = bench.listed(Vec::new());
    let expected = [
        ("a".to_owned(), ShardFilter::AtLatest),
        ("b".to_owned(), ShardFilter::AtTrimHorizon),
    ];
    assert_eq!(listings(&effects), expected);
    let created = creates(&bench.handle(shards_of("a", Ok(vec![open(1)]))));
    let mut wanted = Lease::new(shard(1), Position::Latest).with_hash_key_range(HashKeyRange::FULL);
    wanted = wanted.in_stream(stream("a"));
    assert_eq!(created.iter().map(|(_, lease)| lease).collect::<Vec<_>>(), [&wanted]);
    // The shard of the same id of the other stream is another one.
    let created = creates(&bench.handle(shards_of("b", Ok(vec![open(1)]))));
    assert_eq!(created[0].1.key, key("b", 1));
    assert_eq!(created[0].1.checkpoint, Position::TrimHorizon);
}

#[test]
fn given_a_table_with_rows_when_a_stream_is_added_then_that_one_begins_as_in_an_empty_table() {
    let mut bench = consuming(&["a"]);
    let both = vec![at("a", InitialPosition::TrimHorizon), at("b", InitialPosition::Latest)];
    let effects = bench.handle(WorkerInput::Streams(both.clone()));
    assert!(effects.contains(&WorkerEffect::Event(WorkerEvent::StreamAdded { stream: stream("b") })));
    assert!(
        effects.contains(&WorkerEffect::ListLeases),
        "the table tells whether it was read before"
    );
    assert_eq!(bench.machine.status(bench.now).without_leases, [stream("b")]);
    let row = Lease::clone(&bench.machine.table[&key("a", 1)]);
    let effects = bench.listed(vec![row.clone()]);
    assert_eq!(listings(&effects), [("b".to_owned(), ShardFilter::AtLatest)]);

    // A row of it that cannot be read is a row; one of another stream says nothing about it.
    for (unreadable, filter) in [
        (key("b", 1).to_string(), ShardFilter::All),
        (key("c", 1).to_string(), ShardFilter::AtLatest),
        ("odd".to_owned(), ShardFilter::AtLatest),
    ] {
        let mut bench = consuming(&["a"]);
        bench.handle(WorkerInput::Streams(both.clone()));
        let listing = LeaseListing {
            leases: vec![row.clone().into()],
            unreadable: vec![UnreadableRow {
                key: unreadable.clone(),
                reason: "no counter".to_owned(),
            }],
        };
        let effects = bench.handle(WorkerInput::Leases(Ok(listing)));
        assert_eq!(listings(&effects), [("b".to_owned(), filter)], "{unreadable}");
    }
}

#[test]
fn given_parents_in_two_streams_when_one_is_finished_then_only_its_own_child_starts() {
    let mut bench = reading(&["a", "b"]);
    let mut parent = held("a", 1, "me");
    (parent.owner, parent.session, parent.checkpoint) = (None, None, Position::ShardEnd);
    let child = |name| held(name, 2, "me").with_parents([shard(1)]);
    let effects = bench.listed(vec![parent, child("a"), held("b", 1, "other"), child("b")]);
    let effects = apply_all(&mut bench, &effects);
    assert_eq!(starts(&effects), 1);
    let started = effects.iter().find_map(|effect| match effect {
        WorkerEffect::StartShard { lease, .. } => Some(lease.key.clone()),
        _ => None,
    });
    assert_eq!(started, Some(key("a", 2)));
}

#[test]
fn given_the_end_of_a_shard_when_its_children_are_added_then_they_are_of_its_stream() {
    let mut bench = consuming(&["a", "b"]);
    let tenure = bench.machine.held[&key("b", 1)].0;
    let ended = ShardReport::Finished(Finish::Ended(vec![child(2, &[1]), child(3, &[1])]));
    let created = creates(&bench.report(tenure, ended));
    let keys: Vec<&LeaseKey> = created.iter().map(|(_, lease)| &lease.key).collect();
    assert_eq!(keys, [&key("b", 2), &key("b", 3)]);
    let mut finishing = Vec::new();
    for (op, lease) in created {
        assert_eq!(lease.stream_id(), Some(&stream("b")));
        finishing = bench.answer(op, Ok(WriteOutcome::Applied(lease)));
    }
    let (_, finish) = writes(&finishing).pop().unwrap();
    assert_eq!(finish.key, key("b", 1));
    assert_eq!(finish.patch.children, Some(vec![shard(2), shard(3)]));
}

#[test]
fn given_a_stream_that_does_not_exist_when_listed_then_it_is_forgotten_and_the_others_go_on() {
    let mut bench = consuming(&["a", "b"]);
    let tenure = bench.machine.held[&key("b", 1)].0;
    let effects = bench.report(tenure, ShardReport::Missing);
    assert_eq!(listings(&effects), [("b".to_owned(), ShardFilter::All)]);
    let effects = bench.handle(shards_of("b", refused(FetchFailureKind::NotFound)));
    assert_eq!(lost_streams(&effects), ["b"]);
    assert_eq!(stops(&effects), [(tenure, StopReason::Shutdown)]);
    let effects = finish_stopping(&mut bench, &effects);
    assert!(effects.iter().any(|effect| matches!(
        effect, WorkerEffect::Event(WorkerEvent::LeaseReleased { key: released, .. }) if *released == key("b", 1)
    )));
    assert_eq!(bench.machine.leases_held(), 1);
    // Its row is free now, and is left alone; nobody asks for its shards any more.
    let mine = Lease::clone(&bench.machine.table[&key("a", 1)]);
    for _ in 0..100 {
        let mut effects = bench.after(seconds(1));
        let row = mine.clone();
        effects.extend(bench.listed(vec![row, free("b", 1)]));
        apply_all(&mut bench, &effects);
        assert!(!listings(&effects).iter().any(|(name, _)| name == "b"), "{effects:?}");
        assert!(writes(&effects).iter().all(|(_, write)| write.key == key("a", 1)));
        assert!(exit(&effects).is_none());
    }
}

#[test]
fn given_a_stream_that_is_denied_when_listed_then_it_is_tried_again_and_the_others_go_on() {
    let mut bench = reading(&["a", "b"]);
    bench.listed(Vec::new());
    let effects = bench.handle(shards_of("a", refused(FetchFailureKind::Denied)));
    assert!(effects.iter().any(|effect| matches!(
        effect, WorkerEffect::Event(WorkerEvent::ServiceTrouble { stream: Some(of), .. }) if *of == stream("a")
    )));
    assert_eq!(creates(&bench.handle(shards_of("b", Ok(vec![open(1)])))).len(), 1);
    let again = (0..60).any(|_| listings(&bench.after(seconds(1))).iter().any(|(name, _)| name == "a"));
    assert!(again);
}

#[test]
fn given_a_stream_that_is_another_one_by_now_when_found_out_then_only_that_one_is_given_up() {
    let mut bench = consuming(&["a", "b"]);
    let tenure = bench.machine.held[&key("a", 1)].0;
    let effects = bench.report(tenure, ShardReport::Rejected("not of this shard".to_owned()));
    assert_eq!(lost_streams(&effects), ["a"]);
    assert_eq!(stops(&effects).len(), 1);
}

#[test]
fn given_a_stream_when_removed_then_its_consumers_finish_and_its_rows_are_left_alone() {
    let mut bench = consuming(&["a", "b"]);
    let tenure = bench.machine.held[&key("b", 1)].0;
    bench.report(tenure, ShardReport::Progress(super::bench::at(41)));
    let effects = bench.handle(WorkerInput::Streams(configs(&["a"])));
    assert_eq!(stops(&effects), [(tenure, StopReason::Shutdown)]);
    let effects = bench.report(tenure, ShardReport::Finished(Finish::Drained));
    let (op, last) = writes(&effects).pop().unwrap();
    assert_eq!((&last.key, &last.patch.owner), (&key("b", 1), &Some(None)));
    assert_eq!(
        last.patch.checkpoint,
        Some(super::bench::at(41)),
        "with what was handled"
    );
    bench.applied(op, &last);
    assert_eq!(bench.machine.status(bench.now).leases.len(), 1);
    assert!(deletes(&bench.listed(vec![held("a", 1, "me"), free("b", 1)])).is_empty());

    // Brought back, it goes on where it was.
    bench.handle(WorkerInput::Streams(configs(&["a", "b"])));
    let effects = bench.listed(vec![held("a", 1, "me"), free("b", 1)]);
    let taken: Vec<LeaseKey> = writes(&effects).into_iter().map(|(_, write)| write.key).collect();
    assert_eq!(taken, [key("b", 1)]);
}

#[test]
fn given_a_take_under_way_when_its_stream_is_removed_then_the_lease_is_given_back_at_once() {
    let mut bench = reading(&["a", "b"]);
    let effects = bench.listed(vec![free("b", 1)]);
    let (op, take) = writes(&effects).pop().unwrap();
    bench.handle(WorkerInput::Streams(configs(&["a"])));
    let row = take.patch.apply(&free("b", 1));
    let effects = bench.answer(op, Ok(WriteOutcome::Applied(row)));
    assert_eq!(starts(&effects), 0);
    let (_, release) = writes(&effects).pop().unwrap();
    assert_eq!(release.patch.owner, Some(None));
}

#[test]
fn given_a_lease_on_its_way_when_its_stream_is_removed_then_it_is_declined() {
    let mut bench = reading(&["a", "b"]);
    let mut row = held("b", 1, "me");
    row.checkpoint_owner = Some(worker("other"));
    bench.listed(vec![row]);
    let effects = bench.handle(WorkerInput::Streams(configs(&["a"])));
    let (_, decline) = writes(&effects).pop().unwrap();
    assert_eq!(decline.patch.owner, Some(Some(worker("other"))), "its holder keeps it");
}

#[test]
fn given_rows_of_streams_that_this_worker_does_not_read_when_planned_then_they_are_no_work() {
    let mut bench = reading(&["a"]);
    // Held under its own name by an earlier life that read them.
    let effects = bench.listed(vec![
        free("a", 1),
        free("b", 1),
        held("c", 1, "other"),
        held("d", 1, "me"),
    ]);
    let taken: Vec<LeaseKey> = writes(&effects).into_iter().map(|(_, write)| write.key).collect();
    assert_eq!(taken, [key("a", 1)]);
}

#[test]
fn given_former_streams_that_are_to_be_deleted_when_their_rows_rested_then_they_go() {
    let wait = seconds(120);
    let mut bench = reading_with(&["a", "b"], FormerStreams::DeleteAfter(wait));
    let mut other = held("b", 2, "other");
    let rows = |other: &Lease| vec![free("b", 1), other.clone(), free("c", 1)];
    bench.handle(WorkerInput::Streams(configs(&["a"])));
    let mut gone = Vec::new();
    for second in 0..200 {
        bench.after(seconds(1));
        other.counter += 1;
        for key in deletes(&bench.listed(rows(&other))) {
            gone.push((second, key));
        }
    }
    // What others hold stays, and so does what this worker never read.
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!((119..=121).contains(&gone[0].0), "{gone:?}");
    assert_eq!(gone[0].1, key("b", 1));
}

#[test]
fn given_rows_of_the_other_kind_of_application_when_scanned_then_the_worker_stops() {
    let one = super::bench::held(1, "other", 1);
    let several = free("a", 1);
    let failure = |effects: &[WorkerEffect]| exit(effects).and_then(|exit| exit.failure.clone());
    let stopped = failure(&reading(&["a"]).listed(vec![one.clone()]));
    assert!(matches!(stopped, Some(WorkerFailure::OneStream { .. })), "{stopped:?}");
    let mut named = one;
    named.stream = Some(StreamName::new("a").unwrap().into());
    let stopped = failure(&reading(&["a"]).listed(vec![named]));
    assert!(matches!(stopped, Some(WorkerFailure::OneStream { .. })), "{stopped:?}");
    let stopped = failure(&Bench::new().listed(vec![several]));
    assert!(
        matches!(stopped, Some(WorkerFailure::SeveralStreams { .. })),
        "{stopped:?}"
    );
}

#[test]
fn given_a_worker_of_one_stream_when_told_of_several_then_it_keeps_to_its_own() {
    let mut bench = Bench::consuming(&[1]);
    let effects = bench.handle(WorkerInput::Streams(configs(&["a"])));
    assert_eq!(effects, []);
    assert_eq!(bench.machine.leases_held(), 1);
}

#[test]
fn given_a_failed_creation_when_its_stream_is_one_of_several_then_only_that_one_is_listed_again_soon() {
    let mut bench = reading(&["a", "b"]);
    bench.listed(Vec::new());
    let created = creates(&bench.handle(shards_of("a", Ok(vec![open(1)]))));
    bench.handle(shards_of("b", Ok(vec![open(1)])));
    let (op, _): (OpId, Lease) = created[0].clone();
    bench.answer(op, Err(crate::worker::StoreFailure::Retry("no".to_owned())));
    let mut listed = Vec::new();
    for _ in 0..5 {
        listed.extend(listings(&bench.after(seconds(1))));
    }
    assert!(
        !listed.is_empty() && listed.iter().all(|(name, _)| name == "a"),
        "{listed:?}"
    );
}
