//! Keeping the leases in step with the stream's shards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{TenureId, WorkerEffect, WorkerEvent, WorkerFailure, WorkerMachine, tenure::Stage, writes::OpKind};
use crate::{
    catalog::{ChildShard, Shard, ShardFilter},
    fetch::{FetchFailure, FetchFailureKind},
    ids::{LeaseKey, ShardId},
    lease::Lease,
    shard::StopReason,
    sync::{SyncInput, child_leases, contradiction, filter_for_empty_table, plan_cleanup, plan_shard_sync},
    time::Tick,
};

/// A finished lease stays for so long, as with KCL. Whoever sees an old scan of the table within this time still finds in
/// it that the shard was handled, and does not begin with it again.
const CLEANUP_DELAY: Duration = Duration::from_secs(300);

/// What the worker knows and wants to know of the stream's shards.
#[derive(Debug)]
pub(super) struct Shards {
    listing: Option<ShardFilter>,
    next: Option<Tick>,
    failures: u32,
    ever_listed: bool,
    /// Consumers whose shard the service does not know any more.
    missing: BTreeSet<TenureId>,
    /// The leases of children that must exist before their parents can be finished.
    children: BTreeMap<LeaseKey, Lease>,
    /// How often in a row leases could not be added.
    creation_failures: u32,
    /// Creations of children that failed and are tried again.
    retry_children_at: Option<Tick>,
    /// The listed shards that were ever seen to be finished. Their rows go one day, and an old scan may show neither them
    /// nor their children's: such a shard is not new to the application.
    finished: BTreeSet<ShardId>,
}

impl Shards {
    pub(super) fn new(now: Tick) -> Self {
        Self {
            listing: None,
            next: Some(now),
            failures: 0,
            ever_listed: false,
            missing: BTreeSet::new(),
            children: BTreeMap::new(),
            creation_failures: 0,
            retry_children_at: None,
            finished: BTreeSet::new(),
        }
    }

    /// Takes in a scan of the table. Where that is empty, the application begins anew.
    pub(super) fn note_finished(&mut self, leases: &[Arc<Lease>]) {
        if leases.is_empty() {
            self.finished.clear();
        }
        for lease in leases.iter().filter(|lease| lease.is_finished()) {
            if !self.finished.contains(&lease.shard) {
                self.finished.insert(lease.shard.clone());
            }
        }
    }

    /// Forgets the shards that retention took off the stream. Those after the last one listed are only too new for an old
    /// listing.
    fn forget_unlisted(&mut self, shards: &[Shard]) {
        let Some(last) = shards.iter().map(|shard| &shard.id).max() else {
            return;
        };
        let listed: BTreeSet<&ShardId> = shards.iter().map(|shard| &shard.id).collect();
        self.finished.retain(|id| id > last || listed.contains(id));
    }

    pub(super) fn next_listing(&self) -> Option<Tick> {
        if self.listing.is_none() { self.next } else { None }
    }

    /// A tenure is over.
    pub(super) fn forget(&mut self, tenure: TenureId) {
        self.missing.remove(&tenure);
    }

    pub(super) fn next_child_retry(&self) -> Option<Tick> {
        self.retry_children_at
    }
}

impl WorkerMachine {
    pub(super) fn advance_children(&mut self, now: Tick) {
        if self.shards.retry_children_at.is_some_and(|at| at <= now) {
            self.shards.retry_children_at = None;
            self.send_children(now);
        }
    }

    pub(super) fn advance_shards(&mut self, now: Tick) {
        if !self.scanned || self.shards.listing.is_some() || self.shards.next.is_none_or(|at| now < at) {
            return;
        }
        let needed = self.found_empty || !self.shards.missing.is_empty() || self.is_first(now);
        if !needed {
            self.shards.next = Some(now + self.config.shard_sync_interval);
            return;
        }
        let filter = if self.found_empty {
            filter_for_empty_table(self.config.initial_position)
        } else {
            ShardFilter::All
        };
        self.shards.listing = Some(filter);
        self.push(WorkerEffect::ListShards(filter));
    }

