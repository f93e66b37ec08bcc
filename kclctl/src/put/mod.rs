//! What `kclctl put` is made of: a thread reads and checks records, lanes send them.

mod aggregated;
mod csv_rows;
mod error;
mod lane;
mod lines;
mod progress;
mod records;
mod source;

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
};

use kcl_core::StreamName;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use self::{
    error::BadRecord,
    lane::{Lane, Queued, RECORDS_PER_CALL},
    records::Records,
};
pub(crate) use self::{
    error::PutError,
    progress::{Progress, Totals},
    records::Keys,
    source::Source,
};
use crate::{aws::Kinesis, cmd::put::Format, error::Error};

/// The most memory that records take between reading and the service's answer, in KiB.
const QUEUE_KIB: usize = 64 * 1024;

/// What is to be put, and how.
#[derive(Clone, Debug)]
pub(crate) struct PutOptions {
    pub(crate) stream: StreamName,
    pub(crate) format: Format,
    pub(crate) keys: Keys,
    pub(crate) concurrency: usize,
    pub(crate) strict_order: bool,
    pub(crate) aggregate: bool,
}

/// Puts all records of `source`. Whatever happens, `totals` says how many the service took.
///
/// A lane has one call under way at a time, and a key always goes to the same lane: that keeps its records in order.
pub(crate) async fn put(
    kinesis: &Kinesis,
    source: Source,
    options: PutOptions,
    totals: &Totals,
    progress: &Progress,
) -> Result<(), Error> {
    if options.aggregate {
        return aggregated::put(kinesis, source, options, totals, progress).await;
    }
    let mut lanes = JoinSet::new();
    let mut queues = Vec::new();
    for number in 0..options.concurrency {
        let (queue, input) = mpsc::channel(2 * RECORDS_PER_CALL);
        queues.push(queue);
        let read = source.read_bytes();
        let lane = Lane::new(
            kinesis.clone(),
            &options,
            number,
            input,
            totals.clone(),
            progress.clone(),
            read,
        );
        lanes.spawn(Box::pin(lane.run()));
    }
    let runtime = Handle::current();
    let reading = tokio::task::spawn_blocking(move || read(source, &options, &queues, &runtime));
    let mut outcome = Ok(());
    while let Some(ended) = lanes.join_next().await {
        if let Err(error) = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            outcome = Err(error);
            break;
        }
    }
    // One lane has failed: the others must not go on beside the error. The reader ends when its queues close.
    lanes.shutdown().await;
    let put = totals.records();
    match outcome {
        Ok(()) => match reading.await {
            Ok(read) => read.map_err(|bad| PutError::Input { put, bad }.into()),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        },
        Err(error) if put == 0 => Err(error),
        Err(error) => Err(PutError::Stopped {
            put,
            source: Box::new(error),
        }
        .into()),
    }
}

/// Reads records until the input ends, one is bad, or the lanes are gone.
fn read(
    source: Source,
    options: &PutOptions,
    queues: &[mpsc::Sender<Queued>],
    runtime: &Handle,
) -> Result<(), BadRecord> {
    let memory = Arc::new(Semaphore::new(QUEUE_KIB));
    // Equal in every process, so that a key's lane does not depend on chance.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    for record in Records::new(source, options.format, options.keys.clone()) {
        let record = record?;
        let kib = u32::try_from(record.data.len() / 1024 + 1).unwrap_or(u32::MAX);
        let share = match Arc::clone(&memory).try_acquire_many_owned(kib) {
            Ok(share) => Ok(share),
            Err(_) => runtime.block_on(Arc::clone(&memory).acquire_many_owned(kib)),
        };
        let share = share.expect("the semaphore is never closed");
        let lanes = queues.len() as u64;
        let lane = usize::try_from(hasher.hash_one(&record.key) % lanes).expect("a lane's number is small");
        if queues[lane].blocking_send(Queued { record, share }).is_err() {
            // The lane failed, and its error is the one to tell.
            return Ok(());
        }
    }
    Ok(())
}
