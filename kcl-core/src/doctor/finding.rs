//! What can be wrong, in words, and what to do about it.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    coordination::ClientVersion,
    ids::{HashKeyRange, LeaseKey, Session, ShardId, StreamName, WorkerId},
    sequence::Position,
    stream::StreamId,
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Good to know.
    Note,
    /// It may be on its way to be mended, or be no harm; look again.
    Warning,
    /// Records are not read, or something will not mend itself.
    Error,
}

impl Severity {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub problem: Problem,
    /// Which stream it is about, where the application reads several and it is about one.
    pub stream: Option<StreamId>,
    /// Whether no stale read and no change under way can have produced it. Otherwise only one look showed it.
    pub confirmed: bool,
}

/// Why nobody reads a parent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BlockedBy {
    /// Nobody holds its lease.
    Free,
    /// Its holder does not renew.
    Silent(WorkerId),
    /// It has no lease.
    Absent,
    /// Its row cannot be read.
    Unreadable,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The table holds nothing.
    NoLeases,
    /// A row is no lease.
    Unreadable {
        /// Its key.
        key: String,
        /// Why it cannot be read.
        reason: String,
    },
    /// Leases of a stream that is not the application's.
    OtherStream {
        /// The application's stream.
        stream: StreamName,
        /// Whether that was told; otherwise it is the one that most rows name.
        is_told: bool,
        /// The other one.
        other: StreamName,
        /// Its leases.
        leases: Vec<LeaseKey>,
    },
    /// Hash keys that no unfinished lease covers.
    Hole {
        /// The hash keys.
        range: HashKeyRange,
    },
    /// Two unfinished leases cover the same hash keys, and neither shard descends from the other.
    Overlap {
        /// One of the two.
        one: LeaseKey,
        /// The other one.
        other: LeaseKey,
    },
    /// Holes and overlaps cannot be looked for: some leases do not say which hash keys they are for.
    UnknownRanges {
        /// How many.
        leases: usize,
    },
    /// A lease whose shard the stream neither has nor can have had.
    ShardUnknown {
        /// The lease.
        key: LeaseKey,
    },
    /// A lease whose shard has other hash keys or other parents in the stream.
    ShardReplaced {
        /// The lease.
        key: LeaseKey,
    },
    /// A lease whose checkpoint is before the beginning of its shard, or beyond its end.
    CheckpointOutside {
        /// The lease.
        key: LeaseKey,
        /// Where it stands.
        checkpoint: Position,
    },
    /// A lease whose shard went past retention before it was handled to its end.
    ShardExpired {
        /// The lease.
        key: LeaseKey,
    },
    /// A lease that is finished though its shard is open.
    FinishedOpen {
        /// The lease.
        key: LeaseKey,
    },
    /// Leases that wait for themselves: by their rows, their shards are their own ancestors.
    ParentCircle {
        /// The leases.
        leases: Vec<LeaseKey>,
    },
    /// A shard that is to be read now and has no lease.
    MissingLease {
        /// The shard.
        shard: ShardId,
    },
    /// The stream's own list of shards contradicts itself.
    OddListing {
        /// How.
        message: String,
    },
    /// Finished leases that nothing needs any more.
    Leftover {
        /// The leases.
        leases: Vec<LeaseKey>,
    },
    /// Nobody holds a lease, and nobody comes to take one.
    Stopped {
        /// How many unfinished leases there are.
        leases: usize,
    },
    /// Leases are held, and nobody at all renews.
    AllSilent {
        /// The holders.
        holders: Vec<WorkerId>,
        /// How many leases they hold.
        leases: usize,
        /// For how long.
        seconds: u64,
    },
    /// A holder that does not renew, though others live.
    SilentHolder {
        /// The holder.
        holder: WorkerId,
        /// Whether it renews other leases.
        lives_elsewhere: bool,
        /// The leases.
        leases: Vec<LeaseKey>,
        /// For how long.
        seconds: u64,
    },
    /// A lease that is passed on by a worker that does not renew.
    StuckHandOff {
        /// The lease.
        key: LeaseKey,
        /// The worker that has to finish first.
        from: WorkerId,
        /// The worker that gets it.
        to: WorkerId,
        /// Whether that one renews other leases.
        receiver_lives: bool,
        /// For how long.
        seconds: u64,
    },
    /// A lease that is to be passed on, and that is renewed instead for longer than a hand-off takes.
    EndlessHandOff {
        /// The lease.
        key: LeaseKey,
        /// The worker that is to finish first.
        from: WorkerId,
        /// The worker that is to get it.
        to: WorkerId,
        /// Whether it is known that it is the first who renews it. A worker of Java KCL 2.x that took the lease leaves the row
        /// looking just so, and then it is the second.
        giver_renews: bool,
        /// For how long it was watched.
        seconds: u64,
    },
    /// Leases that could be read and that nobody takes, though workers live.
    Untaken {
        /// The leases.
        leases: Vec<LeaseKey>,
        /// For how long.
        seconds: u64,
    },
    /// Children that wait for a parent which nobody reads.
    Blocked {
        /// The parent.
        parent: LeaseKey,
        /// Why nobody reads it.
        by: BlockedBy,
        /// The leases that wait.
        children: Vec<LeaseKey>,
    },
    /// Two processes run under one worker id.
    DuplicateWorker {
        /// The id.
        worker: WorkerId,
        /// Their sessions, each with a lease that it renews.
        sessions: BTreeMap<Session, LeaseKey>,
    },
    /// Leases that are held and renewed, and of which no record was ever checkpointed.
    NoProgress {
        /// The holder.
        holder: WorkerId,
        /// The leases, and where they stand.
        leases: Vec<(LeaseKey, Position)>,
        /// For how long it was watched.
        seconds: u64,
    },
    /// The lock of Java's leader is not renewed, and nobody takes it over.
    StaleLeader {
        /// Who holds it.
        leader: WorkerId,
        /// How long it may stand still.
        lease_duration: Duration,
        /// For how long it was watched.
        seconds: u64,
    },
    /// Workers that hold leases and publish no metrics, in an application that comes from KCL 2.x.
    NoMetrics {
        /// Which algorithms the application uses.
        version: ClientVersion,
        /// The workers.
        workers: Vec<WorkerId>,
    },
    /// The lease table holds rows that are no leases, on which workers of Java KCL before 3.5 fail.
    ForeignRows {
        /// Their keys.
        rows: Vec<String>,
        /// Workers that hold leases and do not say that they can deal with such rows.
        unaware: Vec<WorkerId>,
    },
    /// A row beside the leases cannot be read.
    UnreadableBeside {
        /// Its key.
        key: String,
        /// Why it cannot be read, and in which table it is.
        reason: String,
    },
}

