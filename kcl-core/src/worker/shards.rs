//! Keeping the leases in step with the shards of each stream.

use std::{collections::BTreeSet, time::Duration};

use super::{TenureId, WorkerEffect, WorkerEvent, WorkerFailure, WorkerMachine, writes::OpKind};
use crate::{
    catalog::{ChildShard, Shard, ShardFilter},
    fetch::{FetchFailure, FetchFailureKind},
    ids::{LeaseKey, ShardId},
    lease::Lease,
    sequence::InitialPosition,
    shard::StopReason,
    stream::StreamId,
    sync::{SyncInput, contradiction, filter_for_empty_table, plan_awaited_parents, plan_cleanup, plan_shard_sync},
    time::Tick,
};

/// A finished lease stays for so long, as with KCL. Whoever sees an old scan of the table within this time still finds in
/// it that the shard was handled, and does not begin with it again.
const CLEANUP_DELAY: Duration = Duration::from_secs(300);

/// What the worker knows and wants to know of the shards of one stream.
#[derive(Debug)]
pub(super) struct Shards {
    /// Where to start with shards that nobody has read before.
    pub(super) initial: InitialPosition,
    /// Whether the last scan found no row of the stream, and none has come to light since.
    pub(super) found_empty: bool,
    /// Whether a scan was made since the stream is known.
    scanned: bool,
    /// Whether the last scan found rows of the stream.
    has_rows: bool,
    listing: Option<ShardFilter>,
    next: Option<Tick>,
    failures: u32,
    ever_listed: bool,
    /// Consumers whose shard the service does not know any more.
    pub(super) missing: BTreeSet<TenureId>,
    /// Shards without a lease that merged shards descend from beside those that end here: they get one first.
    wanted_parents: BTreeSet<ShardId>,
    /// Those of them that the stream does not have any more.
    lost_parents: BTreeSet<ShardId>,
    /// How often in a row leases could not be added.
    creation_failures: u32,
    /// The listed shards that were ever seen to be finished. Their rows go one day, and an old scan may show neither them
    /// nor their children's: such a shard is not new to the application.
    finished: BTreeSet<ShardId>,
}

impl Shards {
    pub(super) fn new(now: Tick, initial: InitialPosition) -> Self {
        Self {
            initial,
            found_empty: false,
            scanned: false,
            has_rows: false,
            listing: None,
            next: Some(now),
            failures: 0,
            ever_listed: false,
            missing: BTreeSet::new(),
            wanted_parents: BTreeSet::new(),
            lost_parents: BTreeSet::new(),
            creation_failures: 0,
            finished: BTreeSet::new(),
        }
    }

    /// A scan of the table is taken in; `may_be_empty` unless a row of the stream cannot be read.
    pub(super) fn begin_scan(&mut self, may_be_empty: bool) {
        self.scanned = true;
        self.found_empty = may_be_empty;
        self.has_rows = false;
    }

    pub(super) fn note_scanned(&mut self, lease: &Lease) {
        (self.found_empty, self.has_rows) = (false, true);
        self.wanted_parents.remove(&lease.shard);
        if lease.is_finished() && !self.finished.contains(&lease.shard) {
            self.finished.insert(lease.shard.clone());
        }
    }

