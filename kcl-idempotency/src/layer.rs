//! [`Idempotency`]: runs work that was not done before.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use kcl_core::{BoxError, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    clock::Clock,
    key::{IdempotencyKey, InvalidKey},
    store::{Begun, Claim, Completion, IdempotencyStore, IdempotencyStoreError, Lock, Recorded},
};

/// A minute: longer than most work takes, short enough to wait for after a crash.
const LOCK_TIMEOUT: Duration = Duration::from_mins(1);
/// A day, which is how long a stream keeps records unless told otherwise: later, no record comes again.
const EXPIRES_AFTER: Duration = Duration::from_hours(24);
/// How often a result is offered to a store that is away, and the pause after the first time; it doubles.
const COMPLETION_ATTEMPTS_MAX: u32 = 4;
const COMPLETION_PAUSE: Duration = Duration::from_millis(100);

/// Runs work once per key.
///
/// [`run`](Self::run) takes any work; [`records`](Self::records) makes a function of batches out of a function of records.
///
/// The work of a key is locked while it runs. If it fails or panics, the lock is removed, and whoever comes next runs it. If its
/// process dies, or it is dropped, the lock holds until [`lock_timeout`](Self::lock_timeout) is over; then whoever comes next runs it,
/// so that it may be done twice. Work that takes longer than that is dropped and fails.
///
/// ```
/// use std::sync::Arc;
/// use kcl_idempotency::{Clock, Idempotency, IdempotencyKey, MemoryIdempotencyStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let once = Idempotency::new("billing", Arc::new(MemoryIdempotencyStore::new()), Clock::system());
/// let key = IdempotencyKey::new("order-7")?;
/// let first = once.run(&key, None, async { Ok::<_, std::io::Error>(42) }).await?;
/// let second = once.run(&key, None, async { Ok::<_, std::io::Error>(43) }).await?;
/// assert_eq!((second.result, second.replayed), (42, true));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Idempotency {
    name: Arc<str>,
    store: Arc<dyn IdempotencyStore>,
    clock: Clock,
    lock_timeout: Duration,
    expires_after: Duration,
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("name", &self.name)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Work that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// Its result.
    pub result: T,
    /// Whether it was done before, and the result is the stored one.
    pub replayed: bool,
}

/// Why work was not done, or not to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdempotencyError {
    /// Somebody is at it, or was and died. Nothing was run; come again.
    #[error("the work of {key} is in progress elsewhere{}", or_until(.until.as_ref()))]
    AlreadyInProgress {
        /// The work.
        key: IdempotencyKey,
        /// When the lock expires; `None` if it only does with the row.
        until: Option<Timestamp>,
    },
    /// The key was used with another fingerprint. Nothing was run.
    #[error("the key {key} was used for other work: its fingerprint differs")]
    Mismatch {
        /// The work.
        key: IdempotencyKey,
    },
    /// The work has no key, or not a valid one. Nothing was run.
    #[error("the work has no key: {0}")]
    NoKey(BoxError),
    /// The work failed; the lock was removed.
    #[error("the work of {key} failed")]
    Work {
        /// The work.
        key: IdempotencyKey,
        /// Why.
        source: BoxError,
    },
    /// The work took longer than the lock holds, and was dropped.
    #[error("the work of {key} was dropped when its lock expired; give it a longer lock_timeout")]
    TooLong {
        /// The work.
        key: IdempotencyKey,
    },
    /// The work was done, now or before, and its result cannot be written or read as JSON of that type.
    #[error("the result of {key} is not what is stored or can be")]
    Result {
        /// The work.
        key: IdempotencyKey,
        /// Why.
        source: serde_json::Error,
    },
    /// The store could not be asked. Nothing was run.
    #[error(transparent)]
    Store(#[from] IdempotencyStoreError),
}

fn or_until(until: Option<&Timestamp>) -> String {
    until
        .map(|until| format!(", until {until} at the latest"))
        .unwrap_or_default()
}

impl From<InvalidKey> for IdempotencyError {
    fn from(error: InvalidKey) -> Self {
        Self::NoKey(error.into())
    }
}

/// What became of work, before its stored result is read.
pub(crate) enum Ran<T> {
    Now(T),
    Before(Option<String>),
}

impl Idempotency {
    /// Work that is remembered in `store`. The name goes before every key, with a `#`: pieces of work that share a store and know
    /// their work by the same keys, as two applications that read one stream do, need different names.
    #[must_use]
    pub fn new(name: impl Into<String>, store: Arc<dyn IdempotencyStore>, clock: Clock) -> Self {
        Self {
            name: name.into().into(),
            store,
            clock,
            lock_timeout: LOCK_TIMEOUT,
            expires_after: EXPIRES_AFTER,
        }
    }

