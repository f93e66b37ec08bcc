//! What lanes cost: the time that a shard's machine takes per record, from the read to the commit, with a handler that
//! takes none.
//!
//! `cargo bench -p kcl-core --bench lanes -- 2000000`: how many records.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kcl_core::{
    Batch, Position, Record, ShardId, StreamName, Tick, Timestamp,
    fetch::{Fetch, PollPacing},
    shard::{CallId, Lanes, Outcome, ShardConfig, ShardEffect, ShardInput, ShardMachine},
};

/// Records of one read.
const READ: u64 = 10_000;
/// Each configuration is measured so often, and the median told.
const ROUNDS: usize = 5;
/// So many calls run at once where keys allow it.
const CALLS: usize = 100;

type Failure = Box<dyn std::error::Error>;

#[derive(Default)]
struct Run {
    took: Duration,
    calls: u64,
}

fn read(from: u64, keys: u64) -> Result<Fetch, Failure> {
    let record = |number: u64| -> Result<Record, Failure> {
        // As on the service: 56 digits, of which the last ones count.
        let number_text = format!("49650000000000000000000000000000000000{number:018}");
        let key = format!("key-{}", fastrand::Rng::with_seed(number).u64(..keys));
        let data = Bytes::from_static(&[7; 100]);
        Ok(Record::new(
            number_text.parse()?,
            key,
            Timestamp::from_epoch_millis(0),
            data,
        ))
    };
    let records = (from..from + READ).map(record).collect::<Result<_, _>>()?;
    let batch = Batch::new(StreamName::new("s")?, ShardId::new("shardId-0")?, records);
    let batch = batch.with_millis_behind_latest(Some(1_000));
    Ok(Fetch {
        batch,
        end: None,
        continuation: None,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock; nothing is decided by it"
)]
fn timed<T>(took: &mut Duration, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = work();
    *took += started.elapsed();
    result
}

/// Consumes so many records; calls end in the order in which they began, `CALLS` of them later.
fn consume(lanes: Lanes, keys: u64, records: u64) -> Result<Run, Failure> {
    let config = ShardConfig {
        lanes,
        pacing: PollPacing {
            while_behind: Duration::ZERO,
            at_tip: Duration::ZERO,
        },
        ..ShardConfig::default()
    };
    let start = Timestamp::from_epoch_millis(0);
    let mut machine = ShardMachine::new(config, Position::TrimHorizon, start, 1 << 30, 7);
    let mut run = Run::default();
    let mut running: VecDeque<CallId> = VecDeque::new();
    let mut from = 1;
    let mut now = Tick::ZERO;
    while machine.status(now).handled_records < records {
        now = now + Duration::from_millis(1);
        let mut input = None;
        let effects: Vec<ShardEffect> = timed(&mut run.took, || std::iter::from_fn(|| machine.poll_effect()).collect());
        for effect in effects {
            match effect {
                ShardEffect::Open(_) => input = Some(ShardInput::Opened(Ok(()))),
                // Made outside of what is measured.
                ShardEffect::Fetch { .. } => input = Some(ShardInput::Wake),
                ShardEffect::Call { id, .. } => {
                    run.calls += 1;
                    running.push_back(id);
                }
                ShardEffect::Checkpoint(position) => machine.handle(now, ShardInput::Stored(position)),
                _ => {}
            }
        }
        let input = match input {
            Some(ShardInput::Wake) => {
                let fetch = read(from, keys)?;
                from += READ;
                ShardInput::Fetched(Ok(fetch))
            }
            Some(input) => input,
            None => match running.pop_front() {
                Some(id) => ShardInput::Called(id, Outcome::Success),
                None => ShardInput::Wake,
            },
        };
        timed(&mut run.took, || machine.handle(now, input));
    }
    Ok(run)
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn main() -> Result<(), Failure> {
    let records = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1_000_000);
    println!(
        "{:<34} {:>12} {:>14} {:>10}",
        "lanes", "ns/record", "records/call", "records/s"
    );
    let (per_key, hashed) = (Lanes::PerKey { calls: CALLS }, Lanes::Hashed(10));
    let all = [
        (Lanes::One, 1_000),
        (hashed, 1),
        (hashed, 10),
        (hashed, 1_000),
        (per_key, 1),
        (per_key, 10),
        (per_key, 1_000),
        (per_key, 1_000_000),
        (Lanes::PerRecord { calls: CALLS }, 1_000),
    ];
    for (lanes, keys) in all {
        let mut runs = (0..ROUNDS)
            .map(|_| consume(lanes, keys, records))
            .collect::<Result<Vec<_>, _>>()?;
        runs.sort_by_key(|run| run.took);
        let run = &runs[ROUNDS / 2];
        let nanos = run.took.as_nanos() as f64 / records as f64;
        let per_call = records as f64 / run.calls.max(1) as f64;
        let name = format!("{lanes:?}, {keys} keys");
        println!("{name:<34} {nanos:>12.0} {per_call:>14.1} {:>10.0}", 1e9 / nanos);
    }
    Ok(())
}
