//! What is done once, against stores, workers and crashes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dynamodb;
mod layer;
mod promises;
mod sink;
mod workers;

use std::time::Duration;

use kcl_core::{Batch, Record, ShardId, StreamName, Timestamp};
use kcl_idempotency::{Claim, Completion, IdempotencyKey, Lock};

/// 1 January 2013, 10:00 UTC, and a bit: seconds and milliseconds are told apart.
const NOON: Timestamp = Timestamp::from_epoch_millis(1_357_034_400_250);
const LOCKED: Duration = Duration::from_secs(60);
const REMEMBERED: Duration = Duration::from_secs(3600);

fn at(after: Duration) -> Timestamp {
    NOON.saturating_add(after)
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

fn claim(text: &str, now: Timestamp) -> Claim {
    Claim {
        key: key(text),
        validation: None,
        now,
        lock_until: now.saturating_add(LOCKED),
        expires_at: now.saturating_add(REMEMBERED),
    }
}

fn completion(lock: Lock, result: &str, now: Timestamp) -> Completion {
    Completion {
        lock,
        validation: None,
        result: result.to_owned(),
        now,
        expires_at: now.saturating_add(REMEMBERED),
    }
}

fn shard(number: u32) -> ShardId {
    ShardId::new(format!("shardId-{number:012}")).unwrap()
}

fn record(number: &str, key: &str) -> Record {
    Record::new(number.parse().unwrap(), key.to_owned(), NOON, number.to_owned())
}

fn batch(records: Vec<Record>) -> Batch {
    Batch::new(StreamName::new("orders").unwrap(), shard(0), records)
}