    pub(super) fn shards_listed(&mut self, now: Tick, result: Result<Vec<Shard>, FetchFailure>) {
        let filter = self.shards.listing.take();
        if self.stopping.is_some() {
            return;
        }
        match result {
            Ok(shards) => {
                self.shards.failures = 0;
                self.shards.ever_listed = true;
                self.shards.next = Some(now + self.config.shard_sync_interval);
                if filter == Some(ShardFilter::All) {
                    self.settle_missing(now, &shards);
                }
                self.sync(now, filter, &shards);
            }
            Err(FetchFailure {
                kind: FetchFailureKind::NotFound,
                message,
            }) => {
                self.stop(now, Some(WorkerFailure::StreamNotFound { message }));
            }
            Err(FetchFailure {
                kind: FetchFailureKind::Denied,
                message,
            }) if !self.shards.ever_listed => {
                self.stop(now, Some(WorkerFailure::AccessDenied { message }));
            }
            Err(failure) => self.listing_failed(now, failure.message),
        }
    }

    fn listing_failed(&mut self, now: Tick, message: String) {
        self.shards.failures = self.shards.failures.saturating_add(1);
        let retry_in = self.config.service_backoff.wait(self.shards.failures, &mut self.rng);
        self.shards.next = Some(now + retry_in);
        self.event(WorkerEvent::ServiceTrouble { message, retry_in });
    }

    /// Adds the leases that are missing and removes those that are over.
    fn sync(&mut self, now: Tick, filter: Option<ShardFilter>, shards: &[Shard]) {
        let for_empty = filter != Some(ShardFilter::All);
        if self.found_empty != for_empty || self.table.is_empty() != for_empty {
            // The listing answers another question: the table changed between empty and not while it was under way. Or
            // all rows of an old scan turned out to be gone; what there is now the next scan tells. To take that for an
            // empty table would begin again with shards that were handled and cleaned up.
            self.shards.next = Some(now + self.config.scan_interval);
            return;
        }
        let leases: Vec<Lease> = self.table.values().map(|row| Lease::clone(row)).collect();
        if let Some(other) = contradiction(&leases, shards) {
            let (key, message) = (other.key.clone(), format!("the stream has another {}", other.shard));
            return self.stop(now, Some(WorkerFailure::StreamReplaced { key, message }));
        }
        if let Some(stranger) = self.stranger(now, shards).filter(|_| filter == Some(ShardFilter::All)) {
            let (key, message) = (
                stranger.key.clone(),
                format!("{} is not among its shards", stranger.shard),
            );
            return self.stop(now, Some(WorkerFailure::StreamReplaced { key, message }));
        }
        let input = SyncInput {
            shards,
            leases: &leases,
            initial: self.config.initial_position,
        };
        match plan_shard_sync(&input) {
            Ok(plan) => {
                for lease in plan.create {
                    if self.may_create(&lease.key) && !self.shards.finished.contains(&lease.shard) {
                        self.send_create(now, OpKind::Create, lease);
                    }
                }
            }
            Err(error) => return self.listing_failed(now, error.to_string()),
        }
        if filter == Some(ShardFilter::All) {
            self.shards.forget_unlisted(shards);
        }
        if filter == Some(ShardFilter::All) && self.is_first(now) {
            for key in plan_cleanup(&leases, shards) {
                let Some(row) = self.table.get(&key).filter(|_| !self.busy.contains(&key)).cloned() else {
                    continue;
                };
                if self
                    .watch
                    .unchanged_for(now, &row)
                    .is_some_and(|age| age >= CLEANUP_DELAY)
                {
                    self.send_delete(now, &row);
                }
            }
        }
    }

    /// A lease that nobody takes because its parents are not finished, and whose shard is younger than all that are listed.
    /// The parents are then shards of another stream that happen to have the same ids, and it would wait for ever. A
    /// listing may be old, but not as old as this row.
    fn stranger(&self, now: Tick, shards: &[Shard]) -> Option<Arc<Lease>> {
        let last = shards.iter().map(|shard| &shard.id).max()?;
        let rested = |lease: &Lease| self.watch.unchanged_for(now, lease) >= Some(CLEANUP_DELAY);
        let mut strangers = self
            .table
            .values()
            .filter(|lease| !lease.is_finished() && lease.holder().is_none() && lease.shard > *last && rested(lease));
        strangers.next().cloned()
    }

