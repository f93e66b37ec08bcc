//! What goes into a peer and what comes out of it.

use kcl_core::{
    Batch, LeaseKey, Position, Shard, ShardId, WorkerId,
    fetch::{Fetch, FetchFailure},
};

use crate::servers::{TableAnswer, TableRequest};

/// One consumer of a peer, from when it got the lease until it lost it.
pub(crate) type ReaderId = u64;

/// What happens to a peer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most are of the large kind, and none is kept")]
pub(crate) enum Input {
    /// The time that it asked to be woken at.
    Wake,
    /// It is to stop.
    Shutdown,
    /// A request to the table was answered; `None` if it was refused or nothing came back.
    Table { op: u64, answer: Option<TableAnswer> },
    /// The shards that there were at the trim horizon.
    Shards(Option<Vec<Shard>>),
    /// A reader was placed.
    Opened {
        reader: ReaderId,
        result: Result<String, FetchFailure>,
    },
    /// A reader got records, and the next iterator.
    Fetched {
        reader: ReaderId,
        result: Result<(Fetch, Option<String>), FetchFailure>,
    },
    /// The application handled what it was given.
    Handled { reader: ReaderId },
}

/// What a peer does.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most are of the large kind, and none is kept")]
pub(crate) enum Effect {
    /// Asks the table.
    Ask { op: u64, request: TableRequest },
    /// Lists the shards at the trim horizon.
    ListShards,
    /// A consumer begins to read behind `start`.
    Begin {
        reader: ReaderId,
        shard: ShardId,
        start: Position,
    },
    /// Wants an iterator.
    Open { reader: ReaderId, position: Position },
    /// Wants records.
    Fetch { reader: ReaderId, iterator: String },
    /// Gives records to the application.
    Handle { reader: ReaderId, batch: Batch },
    /// A consumer is over.
    End { reader: ReaderId },
    /// Something worth a line.
    Note(String),
    /// The process ends.
    Exit,
}

/// What a request to the table was for.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Whether the application is new, and which rows are mine from before.
    Start,
    /// Fills an empty table.
    Fill,
    /// What the taker of 2.x plans from.
    Survey,
    Take,
    /// Rows that were given to me.
    Discover,
    Found,
    /// A row of mine from before, renewed before it is mine again.
    Adopt,
    /// What is written for a held lease; see `Write`.
    Held(LeaseKey, Write),
    /// A row that a consumer wants to know of: a parent, or a child.
    About(LeaseKey, LeaseKey),
    CreateChild(LeaseKey),
    /// The leader's look at the leases, then at the workers.
    Lead,
    LeadWorkers,
    /// An order of the leader's.
    Order,
    LookAtLock,
    /// The lock as it will be, if the request is granted.
    Lock,
    Release,
    Publish,
    Cleanup(LeaseKey),
}

/// A write on the row of a held lease; one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    Renew,
    Checkpoint(Position),
    Follow,
    /// Passes the lease on.
    PassOn(WorkerId),
}
