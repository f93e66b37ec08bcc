//! Waiting for a state of the world, with a deadline that tells what the state is instead.

use std::{sync::Arc, time::Duration};

use kcl_broker::api::{GetRecords, GetShardIterator};
use kcl_core::{Lease, LeaseKey, Position, ShardId};

use tokio::sync::watch;

use super::{TestWorld, WorldReport, report::Observed, world::lock};

/// How often the world is looked at though no worker says that something changed.
const TICK: Duration = Duration::from_secs(1);

impl TestWorld {
    /// Waits until everything is done that there is to do, and gives the report that says so; see
    /// [`WorldReport::is_idle`].
    ///
    /// # Panics
    /// If that does not come true within the virtual deadline.
    pub async fn until_idle(&self) -> WorldReport {
        self.until("the world was idle", WorldReport::is_idle).await
    }

    /// Waits until the world is idle and everything that was handled is in the lease table, so that a crash now would
    /// replay nothing.
    ///
    /// # Panics
    /// If that does not come true within the virtual deadline.
    pub async fn until_checkpointed(&self) -> WorldReport {
        self.until("everything was checkpointed", WorldReport::is_checkpointed)
            .await
    }

    /// Waits until a report satisfies `condition`, and gives that report; `what` names it in the panic.
    ///
    /// # Panics
    /// If that does not come true within the virtual deadline.
    pub async fn until(&self, what: &str, mut condition: impl FnMut(&WorldReport) -> bool) -> WorldReport {
        let waited = async {
            loop {
                // Subscribed before looking, so that nothing is missed between.
                let members = lock(&self.inner.members).clone();
                let mut changes: Vec<_> = members.iter().map(|member| member.handle.changes.subscribe()).collect();
                let report = self.report().await;
                if condition(&report) {
                    return report;
                }
                // Either way the world is looked at again.
                let _ = tokio::time::timeout(TICK, any_change(&mut changes)).await;
            }
        };
        self.in_time(what, waited).await
    }

    /// How everything is.
    pub async fn report(&self) -> WorldReport {
        let members = lock(&self.inner.members).clone();
        let mut workers = Vec::with_capacity(members.len());
        for member in members {
            workers.push((member.id.clone(), member.state().await));
        }
        WorldReport::new(Observed {
            at: self.elapsed(),
            service: self.service().state(),
            table_is_out: self.table_faults().is_out(),
            workers,
            // A stream that was deleted has none.
            shards: self.list_shards().unwrap_or_default(),
            leases: self.leases().await,
            has_more: &|shard, handled| self.has_more(shard, handled),
        })
    }

    /// The rows of the lease table, as they are behind all faults.
    ///
    /// # Panics
    /// If the table cannot be read.
    pub async fn leases(&self) -> Vec<Lease> {
        match self.table().list().await {
            Ok(listing) => listing.leases.into_iter().map(Arc::unwrap_or_clone).collect(),
            Err(error) => panic!("the lease table cannot be read: {error}"),
        }
    }

    /// The row of a shard.
    ///
    /// # Panics
    /// If there is none.
    pub async fn lease(&self, shard: &ShardId) -> Lease {
        match self.table().get(&LeaseKey::of_shard(shard)).await {
            Ok(Some(lease)) => lease,
            Ok(None) => panic!("the lease table has no row for {shard}\n{}", self.report().await),
            Err(error) => panic!("the lease table cannot be read: {error}"),
        }
    }

    /// Waits for `future`, and shows the world if that takes longer than the virtual deadline.
    pub(super) async fn in_time<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let deadline = self.inner.deadline;
        match tokio::time::timeout(deadline, Box::pin(future)).await {
            Ok(value) => value,
            Err(_) => {
                let seconds = deadline.as_secs_f64();
                panic!(
                    "waited until {what}, and {seconds} s of virtual time were not enough\n{}",
                    self.report().await
                )
            }
        }
    }

    /// Whether the shard has records behind the position `handled`.
    fn has_more(&self, shard: &ShardId, handled: &Position) -> bool {
        let (stream, id) = (self.stream().as_str(), shard.as_str());
        let open = match handled {
            Position::TrimHorizon => GetShardIterator::trim_horizon(stream, id),
            Position::AtTimestamp(at) => GetShardIterator::at_timestamp(stream, id, *at),
            Position::Record(record) => GetShardIterator::after(stream, id, record.sequence_number.as_str()),
            _ => return false,
        };
        let broker = self.behind();
        let read = broker.call(open).and_then(|opened| {
            let mut request = GetRecords::new(opened.shard_iterator);
            request.limit = Some(1);
            broker.call(request)
        });
        // A position that the broker does not know says nothing about what was handled.
        read.map_or(true, |read| !read.records.is_empty())
    }
}

/// Waits until a worker says that something changed.
async fn any_change(changes: &mut [watch::Receiver<u64>]) {
    if changes.is_empty() {
        return std::future::pending().await;
    }
    // The world holds the senders' handles, so that none of them can be gone.
    let _ = futures::future::select_all(changes.iter_mut().map(|change| Box::pin(change.changed()))).await;
}
