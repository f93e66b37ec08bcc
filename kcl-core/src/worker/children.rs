//! The leases of the children of shards that end here: they must be there before their parents are finished.

use super::{TenureId, WorkerMachine, shards::in_stream, tenure::Stage, writes::OpKind};
use crate::{catalog::ChildShard, ids::ShardId, lease::Lease, sync::child_leases, time::Tick};

impl WorkerMachine {
    pub(super) fn advance_children(&mut self, now: Tick) {
        if self.streams.retry_children_at.is_some_and(|at| at <= now) {
            self.streams.retry_children_at = None;
            self.send_children(now);
        }
    }

    pub(super) fn create_children(&mut self, now: Tick, tenure: TenureId, children: &[ChildShard]) {
        let Some(parent) = self.tenures.get(&tenure).map(|tenure| tenure.lease.clone()) else {
            return;
        };
        for lease in child_leases(&parent.shard, children) {
            let lease = in_stream(lease, parent.stream_id());
            self.streams.children.insert(lease.key.clone(), lease);
        }
        self.send_children(now);
    }

    fn send_children(&mut self, now: Tick) {
        self.streams.children.retain(|key, _| {
            self.tenures
                .values()
                .any(|tenure| matches!(&tenure.stage, Stage::CreatingChildren { missing, .. } if missing.contains(key)))
        });
        let waiting: Vec<Lease> = self.streams.children.values().cloned().collect();
        for lease in waiting {
            if self.busy.contains(&lease.key) {
                // The row is being taken or added already; look again in a moment.
                self.child_failed(now);
            } else if let Some(parent) = self.parent_without_lease(&lease) {
                if let Some(shards) = self.streams.get_mut(lease.stream_id()) {
                    shards.want_parent(now, parent);
                }
                self.retry_children(now + self.config.scan_interval);
            } else {
                self.send_create(now, OpKind::CreateChild, lease);
            }
        }
    }

    /// Whether a shard's end waits for the lease of another one, which merges with it.
    pub(super) fn waits_for_other_parent(&self, id: TenureId) -> bool {
        let Some(Stage::CreatingChildren { missing, .. }) = self.tenures.get(&id).map(|tenure| &tenure.stage) else {
            return false;
        };
        let mut children = missing.iter().filter_map(|key| self.streams.children.get(key));
        children.any(|child| self.parent_without_lease(child).is_some())
    }

    /// The other parent of a merged shard, if it has no lease yet and was not handled. It gets one first, though it may not be its
    /// turn: workers of this crate would wait for it in any case, but those of Java KCL take a parent without a lease for one
    /// that was handled long ago, and read on. Whether such a worker shares the table, nobody can know who only sees who
    /// holds leases now.
    fn parent_without_lease(&self, child: &Lease) -> Option<ShardId> {
        if self.table.contains_key(&child.key) {
            return None;
        }
        let shards = self.streams.get(child.stream_id())?;
        let has_lease = |parent: &ShardId| {
            let key = child.key_of(parent);
            self.table.contains_key(&key) || self.unreadable.contains(key.as_str())
        };
        let mut parents = child.parents.iter();
        parents
            .find(|parent| !shards.is_over(parent) && !has_lease(parent))
            .cloned()
    }

    pub(super) fn child_failed(&mut self, now: Tick) {
        self.retry_children(now + self.config.service_backoff.initial);
    }

    fn retry_children(&mut self, at: Tick) {
        let already = &mut self.streams.retry_children_at;
        *already = Some(already.map_or(at, |already| already.min(at)));
    }
}
