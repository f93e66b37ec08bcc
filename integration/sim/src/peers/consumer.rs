//! How a peer reads a shard: parents first, records in order, checkpoints from time to time, children at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kcl_core::{
    Batch, ChildShard, Lease, LeaseKey, Position, SequenceNumber, ShardId, Tick,
    fetch::{Fetch, FetchFailure, FetchFailureKind},
};

use super::io::ReaderId;

/// Between two looks at parents that are not done.
const PARENTS_EVERY: Duration = Duration::from_secs(10);
/// After a read that failed.
const AGAIN: Duration = Duration::from_millis(1_500);
/// Between two reads while there is more.
const BEHIND: Duration = Duration::from_millis(500);
/// A finished lease is kept for so long, and then looked at so often.
const KEPT: Duration = Duration::from_secs(300);
const CLEAN_EVERY: Duration = Duration::from_secs(60);

/// What a consumer does, or waits for.
#[derive(Debug)]
pub(super) enum Phase {
    /// Looks at its parents then.
    Blocked(Tick),
    /// Reads its place then.
    Placing(Tick),
    Opening,
    /// Reads on then.
    Reading(Tick),
    Fetching,
    Handling,
    /// Everything is handled; the children are next, then.
    Ending(Tick),
    /// The last checkpoint is to be written.
    Closing,
    /// The lease is finished, and kept until then.
    Finished(Tick),
    /// Rows of others are being read.
    Asking(Question),
}

/// Why a consumer reads the rows of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether its parents are done.
    MayBegin,
    /// Whether the other parent of a merged shard has a lease.
    HasBothParents,
    /// Whether the finished lease may go.
    MayGo,
}

/// What a consumer wants done.
#[derive(Debug)]
pub(super) enum Step {
    Ask(Vec<LeaseKey>),
    Begin(Position),
    Open(Position),
    Fetch(String),
    Handle(Batch),
    /// Commit the position, when convenient.
    Checkpoint(Position),
    /// Create the leases of these shards.
    Create(Vec<ChildShard>),
    /// Give the lease up: its table is not as it should be.
    GiveUp,
    /// The finished lease may be deleted.
    Remove,
}

/// The consumer of one lease, for as long as the peer has the lease.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) reader: ReaderId,
    pub(super) phase: Phase,
    parents: Vec<ShardId>,
    start: Position,
    iterator: Option<String>,
    /// The last record that was given to the application.
    last: Option<SequenceNumber>,
    pub(super) handled: Option<Position>,
    /// Whether the shard is over with the batch that is being handled.
    ended: Option<Vec<ChildShard>>,
    pub(super) children: Vec<ShardId>,
    /// The children that have a lease.
    followed: BTreeSet<LeaseKey>,
    asked: BTreeMap<LeaseKey, Option<Option<Lease>>>,
    idle: Duration,
}

impl Consumer {
    pub(super) fn new(reader: ReaderId, lease: &Lease, now: Tick, idle: Duration) -> Self {
        let phase = if lease.is_finished() {
            Phase::Finished(now + KEPT)
        } else {
            Phase::Blocked(now)
        };
        Self {
            reader,
            phase,
            parents: lease.parents.clone(),
            start: lease.checkpoint.clone(),
            iterator: None,
            last: lease.checkpoint.record().map(|record| record.sequence_number.clone()),
            handled: None,
            ended: None,
            children: lease.children.clone(),
            followed: BTreeSet::new(),
            asked: BTreeMap::new(),
            idle,
        }
    }

    /// Whether it reads, or would if it could.
    pub(super) fn reads(&self) -> bool {
        !matches!(self.phase, Phase::Finished(_) | Phase::Asking(Question::MayGo))
    }

