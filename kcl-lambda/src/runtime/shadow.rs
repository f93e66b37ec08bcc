//! [`Shadow`]: a second function that is given the same events.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::invoke::{Invocation, Invoke, InvokeError};

/// The most invocations of the shadow at once; what comes on top is left out.
const INVOCATIONS_MAX: usize = 16;

/// Invokes a function, and a shadow of it with the same events: a version that is to prove itself. What the shadow answers is
/// compared and discarded; it neither delays the function nor fails a batch.
///
/// Effects that the shadow has are its own: it must know that it is one.
#[derive(Debug)]
pub struct Shadow {
    function: Arc<dyn Invoke>,
    shadow: Arc<dyn Invoke>,
    room: Arc<Semaphore>,
    counts: Arc<ShadowCounts>,
}

/// What became of the invocations of a shadow.
#[derive(Debug, Default)]
struct ShadowCounts {
    same: AtomicU64,
    different: AtomicU64,
    skipped: AtomicU64,
}

impl Shadow {
    /// Invokes `function`, and `shadow` beside it.
    #[must_use]
    pub fn new(function: Arc<dyn Invoke>, shadow: Arc<dyn Invoke>) -> Self {
        Self {
            function,
            shadow,
            room: Arc::new(Semaphore::new(INVOCATIONS_MAX)),
            counts: Arc::default(),
        }
    }

    /// Invocations that both answered alike, as JSON, or both failed.
    #[must_use]
    pub fn same(&self) -> u64 {
        self.counts.same.load(Ordering::Relaxed)
    }

    /// Invocations that they answered differently.
    #[must_use]
    pub fn different(&self) -> u64 {
        self.counts.different.load(Ordering::Relaxed)
    }

    /// Invocations that the shadow was not given, since it is too slow, or could not take.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.counts.skipped.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Invoke for Shadow {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvokeError> {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            self.counts.skipped.fetch_add(1, Ordering::Relaxed);
            return self.function.invoke(invocation).await;
        };
        let (shadow, counts, copy) = (Arc::clone(&self.shadow), Arc::clone(&self.counts), invocation.clone());
        let shadowed = tokio::spawn(async move { shadow.invoke(copy).await });
        let answer = self.function.invoke(invocation).await;
        let expected = answer.clone();
        tokio::spawn(async move {
            let _place = place;
            let counter = match shadowed.await {
                Ok(Err(InvokeError::NotInvoked { .. })) => &counts.skipped,
                Ok(got) if is_alike(&expected, &got) => &counts.same,
                Ok(_) | Err(_) => &counts.different,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        });
        answer
    }
}

fn is_alike(expected: &Result<Bytes, InvokeError>, got: &Result<Bytes, InvokeError>) -> bool {
    let value = |bytes: &Bytes| serde_json::from_slice::<Value>(bytes).ok();
    match (expected, got) {
        (Ok(expected), Ok(got)) => expected == got || (value(expected).is_some() && value(expected) == value(got)),
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

impl fmt::Display for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} alike, {} different, {} left out",
            self.same(),
            self.different(),
            self.skipped()
        )
    }
}
