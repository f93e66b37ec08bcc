//! [`Lease`] and the writes on it as data: [`Expect`] names what must hold, [`Patch`] what changes.
//!
//! Stores apply both through [`Expect::holds`] and [`Patch::apply`], so that memory, SQLite and every other table behave
//! alike by construction. The operations that workers perform are built here, once: [`LeaseWrite`].

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{HashKeyRange, LeaseKey, Session, ShardId, WorkerId},
    sequence::{Position, SequenceNumber},
    stream::{LeaseStream, StreamId},
    time::Timestamp,
};

/// A prepared (two-phase) checkpoint: announced, not yet committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCheckpoint {
    /// The position that is about to be committed.
    pub position: Position,
    /// What the application wants back if somebody else has to finish the job.
    pub state: Option<Bytes>,
}

/// One row of the lease table: a shard, who reads it, and how far it has been handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lease {
    /// The row's key.
    pub key: LeaseKey,
    /// The shard that the lease is for.
    pub shard: ShardId,
    /// The stream that the shard is of, where the row says so: a worker of another stream leaves the row alone.
    pub stream: Option<LeaseStream>,
    /// Who holds the lease, or is about to: see [`Lease::holder`].
    pub owner: Option<WorkerId>,
    /// The life of the owner that took the lease, where the owner says so.
    pub session: Option<Session>,
    /// How long its owner may go without renewing it, in whole milliseconds, where the owner says so: others with less patience wait
    /// as long all the same, see [`Lease::patience`].
    pub failover_time: Option<Duration>,
    /// How many bytes a second of the shard's records were handled lately, where somebody measured it. Java's leader balances by it.
    pub throughput: Option<u64>,
    /// Grows with every write; a counter that stands still tells that its owner is gone.
    pub counter: u64,
    /// How far the shard has been handled.
    pub checkpoint: Position,
    /// A checkpoint that was prepared and not yet committed.
    pub pending_checkpoint: Option<PendingCheckpoint>,
    /// How often an operator moved the checkpoint to another place. A holder that finds another count than it knew drops what it
    /// was doing, and goes on at the checkpoint of the row.
    pub seeks: u64,
    /// Since when nobody is to read the shard, whoever holds the lease.
    pub paused: Option<Timestamp>,
    /// How often the lease changed hands since the last checkpoint.
    pub owner_switches_since_checkpoint: u64,
    /// While a hand-off is under way: the worker that still reads the shard, and passes it on to `owner` when done.
    pub checkpoint_owner: Option<WorkerId>,
    /// The shards that were split or merged into this one.
    pub parents: Vec<ShardId>,
    /// The shards that this one was split or merged into, once its end was reached.
    pub children: Vec<ShardId>,
    /// The hash keys that the shard serves, where known.
    pub hash_key_range: Option<HashKeyRange>,
    /// The sequence number at which the shard begins, where the row says so: one of those with which an application begins does. A
    /// shard that begins elsewhere is one of another stream, however much it looks the same.
    pub shard_start: Option<SequenceNumber>,
}

impl Lease {
    /// The longest failover time that an observer believes: what somebody wrote into a row must not keep a shard unread for ever.
    pub const LONGEST_FAILOVER_TIME: Duration = Duration::from_secs(3600);

    /// A lease for `shard` that nobody holds.
    #[must_use]
    pub fn new(shard: ShardId, checkpoint: Position) -> Self {
        Self {
            key: LeaseKey::of_shard(&shard),
            shard,
            stream: None,
            owner: None,
            session: None,
            failover_time: None,
            throughput: None,
            counter: 0,
            checkpoint,
            pending_checkpoint: None,
            seeks: 0,
            paused: None,
            owner_switches_since_checkpoint: 0,
            checkpoint_owner: None,
            parents: Vec::new(),
            children: Vec::new(),
            hash_key_range: None,
            shard_start: None,
        }
    }

    /// The same lease, with the shards it descends from.
    #[must_use]
    pub fn with_parents(mut self, parents: impl IntoIterator<Item = ShardId>) -> Self {
        self.parents = parents.into_iter().collect();
        self
    }

    /// The same lease, with the hash keys that its shard serves.
    #[must_use]
    pub fn with_hash_key_range(mut self, range: HashKeyRange) -> Self {
        self.hash_key_range = Some(range);
        self
    }

