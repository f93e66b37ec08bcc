//! Batches that were read and not yet delivered.

use std::collections::VecDeque;

use crate::{record::Batch, time::Timestamp};

/// A queue of batches that knows its size.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    batches: VecDeque<Batch>,
    records: usize,
    weight: u64,
}

impl Buffer {
    pub(super) fn push(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.records += batch.len();
            self.weight += batch.weight();
            self.batches.push_back(batch);
        }
    }

    /// Takes the next batch, of at most `at_most` records and at least one.
    pub(super) fn pop(&mut self, at_most: usize) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        let (head, tail) = batch.split_at(at_most.max(1));
        if !tail.is_empty() {
            self.batches.push_front(tail);
        }
        self.records -= head.len();
        self.weight = self.weight.saturating_sub(head.weight());
        Some(head)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// When the oldest record arrived.
    pub(super) fn oldest_arrival(&self) -> Option<Timestamp> {
        self.batches
            .front()?
            .first()
            .map(|record| record.approximate_arrival_timestamp)
    }

    /// The memory that the batches take.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }
}