    /// Whether nothing of it is half done: what it handled can be committed, and the lease passed on.
    pub(super) fn is_at_rest(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Handling | Phase::Ending(_) | Phase::Closing | Phase::Asking(Question::HasBothParents)
        )
    }

    pub(super) fn next_deadline(&self) -> Option<Tick> {
        match self.phase {
            Phase::Blocked(at) | Phase::Placing(at) | Phase::Reading(at) | Phase::Ending(at) | Phase::Finished(at) => {
                Some(at)
            }
            _ => None,
        }
    }

    /// Does what is due. `stopping`: begins nothing new.
    pub(super) fn advance(&mut self, now: Tick, stopping: bool) -> Option<Step> {
        if self.next_deadline().is_none_or(|at| at > now) {
            return None;
        }
        if stopping && !matches!(self.phase, Phase::Ending(_)) {
            return None;
        }
        match self.phase {
            Phase::Blocked(_) if self.parents.is_empty() => {
                self.phase = Phase::Placing(now);
                Some(Step::Begin(self.start.clone()))
            }
            Phase::Blocked(_) => Some(self.ask(Question::MayBegin, &self.parents.clone())),
            Phase::Placing(_) => {
                self.phase = Phase::Opening;
                let after = self.last.clone().map(Position::after);
                Some(Step::Open(after.unwrap_or_else(|| self.start.clone())))
            }
            Phase::Reading(_) => {
                self.phase = Phase::Fetching;
                self.iterator.clone().map(Step::Fetch)
            }
            Phase::Ending(_) => Some(self.end(now)),
            Phase::Finished(_) => {
                let about: Vec<ShardId> = self.children.iter().chain(&self.parents).cloned().collect();
                Some(self.ask(Question::MayGo, &about))
            }
            _ => None,
        }
    }

    fn ask(&mut self, question: Question, shards: &[ShardId]) -> Step {
        self.phase = Phase::Asking(question);
        let keys: Vec<LeaseKey> = shards.iter().map(LeaseKey::of_shard).collect();
        self.asked = keys.iter().map(|key| (key.clone(), None)).collect();
        Step::Ask(keys)
    }

    /// A merged shard gets its lease when both of its parents have one, or neither.
    fn end(&mut self, now: Tick) -> Step {
        let children = self.ended.clone().unwrap_or_default();
        self.children = children.iter().map(|child| child.id.clone()).collect();
        if let [merged] = children.as_slice()
            && merged.parents.len() == 2
        {
            return self.ask(Question::HasBothParents, &merged.parents);
        }
        self.phase = Phase::Ending(now + AGAIN);
        Step::Create(children)
    }

    /// A row that was asked for; `None` if it could not be read. `luck` decides where chance does.
    pub(super) fn read(&mut self, now: Tick, key: &LeaseKey, row: Option<Option<Lease>>, luck: u8) -> Option<Step> {
        let Phase::Asking(question) = self.phase else {
            return None;
        };
        let failed = row.is_none();
        if let (Some(slot), Some(row)) = (self.asked.get_mut(key), row) {
            *slot = Some(row);
        }
        let rows: Option<Vec<Option<&Lease>>> = self
            .asked
            .values()
            .map(|row| row.as_ref().map(Option::as_ref))
            .collect();
        let Some(rows) = rows.filter(|_| !failed) else {
            if failed {
                self.phase = match question {
                    Question::MayBegin => Phase::Blocked(now + PARENTS_EVERY),
                    Question::HasBothParents => Phase::Ending(now + AGAIN),
                    Question::MayGo => Phase::Finished(now + CLEAN_EVERY),
                };
            }
            return None;
        };
        match question {
            Question::MayBegin if rows.iter().flatten().all(|parent| parent.is_finished()) => {
                self.phase = Phase::Placing(now);
                Some(Step::Begin(self.start.clone()))
            }
            Question::MayBegin => {
                self.phase = Phase::Blocked(now + PARENTS_EVERY);
                None
            }
            Question::HasBothParents => {
                let leased = rows.iter().flatten().count();
                let both = leased == 2 || leased == 0;
                // Where that does not come about, the lease is given up now and then.
                let gives_up = !both && luck.is_multiple_of(30);
                self.phase = Phase::Ending(now + if both { AGAIN } else { AGAIN * 4 });
                let children = self.ended.clone().unwrap_or_default();
                match (both, gives_up) {
                    (true, _) => Some(Step::Create(children)),
                    (false, true) => Some(Step::GiveUp),
                    (false, false) => None,
                }
            }
            Question::MayGo => {
                let row = |shard: &ShardId| self.asked.get(shard.as_str()).and_then(|row| row.as_ref()?.as_ref());
                let begun = |child: &ShardId| row(child).is_some_and(|child| child.checkpoint != Position::TrimHorizon);
                let first = !self.parents.iter().any(|parent| row(parent).is_some());
                let goes = first && !self.children.is_empty() && self.children.iter().all(begun);
                self.phase = Phase::Finished(now + CLEAN_EVERY);
                goes.then_some(Step::Remove)
            }
        }
    }

    pub(super) fn opened(&mut self, now: Tick, result: Result<String, FetchFailure>) {
        self.phase = match result {
            Ok(iterator) => {
                self.iterator = Some(iterator);
                Phase::Reading(now)
            }
            Err(_) => Phase::Placing(now + AGAIN),
        };
    }

    pub(super) fn fetched(&mut self, now: Tick, result: Result<(Fetch, Option<String>), FetchFailure>) -> Option<Step> {
        let (fetch, next) = match result {
            Ok(answer) => answer,
            Err(failure) => {
                let lost = matches!(
                    failure.kind,
                    FetchFailureKind::Expired | FetchFailureKind::InvalidPosition
                );
                let at = now + AGAIN;
                self.phase = if lost { Phase::Placing(at) } else { Phase::Reading(at) };
                return None;
            }
        };
        // It begins at the last record, not behind it.
        let old = |number: &SequenceNumber| self.last.as_ref().is_some_and(|last| number <= last);
        let skip = fetch
            .batch
            .iter()
            .take_while(|record| old(&record.sequence_number))
            .count();
        let batch = fetch.batch.split_at(skip).1;
        let ends = fetch.end.filter(|children| !children.is_empty());
        // An end without children is none: it reads again from where it is.
        let broken = next.is_none() && ends.is_none();
        self.iterator = next;
        self.ended = ends;
        if let Some(last) = batch.iter().last() {
            self.last = Some(last.sequence_number.clone());
            self.phase = Phase::Handling;
            return Some(Step::Handle(batch));
        }
        self.phase = match (&self.ended, broken) {
            (Some(_), _) => Phase::Ending(now),
            (None, true) => Phase::Placing(now + AGAIN),
            (None, false) => Phase::Reading(now + self.idle),
        };
        None
    }

    /// The application handled its batch. It commits when it feels like it (`commits`).
    pub(super) fn handled(&mut self, now: Tick, commits: bool) -> Option<Step> {
        let last = self.last.clone()?;
        self.handled = Some(Position::after(last));
        self.phase = match (&self.ended, &self.iterator) {
            (Some(_), _) => Phase::Ending(now),
            (None, Some(_)) => Phase::Reading(now + BEHIND),
            (None, None) => Phase::Placing(now + AGAIN),
        };
        self.handled.clone().filter(|_| commits).map(Step::Checkpoint)
    }

    /// A child has its lease. When all have, the end of the shard can be committed.
    pub(super) fn followed(&mut self, child: LeaseKey) -> Option<Step> {
        self.followed.insert(child);
        let all = self.children.iter().all(|child| self.followed.contains(child.as_str()));
        if !all || !matches!(self.phase, Phase::Ending(_)) {
            return None;
        }
        self.phase = Phase::Closing;
        Some(Step::Checkpoint(Position::ShardEnd))
    }

    /// A checkpoint is in the table.
    pub(super) fn committed(&mut self, now: Tick, position: &Position) {
        if *position == Position::ShardEnd {
            self.phase = Phase::Finished(now + KEPT);
            self.handled = None;
        }
        if self.handled.as_ref() == Some(position) {
            self.handled = None;
        }
    }
}
