//! Streams that are full from the start, filled in the broker's own process: plain records, or aggregates as the KPL makes them.
//!
//! Where the broker's limits are on, filling keeps to them too, by a clock that is put forward.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use integration::bench::wall_nanos;
use kcl_broker::{
    Broker, Limits,
    api::{CreateStream, PutRecords, PutRecordsEntry, PutRecordsResult},
};
use kcl_core::{
    HashKey, Timestamp,
    aggregate::{Aggregator, UserRecord},
};

use crate::{Args, STREAM};

/// Where aggregates end: the default of the KPL, keys included.
pub(crate) const AGGREGATE_MAX: usize = 50 * 1024;
/// A put takes so many records, and 10 MiB.
const RECORDS_PER_PUT: usize = 500;
const BYTES_PER_PUT: usize = 5 << 20;
/// Keys of user records, over all shards.
const KEYS: usize = 4_096;
/// How far in the past filling begins, and how much the clock moves when the limits say no.
const HEAD_START_MS: i64 = 3 * 60 * 60 * 1_000;
const STEP_MS: i64 = 100;

/// A broker, with the stream full if any records are asked for.
pub(crate) fn broker(args: &Args) -> Result<Broker, Box<dyn Error>> {
    let skew = Arc::new(AtomicI64::new(-HEAD_START_MS));
    let behind = Arc::clone(&skew);
    let broker = Broker::builder()
        .limits(if args.limits { Limits::Aws } else { Limits::Off })
        .clock(Arc::new(move || wall(behind.load(Ordering::Relaxed))))
        .build();
    if args.records > 0 {
        broker.call(CreateStream::new(STREAM, args.shards))?;
        let (mut batch, mut bytes) = (Vec::with_capacity(RECORDS_PER_PUT), 0);
        for entry in entries(args)? {
            bytes += entry.data.as_ref().map_or(0, bytes::Bytes::len);
            batch.push(entry);
            if batch.len() == RECORDS_PER_PUT || bytes >= BYTES_PER_PUT {
                put(&broker, &mut batch, &skew)?;
                bytes = 0;
            }
        }
        put(&broker, &mut batch, &skew)?;
    }
    skew.store(0, Ordering::Relaxed);
    Ok(broker)
}

fn wall(skew: i64) -> Timestamp {
    let millis = i64::try_from(wall_nanos() / 1_000_000).unwrap_or(i64::MAX);
    Timestamp::from_epoch_millis(millis.saturating_add(skew))
}

/// Writes the batch; what the limits refuse is written later.
fn put(broker: &Broker, batch: &mut Vec<PutRecordsEntry>, skew: &AtomicI64) -> Result<(), Box<dyn Error>> {
    while !batch.is_empty() {
        let answer = broker.call(PutRecords::new(STREAM, batch.clone()))?;
        let mut results = answer.records.iter();
        batch.retain(|_| !matches!(results.next(), Some(PutRecordsResult::Written(_))));
        if answer.failed_record_count > 0 {
            skew.fetch_add(STEP_MS, Ordering::Relaxed);
        }
    }
    if skew.load(Ordering::Relaxed) > 0 {
        return Err("so much data takes longer than the head start; ask for fewer records".into());
    }
    Ok(())
}

/// What is written, shard after shard in turn.
fn entries(args: &Args) -> Result<Box<dyn Iterator<Item = PutRecordsEntry>>, Box<dyn Error>> {
    let shards = usize::try_from(args.shards)?;
    let data = bytes::Bytes::from(vec![b'x'; args.bytes]);
    let keys = keys_by_shard(shards);
    let user_record = move |number: usize| {
        let of_shard = keys.get(&(number % shards)).map(Vec::as_slice).unwrap_or_default();
        let key = of_shard.get(number / shards % of_shard.len().max(1));
        (key.cloned().unwrap_or_default(), data.clone())
    };
    if !args.aggregated {
        return Ok(Box::new(
            (0..args.records)
                .map(user_record)
                .map(|(key, data)| PutRecordsEntry::new(key, data)),
        ));
    }
    let mut open: Vec<Aggregator> = (0..shards).map(|_| Aggregator::new(AGGREGATE_MAX)).collect();
    let (mut number, records) = (0, args.records);
    Ok(Box::new(std::iter::from_fn(move || {
        while number < records {
            let (key, data) = user_record(number);
            let record = UserRecord::new(key, data);
            let aggregator = open.get_mut(number % shards)?;
            if aggregator.append(&record) {
                number += 1;
            } else {
                // It is looked at again, and then the first of the next aggregate.
                return aggregator.take().map(entry);
            }
        }
        open.iter_mut().find_map(Aggregator::take).map(entry)
    })))
}

fn entry(record: UserRecord) -> PutRecordsEntry {
    PutRecordsEntry::new(record.partition_key, record.data)
}

/// Keys by the shard that they belong to, of as many as there are in a new stream.
fn keys_by_shard(shards: usize) -> BTreeMap<usize, Vec<String>> {
    let mut keys: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let width = (u128::MAX / shards as u128).saturating_add(1);
    for number in 0..KEYS.max(64 * shards) {
        let key = format!("key-{number}");
        if let Ok(shard) = usize::try_from(HashKey::of_partition_key(&key).0 / width) {
            keys.entry(shard).or_default().push(key);
        }
    }
    keys
}
