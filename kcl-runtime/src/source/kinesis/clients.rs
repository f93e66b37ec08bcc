//! The client of a source, and the next one when its connections hang.
//!
//! A connection may die without a word: a router forgets it, a host vanishes. Requests over it then end by their time limit
//! alone, and with HTTP/2 all requests share it, so that nothing else helps. The SDK's client keeps its connections to itself;
//! another client makes others.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_kinesis::Client;
use kcl_core::{StreamName, Tick};

use crate::clock::Clock;

/// So many requests in a row without an answer, of whichever shards, mean that it is the connection.
const UNANSWERED_MAX: u32 = 2;

/// The least time from one new client to the next: many shards notice the same dead connection in the same moment.
const LEAST_AGE: Duration = Duration::from_secs(10);

type Make = Arc<dyn Fn() -> Client + Send + Sync>;

/// The client of now. All clones of a source share it.
pub(super) struct Clients {
    clock: Clock,
    make: Option<Make>,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    client: Client,
    /// How many clients there were before.
    generation: u64,
    made_at: Option<Tick>,
    unanswered: u32,
    told_that_it_cannot: bool,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Clients {
    pub(super) fn new(client: Client) -> Self {
        Self {
            clock: Clock::start(None),
            make: None,
            now: Mutex::new(Now {
                client,
                generation: 0,
                made_at: None,
                unanswered: 0,
                told_that_it_cannot: false,
            }),
        }
    }

    pub(super) fn made_by(mut self, make: impl Fn() -> Client + Send + Sync + 'static) -> Self {
        self.make = Some(Arc::new(make));
        self
    }

    pub(super) fn current(&self) -> Client {
        self.lock().client.clone()
    }

    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// The service answered something.
    pub(super) fn answered(&self) {
        self.lock().unanswered = 0;
    }

    /// A request of this generation has reached its time limit. Says whether it is time for another client.
    pub(super) fn unanswered(&self, generation: u64) -> bool {
        let mut now = self.lock();
        if now.generation == generation {
            now.unanswered = now.unanswered.saturating_add(1);
        }
        now.unanswered >= UNANSWERED_MAX
    }

    /// Takes another client, unless the one of now is new. Requests under way end with the one before.
    pub(super) fn renew(&self, stream: &StreamName) {
        let at = self.clock.now();
        let mut now = self.lock();
        if now.made_at.is_some_and(|made_at| at.since(made_at) < LEAST_AGE) {
            return;
        }
        let client = match &self.make {
            Some(make) => make(),
            None if now.client.config().http_client().is_none() => Client::from_conf(now.client.config().clone()),
            None => {
                if !std::mem::replace(&mut now.told_that_it_cannot, true) {
                    tracing::warn!(
                        %stream,
                        "connections to the service hang, and the client's own HTTP client keeps them; \
                         KinesisSource::with_new_clients says how another client is made"
                    );
                }
                return;
            }
        };
        (now.client, now.made_at, now.unanswered) = (client, Some(at), 0);
        now.generation += 1;
        tracing::warn!(%stream, generation = now.generation, "connections to the service hang: another client makes new ones");
    }

    /// Nothing panics while it holds the lock but a user's `make`, which leaves everything as it was.
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
