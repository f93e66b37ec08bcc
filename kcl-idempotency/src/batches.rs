//! Functions of batches out of functions of records: [`IdempotentRecords`].

use std::{collections::BTreeSet, fmt, sync::Arc};

use futures::future::BoxFuture;
use kcl_core::{Batch, BoxError, Record};
use kcl_runtime::BatchOutcome;
use serde::Serialize;

use crate::{
    key::{IdempotencyKey, event_id},
    layer::{Idempotency, IdempotencyError},
};

/// What happens to the rest of a batch when a record fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterFailure {
    /// It is not run, and named as failed too: nothing overtakes a record that failed. The default.
    #[default]
    Stop,
    /// What has other partition keys is run; of the same key, nothing is. For workers that deliver again what failed, and no
    /// more ([`FailedItems::Each`](kcl_core::delivery::FailedItems::Each)). With others it does no harm: what was
    /// done and comes again is not done again.
    OtherKeys,
}

type TextOf = Arc<dyn Fn(&Batch, &Record) -> Option<String> + Send + Sync>;

/// A function of batches to be: [`Idempotency::records`].
#[derive(Clone)]
pub struct IdempotentRecords {
    idempotency: Idempotency,
    key: TextOf,
    validation: TextOf,
    after_failure: AfterFailure,
}

impl fmt::Debug for IdempotentRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotentRecords")
            .field("idempotency", &self.idempotency)
            .field("after_failure", &self.after_failure)
            .finish_non_exhaustive()
    }
}

impl Idempotency {
    /// Begins a function of batches that runs one of records, once for each. A record is known by its [`event_id`], unless
    /// [`key`](IdempotentRecords::key) says otherwise.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// # use kcl_runtime::testing::TestWorld;
    /// # let world = TestWorld::new("orders", 1).await;
    /// # let worker = world.worker("w1");
    /// use std::sync::Arc;
    /// use kcl_core::Record;
    /// use kcl_idempotency::{Clock, Idempotency, MemoryIdempotencyStore};
    ///
    /// let once = Idempotency::new("billing", Arc::new(MemoryIdempotencyStore::new()), Clock::system());
    /// let bill = once.records().function(|record: Record| async move {
    ///     println!("{}", String::from_utf8_lossy(&record.data));
    ///     Ok::<_, std::io::Error>(())
    /// });
    /// let worker = worker.function(bill);
    /// # world.start(worker);
    /// # world.put("customer-7", "two apples");
    /// # world.until_idle().await;
    /// # }
    /// ```
    #[must_use]
    pub fn records(&self) -> IdempotentRecords {
        IdempotentRecords {
            idempotency: self.clone(),
            key: Arc::new(|batch, record| Some(event_id(batch, record))),
            validation: Arc::new(|_, _| None),
            after_failure: AfterFailure::default(),
        }
    }
}

impl IdempotentRecords {
    /// What a record is known by, such as the id of an order. A record without a key fails: it is not run unprotected.
    #[must_use]
    pub fn key(mut self, key: impl Fn(&Record) -> Option<String> + Send + Sync + 'static) -> Self {
        self.key = Arc::new(move |_, record| key(record));
        self
    }

    /// A fingerprint of what must be the same when a key comes again, such as an amount; a record with a known key and another
    /// fingerprint fails. By default there is none.
    #[must_use]
    pub fn validation(mut self, validation: impl Fn(&Record) -> Option<String> + Send + Sync + 'static) -> Self {
        self.validation = Arc::new(move |_, record| validation(record));
        self
    }

    /// What happens to the rest of a batch when a record fails. By default it comes again.
    #[must_use]
    pub fn after_failure(mut self, after: AfterFailure) -> Self {
        self.after_failure = after;
        self
    }

    /// Ends with the function of records. What it returns is stored as JSON.
    ///
    /// Records are run one after the other. Those that fail, or are in progress elsewhere, are named as failed, so that they
    /// come again; why is logged. What comes out can be given to
    /// [`WorkerBuilder::function`](kcl_runtime::WorkerBuilder::function), and to whatever takes functions of batches; with an event
    /// source mapping, `ReportBatchItemFailures` has to be on.
    pub fn function<F, R, T, E>(
        self,
        function: F,
    ) -> impl Fn(Batch) -> BoxFuture<'static, BatchOutcome> + Clone + Send + Sync + 'static
    where
        F: Fn(Record) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize + Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        let (records, function) = (Arc::new(self), Arc::new(function));
        move |batch| {
            let (records, function) = (Arc::clone(&records), Arc::clone(&function));
            Box::pin(async move { records.handle(&batch, &*function).await })
        }
    }

    async fn handle<F, R, T, E>(&self, batch: &Batch, function: &F) -> BatchOutcome
    where
        F: Fn(Record) -> R + Sync,
        R: Future<Output = Result<T, E>> + Send,
        T: Serialize + Send,
        E: Into<BoxError> + Send,
    {
        let mut outcome = BatchOutcome::success();
        let mut failed_keys = BTreeSet::new();
        for record in batch {
            let is_behind = match self.after_failure {
                AfterFailure::Stop => !failed_keys.is_empty(),
                AfterFailure::OtherKeys => failed_keys.contains(&record.partition_key),
            };
            if is_behind {
                outcome.fail_record(record);
            } else if let Err(error) = self.run(batch, record, function).await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, shard = %batch.shard(), position = %record.position(), "a record failed");
                outcome.fail_record(record);
                failed_keys.insert(record.partition_key.clone());
            }
        }
        outcome
    }

    async fn run<F, R, T, E>(&self, batch: &Batch, record: &Record, function: &F) -> Result<(), IdempotencyError>
    where
        F: Fn(Record) -> R + Sync,
        R: Future<Output = Result<T, E>> + Send,
        T: Serialize + Send,
        E: Into<BoxError> + Send,
    {
        let key = (self.key)(batch, record);
        let key = key.ok_or_else(|| IdempotencyError::NoKey("the function of keys gave none".into()))?;
        let key = IdempotencyKey::new(key)?;
        let validation = (self.validation)(batch, record);
        // Not called before the claim is granted: a function may begin its work when it is called.
        let work = async { function(record.clone()).await };
        self.idempotency.run_once(&key, validation, work).await.map(drop)
    }
}
