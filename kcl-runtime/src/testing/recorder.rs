//! [`Recorder`]: what handlers saw.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kcl_core::{Batch, BoxError, Record, ShardId};

use super::VirtualClock;
use crate::function::{BatchOutcome, IntoBatchOutcome};

/// How a call of a handler ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallOutcome {
    /// It has not ended, or it panicked, or it was cut off.
    Unfinished,
    /// It succeeded, except for the records that it named.
    Done(BatchOutcome),
    /// It failed, and this is the error.
    Failed(String),
}

/// One call of a handler.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandlerCall {
    /// When it began, since the world did.
    pub at: Duration,
    /// The shard.
    pub shard: ShardId,
    /// The records that it got.
    pub records: Vec<Record>,
    /// How it ended. Calls noted with [`Recorder::note`] are done at once.
    pub outcome: CallOutcome,
}

/// Notes what handlers get. Clones write to the same notes.
///
/// ```
/// use kcl_core::Batch;
/// use kcl_runtime::testing::TestWorld;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let world = TestWorld::new("orders", 1).await;
/// let seen = world.recorder();
/// let handler = seen.record(|_: Batch| async { Ok::<_, std::io::Error>(()) });
/// world.start(world.worker("w1").function(handler));
/// world.put("customer-7", "two apples");
/// world.until_idle().await;
/// assert_eq!(seen.data(), ["two apples"]);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Recorder {
    clock: VirtualClock,
    calls: Arc<Mutex<Vec<HandlerCall>>>,
}

/// What a recorded handler returns.
type Recorded = Pin<Box<dyn Future<Output = Result<BatchOutcome, BoxError>> + Send>>;

impl Recorder {
    pub(super) fn new(clock: VirtualClock) -> Self {
        Self {
            clock,
            calls: Arc::default(),
        }
    }

    /// The same handler, with every call noted.
    pub fn record<F, R>(&self, handler: F) -> impl Fn(Batch) -> Recorded + Send + Sync + 'static + use<F, R>
    where
        F: Fn(Batch) -> R + Send + Sync + 'static,
        R: Future<Output: IntoBatchOutcome> + Send + 'static,
    {
        let recorder = self.clone();
        move |batch| {
            let call = recorder.begin(&batch, CallOutcome::Unfinished);
            let (recorder, handled) = (recorder.clone(), handler(batch));
            Box::pin(async move {
                let outcome = handled.await.into_batch_outcome();
                recorder.lock()[call].outcome = match &outcome {
                    Ok(outcome) => CallOutcome::Done(outcome.clone()),
                    Err(error) => CallOutcome::Failed(error.to_string()),
                };
                outcome
            })
        }
    }

    /// A handler that does nothing but succeed, with every call noted.
    pub fn succeed(&self) -> impl Fn(Batch) -> Recorded + Send + Sync + 'static + use<> {
        self.record(|_| std::future::ready(()))
    }

    /// Notes a batch: for processors and handlers that decide themselves what is worth a note.
    pub fn note(&self, batch: &Batch) {
        self.begin(batch, CallOutcome::Done(BatchOutcome::success()));
    }

    /// All calls, in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<HandlerCall> {
        self.lock().clone()
    }

    /// All records of all calls, in the order in which they came; again, if they came again.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.lock().iter().flat_map(|call| call.records.clone()).collect()
    }

    /// The data of all records as text, in the order in which they came; again, if they came again.
    #[must_use]
    pub fn data(&self) -> Vec<String> {
        let text = |record: &Record| String::from_utf8_lossy(&record.data).into_owned();
        self.lock()
            .iter()
            .flat_map(|call| call.records.iter().map(text))
            .collect()
    }

    fn begin(&self, batch: &Batch, outcome: CallOutcome) -> usize {
        let mut calls = self.lock();
        calls.push(HandlerCall {
            at: self.clock.elapsed(),
            shard: batch.shard().clone(),
            records: batch.records().to_vec(),
            outcome,
        });
        calls.len() - 1
    }

    /// Nothing here panics while it holds the lock: poison is no news.
    fn lock(&self) -> MutexGuard<'_, Vec<HandlerCall>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("unfinished"),
            Self::Done(_) => f.write_str("done"),
            Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}
