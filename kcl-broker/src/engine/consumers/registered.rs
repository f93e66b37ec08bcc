//! [`Consumer`]: a reader with dedicated throughput, and the states of its life.

use std::time::Duration;

use kcl_core::Timestamp;

use crate::{api::ConsumerStatus, engine::attached::Attached};

/// A consumer that is registered with a stream.
#[derive(Debug)]
pub(in crate::engine) struct Consumer {
    pub(in crate::engine) name: String,
    pub(in crate::engine) created_at: Timestamp,
    pub(in crate::engine) attached: Attached,
    deregistered_at: Option<Timestamp>,
}

impl Consumer {
    pub(super) fn new(name: String, created_at: Timestamp) -> Self {
        Self {
            name,
            created_at,
            attached: Attached::default(),
            deregistered_at: None,
        }
    }

    /// The state at the time `now`, if a change of state takes `transition`; none when the consumer is gone.
    pub(super) fn status(&self, transition: Duration, now: Timestamp) -> Option<ConsumerStatus> {
        let is_over = |since: Timestamp| now >= since.saturating_add(transition);
        match self.deregistered_at {
            Some(since) => (!is_over(since)).then_some(ConsumerStatus::Deleting),
            None if is_over(self.created_at) => Some(ConsumerStatus::Active),
            None => Some(ConsumerStatus::Creating),
        }
    }

    /// Begins the consumer's end, unless that has begun.
    pub(super) fn deregister(&mut self, now: Timestamp) {
        self.deregistered_at.get_or_insert(now);
    }

    /// The second in which it was registered, which is part of its ARN.
    pub(super) fn created_second(&self) -> u64 {
        self.created_at.epoch_millis().max(0).unsigned_abs() / 1000
    }
}
