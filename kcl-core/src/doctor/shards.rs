//! Leases without a shard, shards without a lease, and leases that are over.

use std::collections::BTreeSet;

use super::{
    finding::{Problem, Severity},
    view::View,
};
use crate::{
    catalog::Shard,
    ids::{LeaseKey, ShardId},
    lease::Lease,
    lineage::ShardGraph,
    sequence::InitialPosition,
    sync::{SyncInput, covers, is_another, plan_cleanup, plan_shard_sync},
};

pub(super) fn problems(view: &View<'_>) -> Vec<(Problem, Severity)> {
    let (Some(listing), Some(graph)) = (view.listing, &view.graph) else {
        return Vec::new();
    };
    if view.leases.is_empty() {
        return Vec::new();
    }
    let mut problems = strangers(view, graph);
    let leases: Vec<Lease> = view.leases.values().map(|lease| Lease::clone(lease)).collect();
    problems.extend(missing(view, listing, &leases));
    for lease in &leases {
        let Some(shard) = graph.get(&lease.shard) else { continue };
        let key = lease.key.clone();
        if is_another(lease, shard) {
            problems.push((Problem::ShardReplaced { key }, Severity::Error));
            // One says it all: the others are of the other stream too.
            break;
        }
        if !covers(shard, &lease.checkpoint) {
            let checkpoint = lease.checkpoint.clone();
            problems.push((Problem::CheckpointOutside { key, checkpoint }, Severity::Error));
        }
    }
    let open = |lease: &&Lease| graph.get(&lease.shard).is_some_and(Shard::is_open);
    for lease in leases.iter().filter(|lease| lease.is_finished()).filter(open) {
        let key = lease.key.clone();
        problems.push((Problem::FinishedOpen { key }, Severity::Error));
    }
    let over = plan_cleanup(&leases, listing);
    if !over.is_empty() {
        problems.push((Problem::Leftover { leases: over }, Severity::Note));
    }
    problems
}

/// Unfinished leases that are among their own ancestors: each would start when it is finished.
pub(super) fn circles(view: &View<'_>) -> Option<(Problem, Severity)> {
    let waits_for_itself = |lease: &&Lease| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&ShardId> = lease.parents.iter().collect();
        while let Some(parent) = next.pop() {
            if *parent == lease.shard {
                return true;
            }
            let row = view.beside(lease, parent).filter(|row| !row.is_finished());
            if let Some(row) = row.filter(|_| seen.insert(parent)) {
                next.extend(&row.parents);
            }
        }
        false
    };
    let leases: Vec<LeaseKey> = view
        .unfinished()
        .filter(waits_for_itself)
        .map(|lease| lease.key.clone())
        .collect();
    (!leases.is_empty()).then_some((Problem::ParentCircle { leases }, Severity::Error))
}

/// Unfinished leases whose shards the stream does not show.
fn strangers(view: &View<'_>, graph: &ShardGraph<'_>) -> Vec<(Problem, Severity)> {
    let last: Option<&ShardId> = graph.shards().map(|shard| &shard.id).max();
    let mut problems = Vec::new();
    for lease in view.unfinished().filter(|lease| graph.get(&lease.shard).is_none()) {
        let key = lease.key.clone();
        // Ids count up, and what closes a shard makes new ones: one that retention removed left younger ones behind.
        if graph.knows(&lease.shard) || last.is_some_and(|last| *last > lease.shard) {
            problems.push((Problem::ShardExpired { key }, Severity::Warning));
        } else {
            problems.push((Problem::ShardUnknown { key }, Severity::Error));
        }
    }
    problems
}

/// Shards that the application has to read and has no lease for.
fn missing(view: &View<'_>, listing: &[Shard], leases: &[Lease]) -> Vec<(Problem, Severity)> {
    // Where the application begins with shards that are new to it decides with which of a family. With LATEST it is the one
    // that takes records now, and that is the one without a lease in any case.
    let input = SyncInput {
        shards: listing,
        leases,
        initial: InitialPosition::Latest,
    };
    let unreadable: BTreeSet<&str> = view.unreadable.iter().copied().collect();
    match plan_shard_sync(&input) {
        Ok(plan) => plan
            .create
            .into_iter()
            // A row that cannot be read is a finding of its own.
            .filter(|lease| {
                let key = view.stream.map(|stream| stream.key_of(&lease.shard));
                !unreadable.contains(key.as_ref().unwrap_or(&lease.key).as_str())
            })
            .map(|lease| (Problem::MissingLease { shard: lease.shard }, Severity::Warning))
            .collect(),
        Err(error) => {
            let message = error.to_string();
            vec![(Problem::OddListing { message }, Severity::Warning)]
        }
    }
}
