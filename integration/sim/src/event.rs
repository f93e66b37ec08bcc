//! What happens in a world, and to whom.

use std::time::Duration;

use bytestring::ByteString;
use kcl_core::{
    WorkerId,
    shard::{CallId, ShardInput},
    worker::{TenureId, WorkerInput},
};

use crate::{
    delivery::Letter,
    peers::{self, ReaderId},
    servers::{TableAnswer, TableRequest},
};

/// What happens at a time.
#[derive(Debug)]
pub(super) enum Event {
    WakeWorker {
        node: usize,
    },
    WakeShard {
        node: usize,
        tenure: TenureId,
    },
    ToWorker {
        node: usize,
        input: WorkerInput,
    },
    ToShard {
        node: usize,
        tenure: TenureId,
        input: ShardInput,
    },
    /// A reader was placed, or gave records; the iterator is the next one.
    FromService {
        node: usize,
        tenure: TenureId,
        input: ShardInput,
        iterator: Option<String>,
        /// How often the reader had been dropped when it was asked.
        closes: u32,
    },
    /// A subscription began or gave something, or did not.
    FromSubscription {
        node: usize,
        tenure: TenureId,
        turn: u64,
        input: ShardInput,
    },
    /// A subscription may have something.
    Listen {
        node: usize,
        tenure: TenureId,
        turn: u64,
    },
    CallEnds {
        node: usize,
        tenure: TenureId,
        id: CallId,
    },
    ToPeer {
        node: usize,
        input: peers::Input,
    },
    /// A peer's application handled what it was given.
    PeerHandled {
        node: usize,
        reader: ReaderId,
    },
    /// A request reaches the table; its answer needs so long, if it comes at all.
    AtTable {
        node: usize,
        number: u64,
        request: TableRequest,
        answer_in: Option<Duration>,
    },
    Answer {
        node: usize,
        number: u64,
        answer: TableAnswer,
    },
    Refused {
        node: usize,
        number: u64,
    },
    TimedOut {
        node: usize,
        number: u64,
    },
    Produce,
    Operate,
    Fault(usize),
    FaultEnds(usize),
    Reshard,
    Recreate {
        shards: usize,
    },
    Recreated,
    ShardsChanged,
    Start {
        slot: usize,
        id: WorkerId,
    },
    Deploy {
        slot: usize,
    },
    Look,
    Quiet,
    CountRequests,
    /// A letter reaches the dead letters, and its sender hears of it.
    AtLetters(Box<Letter>),
    LetterAnswered(Box<Letter>),
    /// A consumer looks which keys are in quarantine, and learns it.
    LookAtLetters {
        node: usize,
        tenure: TenureId,
    },
    LookedAtLetters {
        node: usize,
        tenure: TenureId,
        keys: Option<Vec<ByteString>>,
    },
    /// An operator releases a key.
    Release,
}

impl Event {
    /// The process that it reaches, if it is one for a process.
    pub(super) fn node(&self) -> Option<usize> {
        match self {
            Self::WakeWorker { node }
            | Self::WakeShard { node, .. }
            | Self::ToWorker { node, .. }
            | Self::ToShard { node, .. }
            | Self::FromService { node, .. }
            | Self::FromSubscription { node, .. }
            | Self::Listen { node, .. }
            | Self::CallEnds { node, .. }
            | Self::ToPeer { node, .. }
            | Self::PeerHandled { node, .. }
            | Self::Answer { node, .. }
            | Self::Refused { node, .. }
            | Self::TimedOut { node, .. }
            | Self::LookAtLetters { node, .. }
            | Self::LookedAtLetters { node, .. } => Some(*node),
            Self::LetterAnswered(letter) => Some(letter.sender()),
            _ => None,
        }
    }
}