    /// The same lease, of an application that reads several streams: its key names the stream.
    #[must_use]
    pub fn in_stream(mut self, stream: StreamId) -> Self {
        self.key = stream.key_of(&self.shard);
        self.stream = Some(LeaseStream::OfSeveral(stream));
        self
    }

    /// The stream, if the application reads several.
    #[must_use]
    pub fn stream_id(&self) -> Option<&StreamId> {
        match &self.stream {
            Some(LeaseStream::OfSeveral(stream)) => Some(stream),
            Some(LeaseStream::One(_)) | None => None,
        }
    }

    /// The key of the lease of another shard of the same stream.
    #[must_use]
    pub fn key_of(&self, shard: &ShardId) -> LeaseKey {
        self.stream_id()
            .map_or_else(|| LeaseKey::of_shard(shard), |stream| stream.key_of(shard))
    }

    /// The worker that reads the shard now: during a hand-off still the old owner.
    #[must_use]
    pub fn holder(&self) -> Option<&WorkerId> {
        self.checkpoint_owner.as_ref().or(self.owner.as_ref())
    }

    /// How long an observer that takes holders for gone after `failover_time` waits for the holder of this lease: if that is
    /// less often than its holder renews, as often as its holder renews. Workers whose settings differ would else take each
    /// other's leases for ever.
    #[must_use]
    pub fn patience(&self, failover_time: Duration) -> Duration {
        let promised = self.failover_time.filter(|_| self.session.is_some());
        promised
            .unwrap_or_default()
            .min(Self::LONGEST_FAILOVER_TIME)
            .max(failover_time)
    }

    /// Whether the shard has been handled to its end, so that nobody needs to hold the lease.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.checkpoint == Position::ShardEnd
    }

    /// Whether a hand-off from one worker to another is under way.
    #[must_use]
    pub fn is_in_hand_off(&self) -> bool {
        self.checkpoint_owner.is_some()
    }
}

/// What must hold for a write to be applied. `None` means that it does not matter.
///
/// Every condition includes that the row exists; rows come into being by creation only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// The counter is this.
    pub counter: Option<u64>,
    /// The owner is this one, or nobody.
    pub owner: Option<Option<WorkerId>>,
    /// The checkpoint owner is this one, or nobody.
    pub checkpoint_owner: Option<Option<WorkerId>>,
}

impl Expect {
    /// Nothing but that the row exists.
    #[must_use]
    pub fn exists() -> Self {
        Self::default()
    }

    /// That nobody wrote the row since it was read as `lease`.
    #[must_use]
    pub fn unchanged(lease: &Lease) -> Self {
        Self {
            counter: Some(lease.counter),
            owner: Some(lease.owner.clone()),
            checkpoint_owner: Some(lease.checkpoint_owner.clone()),
        }
    }

    /// Whether the expectation holds for the stored row; never for a row that does not exist.
    #[must_use]
    pub fn holds(&self, stored: Option<&Lease>) -> bool {
        stored.is_some_and(|lease| {
            self.counter.is_none_or(|counter| counter == lease.counter)
                && self.owner.as_ref().is_none_or(|owner| *owner == lease.owner)
                && self
                    .checkpoint_owner
                    .as_ref()
                    .is_none_or(|owner| *owner == lease.checkpoint_owner)
        })
    }
}

/// What happens to [`Lease::owner_switches_since_checkpoint`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SwitchCount {
    /// It stays.
    #[default]
    Keep,
    /// It grows by one.
    Increment,
    /// It starts again from zero.
    Reset,
}

