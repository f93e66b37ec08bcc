//! Putting with the aggregating producer.

use std::{sync::atomic::Ordering, time::Duration};

use kcl_core::producer::ProducerConfig;
use kcl_runtime::producer::{Producer, Putting};
use tokio::sync::mpsc;

use super::{
    PutOptions,
    error::{BadRecord, PutError},
    progress::{Progress, Totals},
    records::{InputRecord, Records},
    source::Source,
};
use crate::{aws::Kinesis, error::Error};

/// How long a record is tried; as long as records that are put one by one.
const PATIENCE: Duration = Duration::from_secs(90);

/// The most records that are read ahead.
const READ_AHEAD: usize = 1024;

/// A record on its way.
struct UnderWay {
    line: u64,
    bytes: usize,
    putting: Putting,
}

/// Puts all records of `source`, in order by key. Whatever happens, `totals` says how many the service took.
pub(super) async fn put(
    kinesis: &Kinesis,
    source: Source,
    options: PutOptions,
    totals: &Totals,
    progress: &Progress,
) -> Result<(), Error> {
    let mut config = ProducerConfig::default();
    config.ordered = true;
    config.max_calls = options.concurrency;
    config.record_ttl = PATIENCE;
    let outstanding_max = config.max_outstanding_records;
    let producer = Producer::builder(kinesis.client.clone(), options.stream.clone()).config(config);
    let producer = producer.build().map_err(|error| Error::Usage(error.to_string()))?;
    let read_bytes = source.read_bytes();
    let (queue, mut input) = mpsc::channel(READ_AHEAD);
    let reading = tokio::task::spawn_blocking(move || read(source, &options, &queue));
    let (sent, mut under_way) = mpsc::channel::<UnderWay>(outstanding_max);
    let send = async {
        while let Some(InputRecord { line, key, data }) = input.recv().await {
            let bytes = data.len();
            let putting = producer.put(kcl_core::aggregate::UserRecord::new(key, data)).await;
            let putting = putting.map_err(|source| PutError::Producer { line, source })?;
            if sent.send(UnderWay { line, bytes, putting }).await.is_err() {
                // A record failed, and its error is the one to tell.
                break;
            }
        }
        // Whoever waits for the last records is not to wait for more of them.
        producer.close().await;
        drop(sent);
        Ok(())
    };
    let wait = async {
        while let Some(UnderWay { line, bytes, putting }) = under_way.recv().await {
            let placed = putting.await.map_err(|source| PutError::Producer { line, source })?;
            totals.put(bytes);
            totals.retry(placed.attempts.saturating_sub(1) as usize);
            progress.show(read_bytes.load(Ordering::Relaxed), totals);
        }
        Ok::<(), PutError>(())
    };
    let outcome = tokio::try_join!(send, wait);
    drop(input);
    let put = totals.records();
    match outcome {
        Ok(_) => match reading.await {
            Ok(read) => read.map_err(|bad| PutError::Input { put, bad }.into()),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        },
        Err(error) if put == 0 => Err(error.into()),
        Err(error) => Err(PutError::Stopped {
            put,
            source: Box::new(error.into()),
        }
        .into()),
    }
}

/// Reads records until the input ends, one is bad, or nobody takes them.
fn read(source: Source, options: &PutOptions, queue: &mpsc::Sender<InputRecord>) -> Result<(), BadRecord> {
    for record in Records::new(source, options.format, options.keys.clone()) {
        if queue.blocking_send(record?).is_err() {
            break;
        }
    }
    Ok(())
}
