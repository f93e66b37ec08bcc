//! [`Log`]: what was delivered to handlers, and what must be true of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kcl_core::{Batch, SequenceNumber, Shard, ShardId};
use tokio::sync::watch;

use crate::{WorldClock, running::DEADLINE};

/// One record, as a handler got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Who got it.
    pub worker: String,
    /// Where it was read.
    pub shard: ShardId,
    /// Its partition key.
    pub key: String,
    /// Its number: records are numbered as they are put, from 0.
    pub number: u64,
    /// Its sequence number.
    pub sequence: SequenceNumber,
    /// When, since the world began.
    pub at: Duration,
}

/// The deliveries of all workers, in the order in which they happened. Clones are the same log.
#[derive(Clone, Debug)]
pub struct Log {
    clock: WorldClock,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    length: Arc<watch::Sender<usize>>,
}

impl Log {
    /// An empty log.
    #[must_use]
    pub fn new(clock: WorldClock) -> Self {
        Self {
            clock,
            deliveries: Arc::default(),
            length: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Notes a batch that `worker` got.
    pub fn note(&self, worker: &str, batch: &Batch) {
        let mut deliveries = self.lock();
        deliveries.extend(batch.iter().map(|record| Delivery {
            worker: worker.to_owned(),
            shard: batch.shard().clone(),
            key: record.partition_key.to_string(),
            number: number_of(&record.data),
            sequence: record.sequence_number.clone(),
            at: self.clock.elapsed(),
        }));
        self.length.send_replace(deliveries.len());
    }

    /// Everything so far.
    #[must_use]
    pub fn all(&self) -> Vec<Delivery> {
        self.lock().clone()
    }

    /// The numbers of all deliveries, in order.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        self.lock().iter().map(|delivery| delivery.number).collect()
    }

    /// How many deliveries were not the first of their record.
    #[must_use]
    pub fn replays(&self) -> usize {
        let deliveries = self.lock();
        deliveries.len() - first_deliveries(&deliveries).len()
    }

    /// Waits until the records with the numbers below `count` were all delivered.
    ///
    /// # Panics
    /// If that does not happen within a virtual while: names what is missing.
    pub async fn complete(&self, count: u64) {
        self.complete_from(0, count).await;
    }

    /// Waits until the records with the numbers from `first` to below `end` were all delivered.
    ///
    /// # Panics
    /// If that does not happen within a virtual while: names what is missing.
    pub async fn complete_from(&self, first: u64, end: u64) {
        let missing = || {
            let seen: BTreeSet<u64> = self.numbers().into_iter().collect();
            (first..end).filter(|number| !seen.contains(number)).collect::<Vec<_>>()
        };
        let mut length = self.length.subscribe();
        let complete = async {
            while !missing().is_empty() {
                length.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(DEADLINE, complete).await.is_err() {
            panic!(
                "of the records {first}..{end} these were never delivered: {:?}",
                missing()
            );
        }
    }

    /// Checks that the records of every key, and of every shard, were first delivered in the order in which they were put.
    ///
    /// # Panics
    /// If they were not.
    pub fn assert_ordered(&self) {
        self.assert_keys_ordered();
        let deliveries = self.lock();
        let mut shards = BTreeMap::new();
        for delivery in first_deliveries(&deliveries) {
            if let Some(before) = shards.insert(delivery.shard.clone(), delivery.sequence.clone()) {
                assert!(
                    before < delivery.sequence,
                    "{}: {} came after {before}",
                    delivery.shard,
                    delivery.sequence
                );
            }
        }
    }

    /// Checks that the records of every key were first delivered in the order in which they were put.
    ///
    /// # Panics
    /// If they were not.
    pub fn assert_keys_ordered(&self) {
        let deliveries = self.lock();
        let mut keys = BTreeMap::new();
        for delivery in first_deliveries(&deliveries) {
            if let Some(before) = keys.insert(delivery.key.clone(), delivery.number) {
                assert!(
                    before < delivery.number,
                    "{}: {} came after {before}",
                    delivery.key,
                    delivery.number
                );
            }
        }
    }

    /// Checks that nothing of a child was delivered before the last delivery of any of its parents.
    ///
    /// # Panics
    /// If something was, or no child had a delivery at all.
    pub fn assert_parents_before_children(&self, shards: &[Shard]) {
        let deliveries = self.lock();
        let mut first = BTreeMap::new();
        let mut last = BTreeMap::new();
        for (at, delivery) in deliveries.iter().enumerate() {
            first.entry(&delivery.shard).or_insert(at);
            last.insert(&delivery.shard, at);
        }
        let mut families = 0;
        for shard in shards {
            for parent in shard.parents() {
                if let (Some(child), Some(parent_last)) = (first.get(&shard.id), last.get(parent)) {
                    assert!(
                        parent_last < child,
                        "{} was delivered before its parent {parent} was done",
                        shard.id
                    );
                    families += 1;
                }
            }
        }
        assert!(families > 0, "no child was consumed, so nothing was checked");
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first_deliveries(deliveries: &[Delivery]) -> Vec<&Delivery> {
    let mut seen = BTreeSet::new();
    deliveries
        .iter()
        .filter(|delivery| seen.insert(delivery.number))
        .collect()
}

/// A record's data is its number, and possibly a blank and padding.
fn number_of(data: &[u8]) -> u64 {
    let text = std::str::from_utf8(data).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
