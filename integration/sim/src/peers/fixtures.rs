//! Tables and moments for the tests of those who plan.

use std::{sync::Arc, time::Duration};

use kcl_core::{Lease, Position, ShardId, Tick, WorkerId};

pub(super) const FAILOVER: Duration = Duration::from_secs(10);

pub(super) fn id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

pub(super) fn at(seconds: u64) -> Tick {
    Tick::from_origin(Duration::from_secs(seconds))
}

pub(super) fn shard(index: usize) -> ShardId {
    ShardId::new(format!("shardId-{index:012}")).unwrap()
}

/// A lease for each of these owners.
pub(super) fn table(owners: &[Option<&str>]) -> Vec<Arc<Lease>> {
    let lease = |(index, owner): (usize, &Option<&str>)| {
        let mut lease = Lease::new(shard(index), Position::TrimHorizon);
        lease.owner = owner.map(id);
        Arc::new(lease)
    };
    owners.iter().enumerate().map(lease).collect()
}
