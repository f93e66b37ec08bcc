//! One look, indexed, without the rows that are none of this application's.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
};

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
    stream::{LeaseStream, StreamId},
};

/// Which rows a view shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'a> {
    /// Those of an application of one stream: of this one, or of none that they say.
    One(Option<&'a StreamName>),
    /// Those of one of several streams, which may be the youngest of its name.
    OfSeveral { stream: &'a StreamId, is_youngest: bool },
    /// Those of all of several streams.
    AllOfSeveral,
}

impl<'a> Scope<'a> {
    /// The stream, if there are several and it is one of them.
    pub(super) fn stream(self) -> Option<&'a StreamId> {
        match self {
            Self::OfSeveral { stream, .. } => Some(stream),
            Self::One(_) | Self::AllOfSeveral => None,
        }
    }

    /// The shards of the stream that the view shows.
    fn listing(self, look: Look<'a>) -> Option<&'a [Shard]> {
        let mut shards = look.shards.iter();
        let found = match self {
            Self::One(_) => shards.next(),
            Self::OfSeveral { stream, is_youngest } => shards.find(|listed| match &listed.id {
                Some(id) => id == stream,
                None => is_youngest && listed.stream == *stream.name(),
            }),
            Self::AllOfSeveral => None,
        };
        found.map(|listed| &*listed.shards)
    }

    fn has(self, lease: &Lease) -> bool {
        match (self, &lease.stream) {
            (Self::One(_), None) | (Self::AllOfSeveral, Some(LeaseStream::OfSeveral(_))) => true,
            (Self::One(own), Some(LeaseStream::One(stream))) => own == Some(stream),
            (Self::OfSeveral { stream: own, .. }, Some(LeaseStream::OfSeveral(stream))) => own == stream,
            _ => false,
        }
    }

    fn has_unreadable(self, key: &str) -> bool {
        match self {
            Self::One(_) | Self::AllOfSeveral => true,
            Self::OfSeveral { stream, .. } => StreamId::of_key(key).as_ref() == Some(stream),
        }
    }
}

#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) leases: BTreeMap<LeaseKey, &'a Lease>,
    /// Streams have shards of the same ids.
    by_shard: BTreeMap<(Option<&'a StreamId>, &'a ShardId), &'a Lease>,
    /// The stream, if there are several and the view shows one.
    pub(super) stream: Option<&'a StreamId>,
    pub(super) listing: Option<&'a [Shard]>,
    pub(super) graph: Option<ShardGraph<'a>>,
    pub(super) unreadable: Vec<&'a str>,
}

impl<'a> View<'a> {
    /// Rows of other streams are left out: what they lack or overlap says nothing about this one.
    pub(super) fn new(look: Look<'a>, scope: Scope<'a>) -> Self {
        let leases = look.listing.leases.iter().map(Borrow::<Lease>::borrow);
        let leases: BTreeMap<LeaseKey, &Lease> = leases
            .filter(|lease| scope.has(lease))
            .map(|lease| (lease.key.clone(), lease))
            .collect();
        let unreadable = look.listing.unreadable.iter().map(|row| row.key.as_str());
        let listing = scope.listing(look);
        Self {
            by_shard: leases
                .values()
                .map(|lease| ((lease.stream_id(), &lease.shard), *lease))
                .collect(),
            leases,
            stream: scope.stream(),
            listing,
            graph: listing.map(ShardGraph::new),
            unreadable: unreadable.filter(|key| scope.has_unreadable(key)).collect(),
        }
    }

    /// The leases of shards that are still to be read.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = &'a Lease> {
        self.leases.values().copied().filter(|lease| !lease.is_finished())
    }

    /// The lease of a shard of the same stream.
    pub(super) fn beside(&self, lease: &Lease, shard: &ShardId) -> Option<&'a Lease> {
        self.by_shard.get(&(lease.stream_id(), shard)).copied()
    }

    pub(super) fn is_ready(&self, lease: &Lease) -> bool {
        lineage::is_ready_among(lease, |shard| self.beside(lease, shard))
    }

    /// The hash keys of a lease's shard, from its row or from the stream.
    pub(super) fn range(&self, lease: &Lease) -> Option<HashKeyRange> {
        let listed = || Some(self.graph.as_ref()?.get(&lease.shard)?.hash_key_range);
        lease.hash_key_range.or_else(listed)
    }

    /// The parents of a shard, from its lease or from the stream; `None` where neither is known.
    pub(super) fn parents(&self, shard: &ShardId) -> Option<Vec<&'a ShardId>> {
        if let Some(lease) = self.by_shard.get(&(self.stream, shard)) {
            return Some(lease.parents.iter().collect());
        }
        let shard = self.graph.as_ref()?.get(shard)?;
        Some(shard.parents().collect())
    }
}

/// The stream that most rows name.
pub(super) fn commonest_stream(listing: &LeaseListing) -> Option<&StreamName> {
    let mut counts: BTreeMap<&StreamName, usize> = BTreeMap::new();
    for stream in listing.leases.iter().filter_map(|lease| one_stream(lease)) {
        *counts.entry(stream).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(stream, _)| stream)
}

/// The name in a row of an application of one stream.
fn one_stream(lease: &Lease) -> Option<&StreamName> {
    match &lease.stream {
        Some(LeaseStream::One(stream)) => Some(stream),
        Some(LeaseStream::OfSeveral(_)) | None => None,
    }
}

/// The streams of an application that reads several.
pub(super) fn several_streams(listing: &LeaseListing) -> BTreeSet<&StreamId> {
    listing.leases.iter().filter_map(|lease| lease.stream_id()).collect()
}

/// What every single row tells about itself, whenever it is read: no later look takes it back.
pub(super) fn rows_of_no_use(listing: &LeaseListing, stream: Option<&StreamName>, is_told: bool) -> Vec<Finding> {
    let row = |severity, problem| Finding {
        severity,
        problem,
        stream: None,
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
        if let Some(other) = one_stream(lease).filter(|other| Some(*other) != stream) {
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