impl Problem {
    /// A name for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoLeases => "no_leases",
            Self::Unreadable { .. } => "unreadable_row",
            Self::OtherStream { .. } => "other_stream",
            Self::Hole { .. } => "hash_range_hole",
            Self::Overlap { .. } => "hash_range_overlap",
            Self::UnknownRanges { .. } => "unknown_hash_ranges",
            Self::ShardUnknown { .. } => "lease_without_shard",
            Self::ShardReplaced { .. } => "lease_of_another_shard",
            Self::CheckpointOutside { .. } => "checkpoint_outside_shard",
            Self::ShardExpired { .. } => "shard_expired",
            Self::FinishedOpen { .. } => "finished_open_shard",
            Self::ParentCircle { .. } => "parents_in_a_circle",
            Self::MissingLease { .. } => "shard_without_lease",
            Self::OddListing { .. } => "odd_shard_listing",
            Self::Leftover { .. } => "finished_leases_left",
            Self::Stopped { .. } => "stopped",
            Self::AllSilent { .. } => "nobody_lives",
            Self::SilentHolder { .. } => "silent_holder",
            Self::StuckHandOff { .. } => "stuck_hand_off",
            Self::EndlessHandOff { .. } => "endless_hand_off",
            Self::Untaken { .. } => "untaken_leases",
            Self::Blocked { .. } => "blocked_children",
            Self::DuplicateWorker { .. } => "duplicate_worker",
            Self::NoProgress { .. } => "no_progress",
            Self::StaleLeader { .. } => "stale_leader",
            Self::NoMetrics { .. } => "workers_without_metrics",
            Self::ForeignRows { .. } => "rows_old_workers_fail_on",
            Self::UnreadableBeside { .. } => "unreadable_row_beside_leases",
        }
    }

    /// The leases that it is about, as far as they have rows that can be read.
    #[must_use]
    pub fn leases(&self) -> Vec<&LeaseKey> {
        match self {
            Self::ShardUnknown { key }
            | Self::ShardReplaced { key }
            | Self::CheckpointOutside { key, .. }
            | Self::ShardExpired { key }
            | Self::FinishedOpen { key }
            | Self::EndlessHandOff { key, .. }
            | Self::StuckHandOff { key, .. } => vec![key],
            Self::Overlap { one, other } => vec![one, other],
            Self::OtherStream { leases, .. }
            | Self::Leftover { leases }
            | Self::ParentCircle { leases }
            | Self::SilentHolder { leases, .. }
            | Self::Untaken { leases, .. } => leases.iter().collect(),
            Self::Blocked { parent, children, .. } => std::iter::once(parent).chain(children).collect(),
            Self::DuplicateWorker { sessions, .. } => sessions.values().collect(),
            Self::NoProgress { leases, .. } => leases.iter().map(|(key, _)| key).collect(),
            _ => Vec::new(),
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remedy {
    /// In words.
    pub words: String,
    /// The arguments of `kclctl leases` that do it, where a command does.
    pub command: Option<Vec<String>>,
}

impl Remedy {
    pub(super) fn words(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            command: None,
        }
    }

    pub(super) fn with<'a>(mut self, command: &str, leases: impl IntoIterator<Item = &'a LeaseKey>) -> Self {
        let leases = leases.into_iter().map(ToString::to_string);
        self.command = Some(std::iter::once(command.to_owned()).chain(leases).collect());
        self
    }

    pub(super) fn and(mut self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        self.command.get_or_insert_default().extend(arguments);
        self
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
