//! How long it takes from before a put to the handler.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use integration::bench::now;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::consume::{Kind, consume};

/// How long records are put.
const LASTS: Duration = Duration::from_secs(4);
/// Before the first record, and after the last.
const MARGIN: Duration = Duration::from_secs(1);
/// Between two puts.
const EVERY: Duration = Duration::from_millis(10);
/// Between polls at the tip: five a second, as the service has it.
const IDLE: Duration = Duration::from_millis(200);

/// What was seen, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Delays {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) records: usize,
}

/// Puts `rate` records a second into a new stream of this name while it is read.
pub(crate) async fn watch(
    kind: Kind,
    client: Client,
    stream: &str,
    shards: i32,
    rate: usize,
) -> Result<Delays, Box<dyn Error>> {
    client
        .create_stream()
        .stream_name(stream)
        .shard_count(shards)
        .send()
        .await?;
    let origin = now();
    let delays = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&delays);
    let sink = move |data: &[u8]| {
        if let Ok(stamp) = data.try_into().map(u64::from_be_bytes) {
            let delay = nanos(origin).saturating_sub(stamp);
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(delay);
        }
    };
    let (stop, stopped) = watch::channel(false);
    let producer = async {
        tokio::time::sleep(MARGIN).await;
        let put = put(&client, stream, rate, origin).await;
        tokio::time::sleep(MARGIN).await;
        stop.send_replace(true);
        put
    };
    let (put, read) = tokio::join!(
        producer,
        consume(kind, client.clone(), stream, IDLE, Arc::new(sink), stopped)
    );
    read?;
    let expected = put?;
    let mut delays = std::mem::take(&mut *delays.lock().unwrap_or_else(PoisonError::into_inner));
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
        records: delays.len(),
    })
}

/// Says how many records were put.
async fn put(client: &Client, stream: &str, rate: usize, origin: Instant) -> Result<usize, Box<dyn Error>> {
    let each = (rate * usize::try_from(EVERY.as_millis())? / 1_000).max(1);
    let mut ticks = tokio::time::interval(EVERY);
    let rounds = LASTS.as_millis() / EVERY.as_millis();
    for round in 0..rounds {
        ticks.tick().await;
        let entry = |index: usize| {
            PutRecordsRequestEntry::builder()
                .partition_key(format!("{round}-{index}"))
                .data(Blob::new(nanos(origin).to_be_bytes()))
                .build()
        };
        let entries = (0..each).map(entry).collect::<Result<Vec<_>, _>>()?;
        let put = client.put_records().stream_name(stream).set_records(Some(entries));
        put.send().await?;
    }
    Ok(each * usize::try_from(rounds)?)
}

fn nanos(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