    /// How long work may take, and how long others wait after a crash. Default: one minute. At least a second.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout.max(Duration::from_secs(1));
        self
    }

    /// How long results are remembered. Default: a day, which is how long a stream keeps its records unless told otherwise.
    /// At least as long as a lock.
    #[must_use]
    pub fn expires_after(mut self, time: Duration) -> Self {
        self.expires_after = time;
        self
    }

    /// Runs `work` unless the work of `key` was done before. `validation` is a fingerprint of what it is done with, if a key
    /// that was used with another one is to be an error.
    ///
    /// If the store is away when the work is done, it is offered the result a few times; then the work counts as done, a
    /// warning is logged, and it may be done again by who comes after the lock has expired.
    ///
    /// # Errors
    /// If the work failed or is in progress elsewhere, or the store could not be asked.
    pub async fn run<T, E>(
        &self,
        key: &IdempotencyKey,
        validation: Option<String>,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<Done<T>, IdempotencyError>
    where
        T: Serialize + DeserializeOwned + Send,
        E: Into<BoxError> + Send,
    {
        match self.run_once(key, validation, work).await? {
            Ran::Now(result) => Ok(Done {
                result,
                replayed: false,
            }),
            Ran::Before(stored) => {
                let result = serde_json::from_str(stored.as_deref().unwrap_or("null"));
                let result = result.map_err(|source| IdempotencyError::Result {
                    key: key.clone(),
                    source,
                })?;
                Ok(Done { result, replayed: true })
            }
        }
    }

    pub(crate) async fn run_once<T, E>(
        &self,
        key: &IdempotencyKey,
        validation: Option<String>,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<Ran<T>, IdempotencyError>
    where
        T: Serialize + Send,
        E: Into<BoxError> + Send,
    {
        let key = IdempotencyKey::new(format!("{}#{key}", self.name))?;
        let lock = match self.store.begin(&self.claim(&key, validation.clone())).await? {
            Begun::Started(lock) => lock,
            Begun::Completed(result) => return Ok(Ran::Before(result)),
            Begun::InProgress { until } => return Err(IdempotencyError::AlreadyInProgress { key, until }),
            Begun::Mismatch => return Err(IdempotencyError::Mismatch { key }),
        };
        // What the claim took is part of the lock's time.
        let time = Duration::from_millis(lock.until.millis_since(self.clock.now()));
        let worked = tokio::time::timeout(time, AssertUnwindSafe(work).catch_unwind()).await;
        let failure = match worked {
            Ok(Ok(Ok(result))) => {
                let json = serde_json::to_string(&result).map_err(|source| IdempotencyError::Result {
                    key: key.clone(),
                    source,
                });
                return match json {
                    Ok(json) => {
                        self.complete(lock, validation, json).await;
                        Ok(Ran::Now(result))
                    }
                    // The lock stays: the work was done, and is not to be done again at once.
                    Err(error) => Err(error),
                };
            }
            Ok(Ok(Err(source))) => IdempotencyError::Work {
                key,
                source: source.into(),
            },
            Ok(Err(panic)) => IdempotencyError::Work {
                key,
                source: panic_message(panic.as_ref()).into(),
            },
            Err(_) => IdempotencyError::TooLong { key },
        };
        if let Err(error) = self.store.forget(&lock).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, key = %lock.key, until = %lock.until, "a lock is left behind and expires by itself");
        }
        Err(failure)
    }

    fn claim(&self, key: &IdempotencyKey, validation: Option<String>) -> Claim {
        let now = self.clock.now();
        Claim {
            key: key.clone(),
            validation,
            now,
            lock_until: now.saturating_add(self.lock_timeout),
            expires_at: self.expires_at(now),
        }
    }

    /// A row must not expire before its lock.
    fn expires_at(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.expires_after.max(self.lock_timeout))
    }

    /// Stores the result, or gives up: the work is done either way.
    async fn complete(&self, lock: Lock, validation: Option<String>, result: String) {
        let now = self.clock.now();
        let completion = Completion {
            lock,
            validation,
            result,
            now,
            expires_at: self.expires_at(now),
        };
        let key = &completion.lock.key;
        let mut pause = COMPLETION_PAUSE;
        for attempt in 1.. {
            let error = match self.store.complete(&completion).await {
                Ok(Recorded::Stored) => return,
                Ok(Recorded::Earlier(_)) => {
                    tracing::warn!(%key, "the work was done twice: its lock expired before it ended");
                    return;
                }
                Err(error) => error,
            };
            if attempt == COMPLETION_ATTEMPTS_MAX || !error.is_retryable() {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, %key, "the work is done and its result not stored: it may be done again");
                return;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("with no message"))
}