    /// Whether a row may be added under this key: none is being written, put back, or there and unreadable.
    fn may_create(&self, key: &LeaseKey) -> bool {
        !self.busy.contains(key) && !self.vanished.contains_key(key) && !self.unreadable.contains(key.as_str())
    }

    /// A request to add a lease ended: scan as soon as the last of a round is in, and look again soon if one failed.
    ///
    /// The answers alone do not tell enough to take leases by. Another worker that fills the empty table at the same time
    /// may have seen the stream before a split and added the parent of a shard that was added here; the child must wait
    /// for it. A scan that shows the child's row shows every row that was there before it.
    pub(super) fn creation_ended(&mut self, now: Tick, failed: bool) {
        if failed {
            self.shards.creation_failures = self.shards.creation_failures.saturating_add(1);
            let wait = self
                .config
                .service_backoff
                .wait(self.shards.creation_failures, &mut self.rng);
            self.shards.next = Some(now + wait);
        } else {
            self.shards.creation_failures = 0;
        }
        let creating = self.ops.values().any(|op| op.kind == OpKind::Create);
        if !creating {
            self.next_scan = now;
        }
    }

    pub(super) fn create_children(&mut self, now: Tick, tenure: TenureId, children: &[ChildShard]) {
        let Some(parent) = self.tenures.get(&tenure).map(|tenure| tenure.lease.clone()) else {
            return;
        };
        for lease in child_leases(&parent.shard, children) {
            self.shards.children.insert(lease.key.clone(), lease);
        }
        self.send_children(now);
    }

    fn send_children(&mut self, now: Tick) {
        self.shards.children.retain(|key, _| {
            self.tenures
                .values()
                .any(|tenure| matches!(&tenure.stage, Stage::CreatingChildren { missing, .. } if missing.contains(key)))
        });
        let waiting: Vec<Lease> = self.shards.children.values().cloned().collect();
        for lease in waiting {
            if self.busy.contains(&lease.key) {
                // The row is being taken or added already; look again in a moment.
                self.child_failed(now);
            } else {
                self.send_create(now, OpKind::CreateChild, lease);
            }
        }
    }

    pub(super) fn child_failed(&mut self, now: Tick) {
        let at = now + self.config.service_backoff.initial;
        self.shards.retry_children_at = Some(self.shards.retry_children_at.map_or(at, |already| already.min(at)));
    }

    /// A consumer was told that its shard, or the stream, does not exist. The listing tells which.
    pub(super) fn check_missing(&mut self, now: Tick, tenure: TenureId) {
        self.shards.missing.insert(tenure);
        if self.shards.failures == 0 {
            self.shards.next = Some(now);
        }
    }

    fn settle_missing(&mut self, now: Tick, shards: &[Shard]) {
        for id in std::mem::take(&mut self.shards.missing) {
            let Some(tenure) = self.tenures.get_mut(&id).filter(|tenure| tenure.has_consumer()) else {
                continue;
            };
            let gone: &ShardId = &tenure.lease.shard;
            if shards.iter().any(|shard| shard.id == *gone) {
                continue;
            }
            // Ids count up, and a shard is closed by what makes new ones: one that fell out of retention left younger
            // ones behind. Without any, the listing is not of the stream that the lease is of.
            if !shards.iter().any(|shard| shard.id > *gone) {
                let (key, message) = (tenure.lease.key.clone(), format!("{gone} is not among its shards"));
                return self.stop(now, Some(WorkerFailure::StreamReplaced { key, message }));
            }
            // Retention removed the shard before it was handled to its end. Its children go on.
            let children: Vec<ChildShard> = shards
                .iter()
                .filter(|shard| shard.parents().any(|parent| parent == gone))
                .map(|shard| ChildShard {
                    id: shard.id.clone(),
                    parents: shard.parents().cloned().collect(),
                    hash_key_range: Some(shard.hash_key_range),
                })
                .collect();
            let (key, checkpoint) = (tenure.lease.key.clone(), tenure.lease.checkpoint.clone());
            tenure.end(&children);
            self.event(WorkerEvent::ShardExpired { key, checkpoint });
            self.push(WorkerEffect::StopShard {
                tenure: id,
                reason: StopReason::LeaseLost,
            });
            self.create_children(now, id, &children);
        }
    }
}
