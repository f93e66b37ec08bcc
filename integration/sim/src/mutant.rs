//! Bugs planted on purpose, between the machines and the world: each breaks one promise, and the simulation must see it.
//! None of this is in any crate that ships.

use std::fmt;

use std::sync::Arc;

use kcl_core::{Expect, Lease, LeaseListing, LeaseWrite, Position, Session, WorkerId, WriteOutcome, shard::Lanes};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// Progress is reported when records are delivered, not when they are handled. Breaks no-loss.
    ProgressOnDelivery,
    /// A failed call counts as a success. Breaks no-loss.
    SkipFailed,
    /// Where a checkpoint is not of this stream, reading begins with the oldest record. Breaks no-loss: the stream was
    /// made again, and its records go under the checkpoints of the one before.
    ReadAnew,
    /// The first record of a read is left out now and then. Breaks order.
    DropRecord,
    /// Parents look finished to workers. Breaks lineage.
    IgnoreParents,
    /// Writes are applied whatever the row has become. Breaks fenced.
    Unfenced,
    /// Now and then the first position is written again. Breaks monotonic.
    StaleCheckpoint,
    /// The counters of dead workers seem to move. Breaks single-owner: dead workers look alive.
    ImmortalWorkers,
    /// Consumers of lost leases are not told. Breaks single-owner.
    DeafConsumers,
    /// The last write of a tenure leaves the checkpoint out. Breaks bounded-replay.
    ForgetLastCheckpoint,
    /// Consumers are not started. Breaks visible: a lease is held and nothing says why nothing happens.
    SilentLease,
    /// Every scan is made ten times. Breaks frugal.
    Spendthrift,
    /// A renewal that is refused because Java took the lease counts as done. Breaks single-owner.
    KeepStolen,
    /// A finished lease that has an owner does not look finished, as Java leaves it. Breaks liveness: its children wait.
    OwnedIsOpen,
    /// A subscription that goes on where the last one ended begins with what comes next instead. Breaks no-loss.
    ForgetContinuation,
    /// Lanes do not look at partition keys: what comes next is handled next. Breaks order.
    ForgetKeys,
    /// A dead letter that was not kept counts as kept. Breaks no-loss.
    LoseLetters,
    /// Of a batch that is cut in two, the second half counts as handled. Breaks no-loss.
    ForgetRightHalf,
    /// A new consumer is not told which keys are in quarantine. Breaks quarantine.
    DeafToQuarantine,
    /// A call that could not be made counts as a try. Breaks given-up.
    CountNotCalled,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::ProgressOnDelivery,
        Self::SkipFailed,
        Self::ReadAnew,
        Self::DropRecord,
        Self::IgnoreParents,
        Self::Unfenced,
        Self::StaleCheckpoint,
        Self::ImmortalWorkers,
        Self::DeafConsumers,
        Self::ForgetLastCheckpoint,
        Self::SilentLease,
        Self::Spendthrift,
        Self::KeepStolen,
        Self::OwnedIsOpen,
        Self::ForgetContinuation,
        Self::ForgetKeys,
        Self::LoseLetters,
        Self::ForgetRightHalf,
        Self::DeafToQuarantine,
        Self::CountNotCalled,
    ];

    /// The promise that it breaks.
    #[must_use]
    pub const fn breaks(self) -> &'static str {
        match self {
            Self::ProgressOnDelivery
            | Self::SkipFailed
            | Self::ReadAnew
            | Self::ForgetContinuation
            | Self::LoseLetters
            | Self::ForgetRightHalf => "no-loss",
            Self::DeafToQuarantine => "quarantine",
            Self::CountNotCalled => "given-up",
            Self::DropRecord | Self::ForgetKeys => "order",
            Self::IgnoreParents => "lineage",
            Self::Unfenced => "fenced",
            Self::StaleCheckpoint => "monotonic",
            Self::ImmortalWorkers | Self::DeafConsumers | Self::KeepStolen => "single-owner",
            Self::OwnedIsOpen => "liveness",
            Self::ForgetLastCheckpoint => "bounded-replay",
            Self::SilentLease => "visible",
            Self::Spendthrift => "frugal",
        }
    }

    /// What a worker sees of a scan.
    pub(super) fn listing(self, listing: &mut LeaseListing, moment: u64, lives: impl Fn(&WorkerId) -> bool) {
        for lease in listing.leases.iter_mut().map(Arc::make_mut) {
            match self {
                Self::IgnoreParents => lease.parents.clear(),
                Self::ImmortalWorkers if lease.holder().is_some_and(|holder| !lives(holder)) => {
                    lease.counter = lease.counter.wrapping_add(moment);
                }
                Self::OwnedIsOpen if lease.is_finished() && lease.owner.is_some() => {
                    lease.checkpoint = Position::TrimHorizon;
                }
                _ => {}
            }
        }
    }

    /// The lanes that a shard gets.
    pub(super) fn lanes(self, lanes: Lanes) -> Lanes {
        match lanes {
            Lanes::Hashed(calls) | Lanes::PerKey { calls } if self == Self::ForgetKeys => Lanes::PerRecord { calls },
            lanes => lanes,
        }
    }

    /// What a write expects.
    pub(super) fn expect(self, expect: &mut Expect) {
        if self == Self::Unfenced {
            *expect = Expect::exists();
        }
    }

    /// What a worker hears of a write: the row, if it should believe that it was applied.
    pub(super) fn outcome(self, write: &LeaseWrite, session: Session, outcome: &WriteOutcome) -> Option<Lease> {
        let keeps = write.patch.increment_counter && write.patch.owner.is_none();
        let WriteOutcome::Conflict(Some(row)) = outcome else {
            return None;
        };
        let moved = write.expect.counter.is_some_and(|counter| counter != row.counter);
        // A row that moved and has an owner without a session was written by Java.
        let by_java = moved && row.owner.is_some() && row.session.is_none() && !row.is_finished();
        (self == Self::KeepStolen && keeps && by_java).then(|| {
            let mut mine = row.clone();
            mine.owner = write.expect.owner.clone().flatten();
            mine.checkpoint_owner = write.expect.checkpoint_owner.clone().flatten();
            mine.session = Some(session);
            mine.counter = write.expect.counter.unwrap_or_default();
            write.patch.apply(&mine)
        })
    }

    /// What a write commits.
    pub(super) fn commit(self, checkpoint: &mut Option<Position>, last: bool, now_and_then: bool) {
        if self == Self::ForgetLastCheckpoint && last && *checkpoint != Some(Position::ShardEnd) {
            *checkpoint = None;
        }
        if self == Self::StaleCheckpoint && now_and_then && matches!(checkpoint, Some(Position::Record(_))) {
            *checkpoint = Some(Position::TrimHorizon);
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
