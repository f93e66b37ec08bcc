//! What aggregation costs on both sides: taking aggregates apart, putting them together, and what a producer's machine takes
//! from the put of a record to the word that it is written.
//!
//! `cargo bench -p kcl-core --bench aggregates -- 2000000`: how many user records.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kcl_core::{
    HashKey, HashKeyRange, SequenceNumber, Shard, ShardId, Tick,
    aggregate::{Aggregate, Aggregator, UserRecord},
    producer::{ProducerConfig, ProducerEffect, ProducerInput, ProducerMachine, Written},
};

/// Each configuration is measured so often, and the median told.
const ROUNDS: usize = 5;
/// Keys that records are spread over.
const KEYS: u64 = 1_000;
/// The KPL's default.
const AGGREGATE_MAX: usize = 50 << 10;
/// Shards that the producer writes to.
const SHARDS: u128 = 16;
/// Hash keys of each.
const WIDTH: u128 = u128::MAX / SHARDS;
/// Records that are put before the producer's calls are answered.
const BURST: u64 = 10_000;

type Failure = Box<dyn std::error::Error>;

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

fn user_records(count: u64, bytes: usize) -> Vec<UserRecord> {
    let data = Bytes::from(vec![7; bytes]);
    (0..count)
        .map(|number| UserRecord::new(format!("customer-{}", number % KEYS), data.clone()))
        .collect()
}

fn aggregates(records: &[UserRecord]) -> Vec<UserRecord> {
    let mut aggregator = Aggregator::new(AGGREGATE_MAX);
    let mut full = Vec::new();
    for record in records {
        if !aggregator.append(record) {
            full.extend(aggregator.take());
            // The first record of an aggregate is always taken.
            let _ = aggregator.append(record);
        }
    }
    full.extend(aggregator.take());
    full
}

fn write(records: &[UserRecord]) -> Result<Duration, Failure> {
    let mut took = Duration::ZERO;
    black_box(timed(&mut took, || aggregates(records)));
    Ok(took)
}

fn read(records: &[UserRecord]) -> Result<Duration, Failure> {
    let outer = aggregates(records);
    let mut took = Duration::ZERO;
    let mut seen = 0;
    for outer in &outer {
        seen += timed(&mut took, || {
            Aggregate::read(&outer.data).map_or(1, |aggregate| aggregate.map(black_box).count())
        });
    }
    check(seen, records.len())?;
    Ok(took)
}

fn produce(records: &[UserRecord], change: impl FnOnce(&mut ProducerConfig)) -> Result<Duration, Failure> {
    let mut config = ProducerConfig::default();
    change(&mut config);
    config.validate()?;
    let mut machine = ProducerMachine::new(config, 7);
    let mut now = Tick::ZERO;
    machine.handle(now, ProducerInput::Listed(Ok(shards()?)));
    let written = shards()?.into_iter().map(written).collect::<Result<Vec<_>, _>>()?;
    let (mut took, mut done) = (Duration::ZERO, 0);
    for (id, record) in (0..).zip(records) {
        let (input, is_last) = (put(id, record), id + 1 == records.len() as u64);
        timed(&mut took, || machine.handle(now, input));
        if is_last || (id + 1).is_multiple_of(BURST) {
            now = now + Duration::from_secs(1);
            timed(&mut took, || machine.handle(now, ProducerInput::Flush));
            done += answer_all(&mut machine, now, &written, &mut took);
        }
    }
    check(done, records.len())?;
    Ok(took)
}

fn put(id: u64, record: &UserRecord) -> ProducerInput {
    ProducerInput::Put {
        id,
        record: record.clone(),
    }
}

/// Answers calls until there are none; says how many records were done.
fn answer_all(machine: &mut ProducerMachine, now: Tick, written: &[Written], took: &mut Duration) -> usize {
    let mut done = 0;
    while let Some(effect) = timed(took, || machine.poll_effect()) {
        match effect {
            ProducerEffect::Call { call, records, .. } => {
                let into = |record: &UserRecord| (record.hash_key().0 / WIDTH).min(SHARDS - 1);
                let answers = records
                    .iter()
                    .filter_map(|record| written.get(usize::try_from(into(record)).ok()?));
                let result = Ok(answers.cloned().map(Ok).collect());
                timed(took, || machine.handle(now, ProducerInput::Answered { call, result }));
            }
            ProducerEffect::Done { .. } => done += 1,
            _ => {}
        }
    }
    done
}

fn shards() -> Result<Vec<Shard>, Failure> {
    let shard = |number: u128| {
        let end = if number + 1 == SHARDS {
            u128::MAX
        } else {
            (number + 1) * WIDTH - 1
        };
        let (start, end) = (HashKey(number * WIDTH), HashKey(end));
        Ok(Shard::new(
            ShardId::new(format!("shardId-{number:012}"))?,
            HashKeyRange { start, end },
        ))
    };
    (0..SHARDS).map(shard).collect()
}

fn written(shard: Shard) -> Result<Written, Failure> {
    Ok(Written {
        shard: shard.id,
        sequence_number: SequenceNumber::new("49650000000000000000000000000000000000000000000000000001")?,
    })
}

fn check(seen: usize, expected: usize) -> Result<(), Failure> {
    match seen == expected {
        true => Ok(()),
        false => Err(format!("{seen} of {expected} records").into()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn main() -> Result<(), Failure> {
    let count = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1_000_000);
    println!("{:<44} {:>12} {:>14} {:>10}", "", "ns/record", "records/s", "MB/s");
    for bytes in [100, 1_000] {
        let records = user_records(count, bytes);
        type Work = fn(&[UserRecord]) -> Result<Duration, Failure>;
        let all: [(&str, Work); 5] = [
            ("taken apart", read),
            ("put together", write),
            ("a producer, aggregated", |records| produce(records, |_| {})),
            ("a producer, aggregated, in order", |records| {
                produce(records, |config| config.ordered = true)
            }),
            ("a producer, plain", |records| {
                produce(records, |config| config.aggregation = false)
            }),
        ];
        for (name, work) in all {
            let mut runs = (0..ROUNDS).map(|_| work(&records)).collect::<Result<Vec<_>, _>>()?;
            runs.sort();
            let nanos = runs[ROUNDS / 2].as_nanos() as f64 / count as f64;
            let megabytes = bytes as f64 * 1e3 / nanos;
            println!(
                "{:<44} {nanos:>12.0} {:>14.0} {megabytes:>10.0}",
                format!("{name}, {bytes} bytes"),
                1e9 / nanos
            );
        }
    }
    Ok(())
}
