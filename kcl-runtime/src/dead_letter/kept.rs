//! Dead letters as they are kept: [`KeptLetter`], and which of them are meant, [`Selection`].

use bytestring::ByteString;
use kcl_core::{ApplicationName, Record, RecordPosition, ShardId, StreamId, StreamName, Timestamp};

/// A letter's number in its file. A number is never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct LetterId(pub i64);

impl std::fmt::Display for LetterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for LetterId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A stream as one application reads it: what a quarantined key belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct LetterStream {
    /// Who gave records up.
    pub application: ApplicationName,
    /// The stream that they are of.
    pub stream: StreamName,
    /// Which stream it is, where the worker read several.
    pub stream_id: Option<StreamId>,
}

/// What a file says of a letter, without its records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LetterSummary {
    /// Its number.
    pub id: LetterId,
    /// Whose it is.
    pub of: LetterStream,
    /// The shard that the records are of.
    pub shard: ShardId,
    /// How many records it still has.
    pub records: u64,
    /// The bytes of their data.
    pub bytes: u64,
    /// Where the first of them stood.
    pub first: RecordPosition,
    /// Where the last of them stood.
    pub last: RecordPosition,
    /// When the first of them arrived.
    pub first_arrival: Timestamp,
    /// The key of the first record, and whether all have it.
    pub partition_key: ByteString,
    /// Whether the records have several partition keys.
    pub has_other_keys: bool,
    /// Whether later records of the same keys followed.
    pub quarantines: bool,
    /// When it came first.
    pub first_kept: Timestamp,
    /// The last entry of its history.
    pub last_try: Try,
}

/// One time at which the records of a letter were given up. There are several if they were read again, by a worker that took
/// over before the checkpoint or after an operator's seek.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Try {
    /// When.
    pub at: Timestamp,
    /// Why: the text of a [`DiscardReason`](kcl_core::delivery::DiscardReason).
    pub reason: String,
    /// How many calls with them had failed.
    pub attempts: u32,
    /// What the last of these said.
    pub error: Option<String>,
}

/// A letter, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptLetter {
    /// What it says without its records.
    pub summary: LetterSummary,
    /// Its history, oldest first.
    pub tries: Vec<Try>,
    /// The records that it still has, in the order of the shard.
    pub records: Vec<Record>,
}

/// A partition key in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuarantinedKey {
    /// Whose it is.
    pub of: LetterStream,
    /// The key.
    pub partition_key: ByteString,
    /// Since when.
    pub since: Timestamp,
    /// Whether a redrive is giving its records back, so that workers deliver it again.
    pub releasing: bool,
}

/// How much of one stream is meant by a [`Selection`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LetterTotals {
    /// Whose it is.
    pub of: LetterStream,
    /// How many records.
    pub records: u64,
    /// The bytes of their data.
    pub bytes: u64,
    /// How many partition keys they have.
    pub keys: u64,
    /// How many of these keys are in quarantine.
    pub quarantined_keys: u64,
}

/// Which records of which letters: those for which all hold that is given. By default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// Letters by their numbers; none given is all.
    pub letters: Vec<LetterId>,
    /// Those of one application.
    pub application: Option<ApplicationName>,
    /// Those of streams of one name.
    pub stream: Option<StreamName>,
    /// Those of one shard.
    pub shard: Option<ShardId>,
    /// Records with one of these partition keys; none given is all.
    pub keys: Vec<ByteString>,
    /// Letters whose last reason is this one, by its name.
    pub reason: Option<String>,
    /// Letters that came first at or after this time.
    pub from: Option<Timestamp>,
    /// Letters that came first before this time.
    pub until: Option<Timestamp>,
}