/// What a write changes. `None` leaves the attribute as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Whether the counter grows by one.
    pub increment_counter: bool,
    /// The new owner, or nobody.
    pub owner: Option<Option<WorkerId>>,
    /// The new owner's session, or none; then nothing says any longer how long the owner may go without renewal.
    pub session: Option<Option<Session>>,
    /// How long the new owner may go without renewal.
    pub failover_time: Option<Duration>,
    /// How many bytes a second are handled.
    pub throughput: Option<u64>,
    /// The new checkpoint.
    pub checkpoint: Option<Position>,
    /// The new pending checkpoint, or none.
    pub pending_checkpoint: Option<Option<PendingCheckpoint>>,
    /// How often an operator has moved the checkpoint by now.
    pub seeks: Option<u64>,
    /// Since when nobody is to read the shard, or no more.
    pub paused: Option<Option<Timestamp>>,
    /// The new checkpoint owner, or none.
    pub checkpoint_owner: Option<Option<WorkerId>>,
    /// What happens to the count of owner switches.
    pub owner_switches: SwitchCount,
    /// The shards that this one was split or merged into.
    pub children: Option<Vec<ShardId>>,
    /// The hash keys that the shard serves.
    pub hash_key_range: Option<HashKeyRange>,
}

impl Patch {
    /// A patch that only moves the counter: a renewal.
    #[must_use]
    pub fn renewal() -> Self {
        Self {
            increment_counter: true,
            ..Self::default()
        }
    }

    /// The same patch, which also commits `position`: a checkpoint rides on whatever is written anyway.
    #[must_use]
    pub fn with_checkpoint(mut self, position: Position) -> Self {
        self.checkpoint = Some(position);
        self.pending_checkpoint = Some(None);
        self.owner_switches = SwitchCount::Reset;
        self
    }

    /// The row after the write.
    #[must_use]
    pub fn apply(&self, stored: &Lease) -> Lease {
        let mut lease = stored.clone();
        if self.increment_counter {
            lease.counter = lease.counter.wrapping_add(1);
        }
        if let Some(owner) = &self.owner {
            lease.owner.clone_from(owner);
        }
        if let Some(session) = self.session {
            lease.session = session;
            lease.failover_time = lease.failover_time.filter(|_| session.is_some());
        }
        lease.failover_time = self.failover_time.or(lease.failover_time);
        lease.throughput = self.throughput.or(lease.throughput);
        if let Some(checkpoint) = &self.checkpoint {
            lease.checkpoint = checkpoint.clone();
        }
        if let Some(pending) = &self.pending_checkpoint {
            lease.pending_checkpoint.clone_from(pending);
        }
        lease.seeks = self.seeks.unwrap_or(lease.seeks);
        lease.paused = self.paused.unwrap_or(lease.paused);
        if let Some(owner) = &self.checkpoint_owner {
            lease.checkpoint_owner.clone_from(owner);
        }
        match self.owner_switches {
            SwitchCount::Keep => {}
            SwitchCount::Increment => {
                lease.owner_switches_since_checkpoint = lease.owner_switches_since_checkpoint.saturating_add(1);
            }
            SwitchCount::Reset => lease.owner_switches_since_checkpoint = 0,
        }
        if let Some(children) = &self.children {
            lease.children.clone_from(children);
        }
        if self.hash_key_range.is_some() {
            lease.hash_key_range = self.hash_key_range;
        }
        lease
    }
}

/// A conditional write on one row, as the operations of a worker build it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseWrite {
    /// The row.
    pub key: LeaseKey,
    /// What must hold.
    pub expect: Expect,
    /// What changes.
    pub patch: Patch,
}

impl LeaseWrite {
    fn on(lease: &Lease, patch: Patch) -> Self {
        Self {
            key: lease.key.clone(),
            expect: Expect::unchanged(lease),
            patch,
        }
    }

    /// Keeps a lease that is held, committing `checkpoint` on the way if there is one to commit.
    #[must_use]
    pub fn renew(lease: &Lease, checkpoint: Option<Position>) -> Self {
        let patch = Patch::renewal();
        Self::on(lease, checkpoint.into_iter().fold(patch, Patch::with_checkpoint))
    }

    /// The same write, which also notes `pending` as about to be committed.
    #[must_use]
    pub fn preparing(mut self, pending: PendingCheckpoint) -> Self {
        self.patch.pending_checkpoint = Some(Some(pending));
        self
    }

    /// Makes `worker` the holder of a lease that nobody holds, whose holder is gone, or that was passed on to it.
    #[must_use]
    pub fn take(lease: &Lease, worker: &WorkerId, session: Session) -> Self {
        let switched = lease.owner.as_ref() != Some(worker) || lease.is_in_hand_off();
        let patch = Patch {
            owner: Some(Some(worker.clone())),
            session: Some(Some(session)),
            checkpoint_owner: Some(None),
            owner_switches: if switched {
                SwitchCount::Increment
            } else {
                SwitchCount::Keep
            },
            ..Patch::renewal()
        };
        Self::on(lease, patch)
    }