    /// Where the table has no row of the stream, the application begins anew with it.
    pub(super) fn end_scan(&mut self) {
        if !self.has_rows {
            self.finished.clear();
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

    /// Whether a shard is known to be handled, or to be gone.
    pub(super) fn is_over(&self, shard: &ShardId) -> bool {
        self.finished.contains(shard) || self.lost_parents.contains(shard)
    }

    /// Has the shards listed, because this one has no lease and is to get one. At once the first time; a listing that does not show it
    /// yet is not made better by haste.
    pub(super) fn want_parent(&mut self, now: Tick, shard: ShardId) {
        if self.wanted_parents.insert(shard) && self.failures == 0 {
            self.next = Some(now);
        }
    }

    /// A listing says which of the shards that are looked for are gone. Ids count up: one that is not listed, though younger ones
    /// are, was there once; without any, the listing is too old to show it.
    fn settle_parents(&mut self, listed: &[Shard]) {
        let Some(last) = listed.iter().map(|shard| &shard.id).max() else {
            return;
        };
        let listed: BTreeSet<&ShardId> = listed.iter().map(|shard| &shard.id).collect();
        let gone = |shard: &ShardId| !listed.contains(shard) && shard < last;
        let (lost, wanted) = std::mem::take(&mut self.wanted_parents).into_iter().partition(gone);
        self.wanted_parents = wanted;
        self.lost_parents.extend::<BTreeSet<ShardId>>(lost);
    }

    pub(super) fn next_listing(&self) -> Option<Tick> {
        self.next.filter(|_| self.scanned && self.listing.is_none())
    }
}

impl WorkerMachine {
    pub(super) fn advance_shards(&mut self, now: Tick) {
        for stream in self.streams.due(now) {
            let is_first = self.is_first(now, stream.as_ref());
            let Some(shards) = self.streams.get_mut(stream.as_ref()) else {
                continue;
            };
            let needed =
                shards.found_empty || !shards.missing.is_empty() || !shards.wanted_parents.is_empty() || is_first;
            if !needed {
                shards.next = Some(now + self.config.shard_sync_interval);
                continue;
            }
            let filter = if shards.found_empty {
                filter_for_empty_table(shards.initial)
            } else {
                ShardFilter::All
            };
            shards.listing = Some(filter);
            self.push(WorkerEffect::ListShards { stream, filter });
        }
    }

    pub(super) fn shards_listed(
        &mut self,
        now: Tick,
        stream: Option<StreamId>,
        result: Result<Vec<Shard>, FetchFailure>,
    ) {
        let stopping = self.stopping.is_some();
        let Some(shards) = self.streams.get_mut(stream.as_ref()) else {
            return;
        };
        let filter = shards.listing.take();
        if stopping {
            return;
        }
        match result {
            Ok(listed) => {
                shards.failures = 0;
                shards.ever_listed = true;
                shards.next = Some(now + self.config.shard_sync_interval);
                if filter == Some(ShardFilter::All) {
                    shards.settle_parents(&listed);
                    self.settle_missing(now, stream.as_ref(), &listed);
                }
                self.sync(now, stream.as_ref(), filter, &listed);
            }
            Err(FetchFailure {
                kind: FetchFailureKind::NotFound,
                message,
            }) => {
                self.lose_stream(now, stream, WorkerFailure::StreamNotFound { message });
            }
            Err(FetchFailure {
                kind: FetchFailureKind::Denied,
                message,
            }) if !shards.ever_listed && stream.is_none() => {
                self.stop(now, Some(WorkerFailure::AccessDenied { message }));
            }
            Err(failure) => self.listing_failed(now, stream, failure.message),
        }
    }

    fn listing_failed(&mut self, now: Tick, stream: Option<StreamId>, message: String) {
        let Some(shards) = self.streams.get_mut(stream.as_ref()) else {
            return;
        };
        shards.failures = shards.failures.saturating_add(1);
        let retry_in = self.config.service_backoff.wait(shards.failures, &mut self.rng);
        shards.next = Some(now + retry_in);
        self.event(WorkerEvent::ServiceTrouble {
            stream,
            message,
            retry_in,
        });
    }

    /// Adds the leases that are missing and removes those that are over.
    fn sync(&mut self, now: Tick, stream: Option<&StreamId>, filter: Option<ShardFilter>, listed: &[Shard]) {
        let leases: Vec<Lease> = self
            .table
            .values()
            .filter(|row| row.stream_id() == stream)
            .map(|row| Lease::clone(row))
            .collect();
        let for_empty = filter != Some(ShardFilter::All);
        let Some(shards) = self.streams.get_mut(stream) else {
            return;
        };
        if shards.found_empty != for_empty || leases.is_empty() != for_empty {
            // The listing answers another question: the table changed between empty and not while it was under way. Or
            // all rows of an old scan turned out to be gone; what there is now the next scan tells. To take that for an
            // empty table would begin again with shards that were handled and cleaned up.
            shards.next = Some(now + self.config.scan_interval);
            return;
        }
        let (initial, wanted) = (shards.initial, shards.wanted_parents.clone());
        if let Some(other) = contradiction(&leases, listed) {
            let (key, message) = (other.key.clone(), format!("the stream has another {}", other.shard));
            return self.lose_stream(now, stream.cloned(), WorkerFailure::StreamReplaced { key, message });
        }
        if !for_empty && let Some(stranger) = self.stranger(now, &leases, listed) {
            let (key, message) = (
                stranger.key.clone(),
                format!("{} is not among its shards", stranger.shard),
            );
            return self.lose_stream(now, stream.cloned(), WorkerFailure::StreamReplaced { key, message });
        }
        let input = SyncInput {
            shards: listed,
            leases: &leases,
            initial,
        };
        let awaited = plan_awaited_parents(&input, &wanted);
        match plan_shard_sync(&input) {
            Ok(plan) => self.create_leases(now, stream, plan.create),
            Err(error) => return self.listing_failed(now, stream.cloned(), error.to_string()),
        }
        if for_empty {
            return;
        }
        if !awaited.is_empty()
            && let Some(shards) = self.streams.get_mut(stream)
        {
            // These may only be the first of several generations.
            shards.next = Some(now + self.config.scan_interval);
        }
        self.create_leases(now, stream, awaited);
        if let Some(shards) = self.streams.get_mut(stream) {
            shards.forget_unlisted(listed);
        }
        if self.is_first(now, stream) {
            self.clean_up(now, &plan_cleanup(&leases, listed));
        }
    }

    fn create_leases(&mut self, now: Tick, stream: Option<&StreamId>, leases: Vec<Lease>) {
        for lease in leases {
            let lease = in_stream(lease, stream);
            let shards = self.streams.get(stream);
            let was_read = shards.is_none_or(|shards| shards.finished.contains(&lease.shard));
            if self.may_create(&lease.key) && !was_read {
                self.send_create(now, OpKind::Create, lease);
            }
        }
    }

    fn clean_up(&mut self, now: Tick, over: &[LeaseKey]) {
        for key in over {
            let Some(row) = self.table.get(key).filter(|_| !self.busy.contains(key)).cloned() else {
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

    /// A lease that nobody takes because its parents are not finished, and whose shard is younger than all that are listed.
    /// The parents are then shards of another stream that happen to have the same ids, and it would wait for ever. A
    /// listing may be old, but not as old as this row.
    fn stranger<'a>(&self, now: Tick, leases: &'a [Lease], listed: &[Shard]) -> Option<&'a Lease> {
        let last = listed.iter().map(|shard| &shard.id).max()?;
        let rested = |lease: &Lease| self.watch.unchanged_for(now, lease) >= Some(CLEANUP_DELAY);
        leases
            .iter()
            .find(|lease| !lease.is_finished() && lease.holder().is_none() && lease.shard > *last && rested(lease))
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
    pub(super) fn creation_ended(&mut self, now: Tick, key: &LeaseKey, failed: bool) {
        let stream = self.streams.of_key(key);
        if let Some(shards) = self.streams.get_mut(stream.as_ref()) {
            if failed {
                shards.creation_failures = shards.creation_failures.saturating_add(1);
                let wait = self
                    .config
                    .service_backoff
                    .wait(shards.creation_failures, &mut self.rng);
                shards.next = Some(now + wait);
            } else {
                shards.creation_failures = 0;
            }
        }
        let creating = self.ops.values().any(|op| op.kind == OpKind::Create);
        if !creating {
            self.next_scan = now;
        }
    }

    /// A consumer was told that its shard, or the stream, does not exist. The listing tells which.
    pub(super) fn check_missing(&mut self, now: Tick, tenure: TenureId) {
        let Some(lease) = self.tenures.get(&tenure).map(|tenure| tenure.lease.clone()) else {
            return;
        };
        if let Some(shards) = self.streams.get_mut(lease.stream_id()) {
            shards.missing.insert(tenure);
            if shards.failures == 0 {
                shards.next = Some(now);
            }
        }
    }

    fn settle_missing(&mut self, now: Tick, stream: Option<&StreamId>, shards: &[Shard]) {
        let missing = self
            .streams
            .get_mut(stream)
            .map(|shards| std::mem::take(&mut shards.missing));
        for id in missing.into_iter().flatten() {
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
                return self.lose_stream(now, stream.cloned(), WorkerFailure::StreamReplaced { key, message });
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

pub(super) fn in_stream(lease: Lease, stream: Option<&StreamId>) -> Lease {
    match stream {
        Some(stream) => lease.in_stream(stream.clone()),
        None => lease,
    }
}
