//! A worker's process: its machines, its clock, and what the drivers of the runtime would do for them.

use std::{collections::BTreeMap, time::Duration};

use kcl_core::{
    Batch, Lease, LeaseKey, Session, ShardId, Tick, Timestamp, WorkerId,
    shard::{Call, CallId, ShardMachine},
    worker::{OpId, TenureId, WorkerMachine},
};

use crate::{
    delivery::Letterbox,
    fan_out::Subscribing,
    oracle::TenureLog,
    peers::{Peer, ReaderId},
    servers::TableRequest,
};

/// A monotonic clock that may run fast or slow, and a wall clock that is a little off.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeClock {
    since: Duration,
    tick: Duration,
    speed: f64,
    skew_ms: i64,
}

impl NodeClock {
    pub(super) fn new(now: Duration, speed: f64, skew_ms: i64) -> Self {
        Self {
            since: now,
            tick: Duration::ZERO,
            speed,
            skew_ms,
        }
    }

    pub(super) fn tick(&self, now: Duration) -> Tick {
        Tick::from_origin(self.tick + now.saturating_sub(self.since).mul_f64(self.speed))
    }

    /// When the clock will show `tick`; not before `now`.
    pub(super) fn when(&self, now: Duration, tick: Tick) -> Duration {
        let ahead = tick.since_origin().saturating_sub(self.tick);
        // A microsecond more, so that rounding never wakes a machine just before its time.
        (self.since + ahead.div_f64(self.speed) + Duration::from_micros(1)).max(now)
    }

    pub(super) fn wall(&self, now: Duration) -> Timestamp {
        let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_epoch_millis(crate::world::EPOCH_MS + millis + self.skew_ms)
    }

    pub(super) fn set_speed(&mut self, now: Duration, speed: f64) {
        self.tick = self.tick(now).since_origin();
        self.since = now;
        self.speed = speed;
    }
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// It stands still until then.
    Paused(Duration),
    /// It died or ended.
    Gone,
}

/// A consumer of a process.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) shard: ShardId,
    pub(super) machine: ShardMachine,
    pub(super) iterator: Option<(String, Duration)>,
    pub(super) subscribing: Subscribing,
    /// The calls to the user's code that run.
    pub(super) running: BTreeMap<CallId, Call>,
    /// How many records it said will be repeated.
    pub(super) repeats: usize,
    /// How often the last call waited for its checkpoint.
    pub(super) waits: u32,
    /// How often its reader was dropped: answers to requests from before are not awaited.
    pub(super) closes: u32,
    pub(super) log: TenureLog,
    /// Where deliveries have rules.
    pub(super) letterbox: Letterbox,
    pub(super) wake_at: Option<Duration>,
}

/// What thinks in a process.
#[derive(Debug)]
pub(super) enum Mind {
    Worker(Box<WorkerMachine>),
    Peer(Box<Peer>),
}

impl Mind {
    pub(super) fn worker(&self) -> Option<&WorkerMachine> {
        match self {
            Self::Worker(worker) => Some(worker),
            Self::Peer(_) => None,
        }
    }

    pub(super) fn peer(&self) -> Option<&Peer> {
        match self {
            Self::Peer(peer) => Some(peer),
            Self::Worker(_) => None,
        }
    }

    pub(super) fn worker_mut(&mut self) -> Option<&mut WorkerMachine> {
        match self {
            Self::Worker(worker) => Some(worker),
            Self::Peer(_) => None,
        }
    }

    pub(super) fn peer_mut(&mut self) -> Option<&mut Peer> {
        match self {
            Self::Peer(peer) => Some(peer),
            Self::Worker(_) => None,
        }
    }
}

/// What a peer reads with.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) shard: ShardId,
    pub(super) log: TenureLog,
    /// What the application has been given and has not handled.
    pub(super) batch: Option<Batch>,
    /// When its iterator was given out.
    pub(super) given: Duration,
}

/// A worker's process, for one life.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: WorkerId,
    pub(super) session: Session,
    pub(super) state: State,
    pub(super) clock: NodeClock,
    pub(super) mind: Mind,
    pub(super) wake_at: Option<Duration>,
    pub(super) consumers: BTreeMap<TenureId, Consumer>,
    /// The consumers of a peer.
    pub(super) readers: BTreeMap<ReaderId, Reader>,
    /// What was handled by tenures whose consumer has ended cleanly, until their last write.
    pub(super) drained: BTreeMap<ShardId, TenureLog>,
    /// Requests to the table that wait for an answer.
    pub(super) asked: BTreeMap<u64, Asked>,
    /// Whether it was told to stop.
    pub(super) stopping: bool,
    /// Whether another process runs under its id by design of the scenario.
    pub(super) has_twin: bool,
    /// Rows that a planted bug makes it believe in.
    pub(super) kept: BTreeMap<LeaseKey, Lease>,
    /// The slot of the fleet that it fills.
    pub(super) slot: usize,
}

/// A request to the table, as its sender remembers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) op: Option<OpId>,
    pub(super) kind: Ask,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    List,
    Read,
    Write,
    Coordinate,
    Publish,
    Withdraw,
}

impl Ask {
    pub(super) fn of(request: &TableRequest) -> Self {
        match request {
            TableRequest::List => Self::List,
            TableRequest::Get(_) => Self::Read,
            TableRequest::Coordinate => Self::Coordinate,
            TableRequest::Publish(_) => Self::Publish,
            TableRequest::Withdraw(_) => Self::Withdraw,
            TableRequest::Create(_) | TableRequest::Update(_) | TableRequest::Delete(..) | TableRequest::Lock(_) => {
                Self::Write
            }
        }
    }
}
