//! Every finding by a table that has it, and the same table without it.

mod beside;
mod holders;
mod rows;
mod structure;

use std::{sync::Arc, time::Duration};

use super::{Examination, Finding, Look, Severity, StreamShards, examine};
use crate::{
    HashKey, HashKeyRange, Lease, LeaseKey, LeaseListing, Position, Session, Shard, ShardId, StreamName, Timestamp,
    UnreadableRow, WorkerId, coordination::Coordination,
};

const FAILOVER: Duration = Duration::from_secs(10);
const HALF: u128 = u128::MAX / 2;

fn shard(number: u8) -> ShardId {
    ShardId::new(format!("shardId-{number:012}")).unwrap()
}

fn key(number: u8) -> LeaseKey {
    LeaseKey::of_shard(&shard(number))
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn low() -> HashKeyRange {
    HashKeyRange {
        start: HashKey::MIN,
        end: HashKey(HALF),
    }
}

fn high() -> HashKeyRange {
    HashKeyRange {
        start: HashKey(HALF + 1),
        end: HashKey::MAX,
    }
}

fn free(number: u8, range: HashKeyRange) -> Lease {
    Lease::new(shard(number), Position::after("7".parse().unwrap())).with_hash_key_range(range)
}

fn held(number: u8, range: HashKeyRange, owner: &str) -> Lease {
    let mut lease = free(number, range);
    (lease.owner, lease.session, lease.counter) = (Some(worker(owner)), Some(Session(1)), 5);
    lease
}

fn finished(mut lease: Lease) -> Lease {
    (lease.checkpoint, lease.owner, lease.session) = (Position::ShardEnd, None, None);
    lease
}

fn open(number: u8, range: HashKeyRange, parent: Option<u8>) -> Shard {
    let mut listed = Shard::new(shard(number), range);
    listed.parent = parent.map(shard);
    listed
}

fn closed(number: u8, range: HashKeyRange, parent: Option<u8>) -> Shard {
    let mut listed = open(number, range, parent);
    listed.ending_sequence_number = Some("99".parse().unwrap());
    listed
}

/// Two looks at a fleet in which every holder renews; a test changes what it is about.
#[derive(Clone)]
struct Case {
    earlier: LeaseListing,
    last: LeaseListing,
    shards: Vec<StreamShards>,
    between: Duration,
    stream: Option<StreamName>,
    /// What is beside the leases at either look.
    beside: Option<[Coordination; 2]>,
}

/// The time at the last look.
const NOW: Timestamp = Timestamp::from_epoch_millis(1_763_740_800_000);

impl Case {
    fn of(leases: impl IntoIterator<Item = Lease>) -> Self {
        let earlier: Vec<Lease> = leases.into_iter().collect();
        let last = earlier.iter().cloned().map(|mut lease| {
            lease.counter += u64::from(lease.holder().is_some());
            lease
        });
        Self {
            last: last.collect(),
            earlier: earlier.into_iter().collect(),
            shards: Vec::new(),
            between: FAILOVER * 3,
            stream: None,
            beside: None,
        }
    }

    /// w1 reads the lower half, w2 the upper.
    fn healthy() -> Self {
        Self::of([held(1, low(), "w1"), held(2, high(), "w2")])
    }

    fn with_shards(mut self, shards: impl IntoIterator<Item = Shard>) -> Self {
        self.shards = vec![StreamShards {
            stream: self.stream.clone().unwrap_or_else(|| StreamName::new("s").unwrap()),
            id: None,
            shards: shards.into_iter().collect(),
        }];
        self
    }

    fn within(mut self, between: Duration) -> Self {
        self.between = between;
        self
    }

    /// Changes a row as the last look shows it.
    fn then(mut self, number: u8, change: impl FnOnce(&mut Lease)) -> Self {
        let row = self.last.leases.iter_mut().find(|lease| lease.key == key(number));
        change(Arc::make_mut(row.unwrap()));
        self
    }

    /// The holder does not renew.
    fn silent(self, number: u8) -> Self {
        self.then(number, |lease| lease.counter -= 1)
    }

    fn unreadable(mut self, key: &str) -> Self {
        for look in [&mut self.earlier, &mut self.last] {
            look.unreadable.push(UnreadableRow {
                key: key.to_owned(),
                reason: "no checkpoint".to_owned(),
            });
        }
        self
    }

    fn look<'a>(&'a self, listing: &'a LeaseListing, which: usize, now: Timestamp) -> Look<'a> {
        Look {
            listing,
            shards: &self.shards,
            coordination: self.beside.as_ref().map(|beside| (&beside[which], now)),
        }
    }

    fn examined(&self, earlier: Option<(Look<'_>, Duration)>) -> Vec<Finding> {
        examine(&Examination {
            stream: self.stream.as_ref(),
            earlier,
            last: self.look(&self.last, 1, NOW),
            failover_time: FAILOVER,
        })
    }

    fn findings(&self) -> Vec<Finding> {
        let earlier = self.look(&self.earlier, 0, NOW.saturating_sub(self.between));
        self.examined(Some((earlier, self.between)))
    }

    /// What only the last look shows.
    fn once(&self) -> Vec<Finding> {
        self.examined(None)
    }

    fn codes(&self) -> Vec<(&'static str, Severity)> {
        codes(&self.findings())
    }
}

fn codes(findings: &[Finding]) -> Vec<(&'static str, Severity)> {
    findings
        .iter()
        .map(|finding| (finding.problem.code(), finding.severity))
        .collect()
}

#[test]
fn given_a_fleet_that_renews_when_examined_then_nothing_is_found() {
    assert_eq!(Case::healthy().findings(), []);
    assert_eq!(Case::healthy().once(), []);
    let listed = [open(1, low(), None), open(2, high(), None)];
    assert_eq!(Case::healthy().with_shards(listed).findings(), []);
}

#[test]
fn given_findings_when_examined_then_the_worst_come_first() {
    let found = Case::healthy()
        .within(FAILOVER + FAILOVER / 2)
        .silent(1)
        .unreadable("x");
    assert_eq!(
        found.codes(),
        [
            ("unreadable_row", Severity::Error),
            ("silent_holder", Severity::Warning)
        ]
    );
}
