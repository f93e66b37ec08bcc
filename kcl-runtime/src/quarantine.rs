//! Which partition keys of a shard are in quarantine: asked from time to time, since somebody else releases them.

use std::time::Duration;

use bytestring::ByteString;
use futures::{FutureExt, future::BoxFuture};
use kcl_core::{BoxError, Tick};

use crate::{dead_letter::ShardLetters, processor::ShardContext};

/// How often it is asked.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The looks at the dead letters of one shard.
#[derive(Default)]
pub(crate) struct Quarantine {
    /// `None` where no key is ever quarantined.
    next: Option<Tick>,
    look: Option<BoxFuture<'static, Result<Vec<ByteString>, BoxError>>>,
    /// How many letters are being kept that put keys in quarantine, and whether one was since the look began: what it says may be of the time before.
    keeping: usize,
    outdated: bool,
}

impl Quarantine {
    /// Looks from `now` on, if keys are quarantined at all.
    pub(crate) fn new(now: Tick, quarantines: bool) -> Self {
        Self {
            next: quarantines.then(|| now + LOOK_INTERVAL),
            ..Self::default()
        }
    }

    pub(crate) fn deadline(&self) -> Option<Tick> {
        self.next.filter(|_| self.look.is_none())
    }

    pub(crate) fn begin(&mut self, letters: ShardLetters, context: ShardContext) {
        self.outdated = self.keeping > 0;
        self.look = Some(async move { letters.letters.quarantined(&context).await }.boxed());
    }

    pub(crate) fn keeps(&mut self) {
        self.keeping += 1;
        self.outdated = true;
    }

    pub(crate) fn kept(&mut self) {
        self.keeping = self.keeping.saturating_sub(1);
        self.outdated = true;
    }

    /// The end of the look that is under way: the keys, if that is how things are.
    pub(crate) async fn looked(&mut self) -> Option<Vec<ByteString>> {
        let Some(look) = &mut self.look else {
            return std::future::pending().await;
        };
        let result = look.await;
        self.look = None;
        match result {
            Ok(keys) if !self.outdated => Some(keys),
            Ok(_) => None,
            Err(error) => {
                // What was known still holds: a key that was released meanwhile waits for the next look.
                tracing::warn!(%error, "the keys in quarantine cannot be looked up; it is tried again");
                None
            }
        }
    }

    pub(crate) fn rest(&mut self, now: Tick) {
        self.next = self.next.map(|_| now + LOOK_INTERVAL);
    }
}