    /// The same write, by which the new owner also says how long it may go without renewal.
    #[must_use]
    pub fn with_failover_time(mut self, time: Duration) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.patch.failover_time = Some(Duration::from_millis(millis));
        self
    }

    /// Asks the holder to finish what it is doing and pass the lease on to `worker`. The counter stays: the holder is
    /// still the one whose renewals tell that it lives.
    #[must_use]
    pub fn request_hand_off(lease: &Lease, worker: &WorkerId) -> Self {
        let patch = Patch {
            owner: Some(Some(worker.clone())),
            checkpoint_owner: Some(lease.holder().cloned()),
            ..Patch::default()
        };
        Self::on(lease, patch)
    }

    /// Asks the holder to finish what it is doing and give the lease back, to whoever takes it then: a hand-off that names
    /// nobody else. Whoever reads the shard goes on to be its only reader until it is done.
    #[must_use]
    pub fn ask_back(lease: &Lease) -> Self {
        let patch = Patch {
            owner: Some(lease.holder().cloned()),
            checkpoint_owner: Some(lease.holder().cloned()),
            ..Patch::default()
        };
        Self::on(lease, patch)
    }

    /// Takes back a request for a hand-off: its holder keeps the lease.
    #[must_use]
    pub fn cancel_hand_off(lease: &Lease) -> Self {
        // The counter moves, so that the holder tells this row from the one with the request.
        let patch = Patch {
            owner: Some(lease.checkpoint_owner.clone()),
            checkpoint_owner: Some(None),
            ..Patch::renewal()
        };
        Self::on(lease, patch)
    }

    /// Ends a hand-off on the giving side: the owner that the row names may start, from `checkpoint` if there is one to commit.
    #[must_use]
    pub fn finish_hand_off(lease: &Lease, checkpoint: Option<Position>) -> Self {
        let patch = checkpoint.into_iter().fold(Patch::renewal(), Patch::with_checkpoint);
        let patch = Patch {
            session: Some(None),
            checkpoint_owner: Some(None),
            owner_switches: SwitchCount::Increment,
            ..patch
        };
        Self::on(lease, patch)
    }

    /// Gives a lease back so that others take it at once, committing `checkpoint` on the way.
    #[must_use]
    pub fn release(lease: &Lease, checkpoint: Option<Position>) -> Self {
        let patch = checkpoint.into_iter().fold(Patch::renewal(), Patch::with_checkpoint);
        Self::on(
            lease,
            Patch {
                owner: Some(None),
                session: Some(None),
                checkpoint_owner: Some(None),
                ..patch
            },
        )
    }

    /// Moves the checkpoint to another place, wherever it is now, and leaves the lease to whom it belongs. The count tells its
    /// holder that this was no write of its own: see [`Lease::seeks`].
    #[must_use]
    pub fn seek(lease: &Lease, to: Position) -> Self {
        let patch = Patch {
            seeks: Some(lease.seeks.wrapping_add(1)),
            ..Patch::renewal().with_checkpoint(to)
        };
        Self::on(lease, patch)
    }

    /// Has nobody read the shard any more, as of `since`, or has it read again. Whoever holds the lease goes on to hold it.
    #[must_use]
    pub fn pause(lease: &Lease, since: Option<Timestamp>) -> Self {
        // The counter moves, so that the holder's next write finds out.
        let patch = Patch {
            paused: Some(since),
            ..Patch::renewal()
        };
        Self::on(lease, patch)
    }

    /// Ends the shard: everything is handled, `children` follow, nobody needs to hold the lease any longer.
    #[must_use]
    pub fn finish_shard(lease: &Lease, mut children: Vec<ShardId>) -> Self {
        // Tables keep them as a set, so only in one order are the row that was written and the row that is read equal.
        children.sort_unstable();
        let patch = Patch {
            owner: Some(None),
            session: Some(None),
            checkpoint_owner: Some(None),
            children: Some(children),
            ..Patch::renewal().with_checkpoint(Position::ShardEnd)
        };
        Self::on(lease, patch)
    }
}
