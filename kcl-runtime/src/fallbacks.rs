//! Which shards of a stream are polled though they were to be subscribed to. Whatever the reason is, it mostly is that of all
//! shards: it is told once for the stream, and again after all were subscribed to.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The shards of one stream that one worker polls in place of subscriptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fallbacks(Arc<Mutex<BTreeSet<String>>>);

/// The part of one shard in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardFallback {
    all: Fallbacks,
    shard: String,
}

impl Fallbacks {
    pub(crate) fn of_shard(&self, shard: &str) -> ShardFallback {
        ShardFallback {
            all: self.clone(),
            shard: shard.to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShardFallback {
    /// The shard is polled in place of a subscription. Says whether it is the first of its stream.
    pub(crate) fn begins(&self) -> bool {
        let mut shards = self.all.lock();
        let is_first = shards.is_empty();
        shards.insert(self.shard.clone()) && is_first
    }

    /// It is not, or not consumed here any more.
    pub(crate) fn ends(&self) {
        self.all.lock().remove(&self.shard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_many_shards_when_they_fall_back_then_one_is_told_of_until_all_are_subscribed_to() {
        let all = Fallbacks::default();
        let shards: Vec<ShardFallback> = ["a", "b", "c"].map(|shard| all.of_shard(shard)).into();
        let told = |shards: &[ShardFallback]| shards.iter().filter(|shard| shard.begins()).count();
        assert_eq!(told(&shards), 1);
        // The same trouble with another word for it, and trouble that comes and goes in one shard.
        assert_eq!(told(&shards), 0);
        shards[1].ends();
        assert!(!shards[1].begins());
        shards.iter().for_each(ShardFallback::ends);
        assert_eq!(told(&shards[2..]), 1);
        assert_eq!(told(&shards[..2]), 0);
    }
}
