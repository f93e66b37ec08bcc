//! Sending: one call at a time, refused records again before all others.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_sdk_kinesis::{
    error::ProvideErrorMetadata as _, operation::put_records::PutRecordsOutput, primitives::Blob,
    types::PutRecordsRequestEntry,
};
use kcl_core::{StreamName, retry::Backoff};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    PutOptions,
    error::PutError,
    progress::{Progress, Totals},
    records::InputRecord,
};
use crate::{aws::Kinesis, error::Error};

/// What one call may hold.
pub(super) const RECORDS_PER_CALL: usize = 500;
const BYTES_PER_CALL: usize = 5 << 20;

/// So many calls in a row that put nothing at all end the command: a minute and a half, with their pauses.
const REFUSALS_MAX: u32 = 20;

/// A record that waits, and its share of the memory.
pub(super) struct Queued {
    pub(super) record: InputRecord,
    pub(super) share: OwnedSemaphorePermit,
}

/// A record within a call.
struct Entry {
    line: u64,
    request: PutRecordsRequestEntry,
    _share: OwnedSemaphorePermit,
}

/// Sends the records of some keys.
pub(super) struct Lane {
    kinesis: Kinesis,
    stream: StreamName,
    strict_order: bool,
    input: mpsc::Receiver<Queued>,
    waiting: VecDeque<Queued>,
    rng: fastrand::Rng,
    totals: Totals,
    progress: Progress,
    read: Arc<AtomicU64>,
}

impl Lane {
    pub(super) fn new(
        kinesis: Kinesis,
        options: &PutOptions,
        number: usize,
        input: mpsc::Receiver<Queued>,
        totals: Totals,
        progress: Progress,
        read: Arc<AtomicU64>,
    ) -> Self {
        // Pauses differ between processes and between lanes, which is all that jitter is for.
        let seed = u64::from(std::process::id()) << 16 | number as u64;
        Self {
            kinesis,
            stream: options.stream.clone(),
            strict_order: options.strict_order,
            input,
            waiting: VecDeque::new(),
            rng: fastrand::Rng::with_seed(seed),
            totals,
            progress,
            read,
        }
    }

    /// Sends until the input ends. Calls take what is there and do not wait to be full: while one is under way, the next
    /// one's records gather.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        while self.gather().await {
            let call = self.next_call();
            self.put(call).await?;
            self.progress.show(self.read.load(Ordering::Relaxed), &self.totals);
        }
        Ok(())
    }

    /// Waits until there is a record, and takes what else is there; `false` at the end.
    async fn gather(&mut self) -> bool {
        let room = RECORDS_PER_CALL.saturating_sub(self.waiting.len());
        let mut taken = Vec::with_capacity(room);
        if self.waiting.is_empty() {
            self.input.recv_many(&mut taken, room).await;
        } else {
            while taken.len() < room {
                let Ok(queued) = self.input.try_recv() else { break };
                taken.push(queued);
            }
        }
        self.waiting.extend(taken);
        !self.waiting.is_empty()
    }

    /// The records that go into one call: the first that are waiting, as many as may.
    fn next_call(&mut self) -> Vec<Entry> {
        let (mut call, mut bytes, mut keys) = (Vec::new(), 0, BTreeSet::new());
        while let Some(Queued { record, .. }) = self.waiting.front() {
            let size = record.data.len() + record.key.len();
            let full = call.len() == RECORDS_PER_CALL || bytes + size > BYTES_PER_CALL;
            if full || (self.strict_order && !keys.insert(record.key.clone())) {
                break;
            }
            bytes += size;
            call.extend(self.waiting.pop_front().map(entry));
        }
        call
    }

    /// Puts all records of a call, those that are refused again and again.
    async fn put(&mut self, mut call: Vec<Entry>) -> Result<(), Error> {
        let mut refusals = 0;
        while !call.is_empty() {
            let sent = call.len();
            let refused = self.send(&mut call).await?;
            let Some((code, message)) = refused else { continue };
            refusals = if call.len() < sent { 1 } else { refusals + 1 };
            if refusals == REFUSALS_MAX {
                let line = call.first().map_or(0, |entry| entry.line);
                return Err(PutError::Refused {
                    line,
                    attempts: refusals,
                    code,
                    message,
                }
                .into());
            }
            self.totals.retry(call.len());
            tracing::debug!(refused = call.len(), code, refusals, "records are put again");
            tokio::time::sleep(Backoff::SERVICE.wait(refusals, &mut self.rng)).await;
        }
        Ok(())
    }

    /// Makes one call and leaves in `call` what it did not put, with the reason for the first of them.
    async fn send(&self, call: &mut Vec<Entry>) -> Result<Option<(String, String)>, Error> {
        let requests = call.iter().map(|entry| entry.request.clone()).collect();
        let request = self.kinesis.client.put_records().stream_name(self.stream.as_str());
        match Box::pin(request.set_records(Some(requests)).send()).await {
            Ok(answer) => self.sort(call, answer),
            Err(error) => match error.code() {
                // All were refused for the moment, and the client's own attempts did not outlast it.
                Some(code @ ("ProvisionedThroughputExceededException" | "KMSThrottlingException")) => {
                    Ok(Some((code.to_owned(), error.message().unwrap_or_default().to_owned())))
                }
                _ => Err(self.kinesis.stream_error("PutRecords", &self.stream, &error)),
            },
        }
    }

    fn sort(&self, call: &mut Vec<Entry>, answer: PutRecordsOutput) -> Result<Option<(String, String)>, Error> {
        if answer.records.len() != call.len() {
            return Err(PutError::Answer {
                sent: call.len(),
                answers: answer.records.len(),
            }
            .into());
        }
        let mut refused = Vec::new();
        let mut reason = None;
        for (entry, result) in call.drain(..).zip(answer.records) {
            match result.error_code {
                None => self.totals.put(entry.request.data().as_ref().len()),
                Some(code) => {
                    reason.get_or_insert_with(|| (code, result.error_message.unwrap_or_default()));
                    refused.push(entry);
                }
            }
        }
        *call = refused;
        Ok(reason)
    }
}

fn entry(queued: Queued) -> Entry {
    let Queued { record, share } = queued;
    let request = PutRecordsRequestEntry::builder()
        .data(Blob::new(record.data))
        .partition_key(record.key);
    Entry {
        line: record.line,
        request: request.build().expect("data and key are given"),
        _share: share,
    }
}
