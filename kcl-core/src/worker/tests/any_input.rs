//! Whatever comes, in whatever order.

use std::time::Duration;

use super::bench::{Bench, at, child, held, shard, shards_listed, worker};
use crate::{
    HashKeyRange, Lease, LeaseKey, PendingCheckpoint, Position, Shard, Timestamp, WriteOutcome,
    fetch::{FetchFailure, FetchFailureKind},
    shard::Finish,
    worker::{OpId, PauseScope, ShardReport, StoreFailure, TenureId, WorkerInput},
};

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
    row.seeks = u64::from(rng.u8(0..4) == 0);
    row.paused = (rng.u8(0..4) == 0).then(|| Timestamp::from_epoch_millis(1));
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
    let report = match rng.u8(0..7) {
        0 => ShardReport::Missing,
        1 => ShardReport::Finished(Finish::Drained),
        2 => ShardReport::Finished(Finish::Ended(
            (0..rng.u8(0..3)).map(|number| child(number, &[1])).collect(),
        )),
        3 => ShardReport::Progress(position),
        4 => ShardReport::Prepare(PendingCheckpoint { position, state: None }),
        _ => ShardReport::Checkpoint(position),
    };
    let failure = FetchFailure {
        kind: FetchFailureKind::Unavailable,
        message: String::new(),
    };
    let pause = PauseScope::Lease(LeaseKey::of_shard(&shard(rng.u8(1..5))));
    match rng.u8(0..44) {
        40 => WorkerInput::Changed(any_row(rng)),
        41 => WorkerInput::Pause {
            scope: pause,
            paused: rng.bool(),
        },
        0..8 => WorkerInput::Leases(Ok((0..rng.u8(0..5)).map(|_| any_row(rng)).collect())),
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
        36 => shards_listed(Ok(vec![Shard::new(shard(rng.u8(1..5)), HashKeyRange::FULL)])),
        37 => shards_listed(Err(failure)),
        38 if rng.u8(0..4) == 0 => WorkerInput::Shutdown,
        _ => WorkerInput::Wake,
    }
}
