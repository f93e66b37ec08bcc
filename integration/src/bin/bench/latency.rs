//! How long it takes from before a put to the handler, and what memory a consumer keeps meanwhile.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use bytes::Bytes;
use integration::bench::{own_resident_mib, wall_nanos};
use kcl_core::aggregate::{Aggregator, UserRecord};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    Args,
    consume::{Kind, Manner, consume},
    fill::AGGREGATE_MAX,
    itself,
};

/// How long records are put.
const LASTS: Duration = Duration::from_secs(4);
/// Before the first record, and after the last.
const MARGIN: Duration = Duration::from_secs(1);
/// Between two puts.
const EVERY: Duration = Duration::from_millis(10);
/// Between polls: five a second, as the service has it.
const POLLS: Duration = Duration::from_millis(200);

/// What was seen, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Delays {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// What the process of the consumer keeps at the end.
    pub(crate) resident_mib: f64,
}

/// Reads a new stream while another process puts `rate` records a second into it.
pub(crate) async fn watch(
    kind: Kind,
    client: Client,
    endpoint: &str,
    args: &Args,
    rate: usize,
) -> Result<Delays, Box<dyn Error>> {
    let stream = format!("latency-{}-{}-{rate}-{}", args.shards, kind.name(), args.aggregated);
    let create = client.create_stream().stream_name(&stream).shard_count(args.shards);
    create.send().await?;
    let delays = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&delays);
    let sink = move |data: Bytes| {
        if let Ok(stamp) = data.as_ref().try_into().map(u64::from_be_bytes) {
            let delay = wall_nanos().saturating_sub(stamp);
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(delay);
        }
    };
    let (stop, stopped) = watch::channel(false);
    let producer = async {
        tokio::time::sleep(MARGIN).await;
        let mut put = tokio::process::Command::from(itself(args, &["put", endpoint, &stream, &rate.to_string()])?);
        let put = put.status().await?;
        tokio::time::sleep(MARGIN).await;
        let resident = own_resident_mib()?;
        stop.send_replace(true);
        match put.success() {
            true => Ok(resident),
            false => Err(format!("the producer failed: {put}").into()),
        }
    };
    let manner = Manner {
        kind,
        between: POLLS,
        at_tip: POLLS,
        aggregated: args.aggregated,
        budget_mib: args.budget_mib,
    };
    let consumer = consume(manner, client.clone(), &stream, Arc::new(sink), stopped);
    let (resident, read): (Result<f64, Box<dyn Error>>, _) = tokio::join!(producer, consumer);
    read?;
    let resident_mib = resident?;
    let mut delays = std::mem::take(&mut *delays.lock().unwrap_or_else(PoisonError::into_inner));
    let expected = each(rate)? * rounds()?;
    if delays.len() < expected {
        return Err(format!("{} of {expected} records came", delays.len()).into());
    }
    delays.sort_unstable();
    let at = |share: usize| {
        #[expect(clippy::cast_precision_loss, reason = "delays are far below 2^52 ns")]
        let nanos = delays
            .get((delays.len() - 1) * share / 100)
            .map_or(f64::NAN, |delay| *delay as f64);
        nanos / 1e6
    };
    Ok(Delays {
        p50: at(50),
        p99: at(99),
        resident_mib,
    })
}

/// Puts the records of a run, each of which says when that was.
pub(crate) async fn put(client: &Client, stream: &str, args: &Args, rate: usize) -> Result<(), Box<dyn Error>> {
    let mut ticks = tokio::time::interval(EVERY);
    for round in 0..rounds()? {
        ticks.tick().await;
        let record = |index: usize| {
            // Aggregates hold records of one key here, so that all belong to the shard that they come to.
            let key = if args.aggregated { index / PER_AGGREGATE } else { index };
            UserRecord::new(format!("{round}-{key}"), wall_nanos().to_be_bytes().to_vec())
        };
        let records: Vec<UserRecord> = (0..each(rate)?).map(record).collect();
        let records = if args.aggregated { aggregated(&records) } else { records };
        let entry = |record: UserRecord| {
            PutRecordsRequestEntry::builder()
                .partition_key(record.partition_key)
                .data(Blob::new(record.data))
                .build()
        };
        let entries = records.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let put = client.put_records().stream_name(stream).set_records(Some(entries));
        let answer = put.send().await?;
        if answer.failed_record_count != Some(0) {
            return Err("the broker's limits refused records".into());
        }
    }
    Ok(())
}

/// The most records of one aggregate.
const PER_AGGREGATE: usize = 10;

fn aggregated(records: &[UserRecord]) -> Vec<UserRecord> {
    let of_chunk = |chunk: &[UserRecord]| {
        let mut aggregator = Aggregator::new(AGGREGATE_MAX);
        chunk
            .iter()
            .all(|record| aggregator.append(record))
            .then(|| aggregator.take())?
    };
    records.chunks(PER_AGGREGATE).filter_map(of_chunk).collect()
}

/// Records of each put.
fn each(rate: usize) -> Result<usize, Box<dyn Error>> {
    Ok((rate * usize::try_from(EVERY.as_millis())? / 1_000).max(1))
}

fn rounds() -> Result<usize, Box<dyn Error>> {
    Ok(usize::try_from(LASTS.as_millis() / EVERY.as_millis())?)
}
