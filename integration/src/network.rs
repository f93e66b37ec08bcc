//! [`NetworkedStore`]: a lease store with a network in front of it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fastrand::Rng;
use kcl_core::{
    Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, StoreError, WorkerId, WriteOutcome,
    coordination::{Coordination, WorkerMetrics},
};

/// How long one way takes, in microseconds.
const WAY_US: std::ops::RangeInclusive<u64> = 500..=15_000;

/// Who looks at updates when they are sent.
#[derive(Clone)]
struct Observer(Arc<dyn Fn(&LeaseWrite) + Send + Sync>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// A store at the far end of a network: every way takes a while, and what was sent arrives, whether its sender still waits
/// for the answer, gave up, or is dead.
#[derive(Clone, Debug)]
pub struct NetworkedStore {
    inner: Arc<dyn LeaseStore>,
    rng: Arc<Mutex<Rng>>,
    calls: Arc<AtomicU64>,
    observer: Option<Observer>,
}

impl NetworkedStore {
    /// Puts a network in front of `inner`, whose delays follow from `seed`.
    #[must_use]
    pub fn new(inner: Arc<dyn LeaseStore>, seed: u64) -> Self {
        Self {
            inner,
            rng: Arc::new(Mutex::new(Rng::with_seed(seed))),
            calls: Arc::default(),
            observer: None,
        }
    }

    /// Shows every update to `observer` when it is sent, which may be long before it arrives, if it does at all.
    #[must_use]
    pub fn observed(mut self, observer: impl Fn(&LeaseWrite) + Send + Sync + 'static) -> Self {
        self.observer = Some(Observer(Arc::new(observer)));
        self
    }

    /// How many calls were made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn send<T, Call>(&self, call: impl FnOnce(Arc<dyn LeaseStore>) -> Call + Send) -> T
    where
        T: Send + 'static,
        Call: Future<Output = T> + Send + 'static,
    {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let (there, back) = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            (rng.u64(WAY_US), rng.u64(WAY_US))
        };
        let call = call(Arc::clone(&self.inner));
        let answer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(there)).await;
            let answer = call.await;
            tokio::time::sleep(Duration::from_micros(back)).await;
            answer
        });
        answer.await.unwrap()
    }
}

#[async_trait]
impl LeaseStore for NetworkedStore {
    async fn list(&self) -> Result<LeaseListing, StoreError> {
        self.send(|store| async move { store.list().await }).await
    }

    async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let key = key.clone();
        self.send(|store| async move { store.get(&key).await }).await
    }

    async fn create(&self, lease: &Lease) -> Result<WriteOutcome, StoreError> {
        let lease = lease.clone();
        self.send(|store| async move { store.create(&lease).await }).await
    }

    async fn update(&self, write: &LeaseWrite) -> Result<WriteOutcome, StoreError> {
        if let Some(Observer(observer)) = &self.observer {
            observer(write);
        }
        let write = write.clone();
        self.send(|store| async move { store.update(&write).await }).await
    }

    async fn delete(&self, key: &LeaseKey, expect: &Expect) -> Result<WriteOutcome, StoreError> {
        let (key, expect) = (key.clone(), expect.clone());
        self.send(|store| async move { store.delete(&key, &expect).await })
            .await
    }

    async fn coordination(&self) -> Result<Coordination, StoreError> {
        self.send(|store| async move { store.coordination().await }).await
    }

    async fn publish(&self, metrics: &WorkerMetrics) -> Result<(), StoreError> {
        let metrics = metrics.clone();
        self.send(|store| async move { store.publish(&metrics).await }).await
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let worker = worker.clone();
        self.send(|store| async move { store.withdraw(&worker).await }).await
    }
}
