//! One look, indexed, without the rows that are none of this application's.

use std::{borrow::Borrow, collections::BTreeMap};

use super::{
    Look,
    finding::{Finding, Problem, Severity},
};
use crate::{
    catalog::Shard,
    ids::{HashKeyRange, LeaseKey, ShardId, StreamName},
    lease::Lease,
    lineage::{self, ShardGraph},
    store::LeaseListing,
};

#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) leases: BTreeMap<LeaseKey, &'a Lease>,
    by_shard: BTreeMap<&'a ShardId, &'a Lease>,
    pub(super) listing: Option<&'a [Shard]>,
    pub(super) graph: Option<ShardGraph<'a>>,
    pub(super) unreadable: Vec<&'a str>,
}

impl<'a> View<'a> {
    /// Rows of other streams are left out: what they lack or overlap says nothing about this one.
    pub(super) fn new(look: Look<'a>, stream: Option<&StreamName>) -> Self {
        let leases = look.listing.leases.iter().map(Borrow::<Lease>::borrow);
        let own = |lease: &&Lease| lease.stream.is_none() || lease.stream.as_ref() == stream;
        let leases: BTreeMap<LeaseKey, &Lease> = leases.filter(own).map(|lease| (lease.key.clone(), lease)).collect();
        Self {
            by_shard: leases.values().map(|lease| (&lease.shard, *lease)).collect(),
            leases,
            listing: look.shards,
            graph: look.shards.map(ShardGraph::new),
            unreadable: look.listing.unreadable.iter().map(|row| row.key.as_str()).collect(),
        }
    }

    /// The leases of shards that are still to be read.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = &'a Lease> {
        self.leases.values().copied().filter(|lease| !lease.is_finished())
    }

    pub(super) fn of_shard(&self, shard: &ShardId) -> Option<&'a Lease> {
        self.by_shard.get(shard).copied()
    }

    pub(super) fn is_ready(&self, lease: &Lease) -> bool {
        lineage::is_ready_among(lease, |shard| self.of_shard(shard))
    }

    /// The hash keys of a lease's shard, from its row or from the stream.
    pub(super) fn range(&self, lease: &Lease) -> Option<HashKeyRange> {
        let listed = || Some(self.graph.as_ref()?.get(&lease.shard)?.hash_key_range);
        lease.hash_key_range.or_else(listed)
    }

    /// The parents of a shard, from its lease or from the stream; `None` where neither is known.
    pub(super) fn parents(&self, shard: &ShardId) -> Option<Vec<&'a ShardId>> {
        if let Some(lease) = self.of_shard(shard) {
            return Some(lease.parents.iter().collect());
        }
        let shard = self.graph.as_ref()?.get(shard)?;
        Some(shard.parents().collect())
    }
}

/// The stream that most rows name.
pub(super) fn commonest_stream(listing: &LeaseListing) -> Option<&StreamName> {
    let mut counts: BTreeMap<&StreamName, usize> = BTreeMap::new();
    for stream in listing.leases.iter().filter_map(|lease| lease.stream.as_ref()) {
        *counts.entry(stream).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(stream, _)| stream)
}

/// What every single row tells about itself, whenever it is read: no later look takes it back.
pub(super) fn rows_of_no_use(listing: &LeaseListing, stream: Option<&StreamName>, is_told: bool) -> Vec<Finding> {
    let row = |severity, problem| Finding {
        severity,
        problem,
        confirmed: true,
    };
    let mut findings = Vec::new();
    for unreadable in &listing.unreadable {
        let problem = Problem::Unreadable {
            key: unreadable.key.clone(),
            reason: unreadable.reason.clone(),
        };
        findings.push(row(Severity::Error, problem));
    }
    let mut others: BTreeMap<&StreamName, Vec<LeaseKey>> = BTreeMap::new();
    for lease in &listing.leases {
        if let Some(other) = lease.stream.as_ref().filter(|other| Some(*other) != stream) {
            others.entry(other).or_default().push(lease.key.clone());
        }
    }
    for (other, leases) in others {
        let Some(stream) = stream.cloned() else { continue };
        let problem = Problem::OtherStream {
            stream,
            is_told,
            other: other.clone(),
            leases,
        };
        findings.push(row(Severity::Error, problem));
    }
    if listing.leases.is_empty() && listing.unreadable.is_empty() {
        findings.push(row(Severity::Note, Problem::NoLeases));
    }
    findings
}
