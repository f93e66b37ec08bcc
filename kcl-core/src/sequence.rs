//! Places in a shard: [`SequenceNumber`], and [`Position`] with KCL's order of sentinels.

use std::{cmp::Ordering, fmt, str::FromStr};

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The number that Kinesis gave a record: a decimal of up to 128 digits, ordered as a number.
///
/// The digits stay the text that the service sent (clones share it): by length first, then by bytes, they order as numbers do.
///
/// ```
/// use kcl_core::SequenceNumber;
///
/// let small: SequenceNumber = "99".parse()?;
/// let large: SequenceNumber = "100".parse()?;
/// assert!(small < large);
/// # Ok::<(), kcl_core::InvalidSequenceNumber>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SequenceNumber(ByteString);

/// The text is not a decimal number of 1 to 128 digits without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a sequence number: use 1 to 128 decimal digits without leading zeros")]
pub struct InvalidSequenceNumber {
    text: String,
}

impl SequenceNumber {
    /// Checks `text` and takes it over without a copy.
    ///
    /// # Errors
    /// If `text` is not a decimal of 1 to 128 digits without leading zeros.
    pub fn new(text: impl Into<ByteString>) -> Result<Self, InvalidSequenceNumber> {
        let text = text.into();
        let canonical = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'));
        if canonical {
            Ok(Self(text))
        } else {
            Err(InvalidSequenceNumber { text: text.to_string() })
        }
    }

    /// The decimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.as_bytes().cmp(other.0.as_bytes()))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SequenceNumber {
    type Err = InvalidSequenceNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for SequenceNumber {
    type Error = InvalidSequenceNumber;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<SequenceNumber> for String {
    fn from(number: SequenceNumber) -> Self {
        number.0.to_string()
    }
}

/// A record within a shard: its sequence number, and its place inside an aggregated record (0 where there is none).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordPosition {
    /// The sequence number of the (outer) record.
    pub sequence_number: SequenceNumber,
    /// The place inside an aggregated record, from 0.
    pub sub_sequence_number: u64,
}

impl fmt::Display for RecordPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sub_sequence_number {
            0 => write!(f, "{}", self.sequence_number),
            sub => write!(f, "{}/{sub}", self.sequence_number),
        }
    }
}

/// How far a shard has been handled: what a lease's checkpoint says.
///
/// Totally ordered as in KCL: `AT_TIMESTAMP < TRIM_HORIZON < LATEST < any record < SHARD_END`. The three that name no record
/// say where reading starts; a record position says that this record and all before it have been handled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Position {
    /// Start with the first record that arrived at or after this time.
    AtTimestamp(Timestamp),
    /// Start with the oldest record that is still retained.
    TrimHorizon,
    /// Start with the next record that arrives.
    Latest,
    /// This record and all before it have been handled.
    Record(RecordPosition),
    /// The shard is closed and every record has been handled.
    ShardEnd,
}

impl Position {
    /// The position at which the record `sequence_number` (not aggregated) and all before it are handled.
    #[must_use]
    pub fn after(sequence_number: SequenceNumber) -> Self {
        Self::Record(RecordPosition {
            sequence_number,
            sub_sequence_number: 0,
        })
    }

    /// The record that this position names, if it names one.
    #[must_use]
    pub fn record(&self) -> Option<&RecordPosition> {
        match self {
            Self::Record(position) => Some(position),
            _ => None,
        }
    }

    /// Whether nothing has been handled yet: the position only says where reading starts.
    #[must_use]
    pub fn is_start(&self) -> bool {
        matches!(self, Self::AtTimestamp(_) | Self::TrimHorizon | Self::Latest)
    }

    /// Whether a checkpoint may move from here to `next` without losing or repeating progress.
    ///
    /// Among the starting positions every move is allowed: pinning `LATEST` to the time at which the shard was opened is
    /// a step down in KCL's order and still no step back.
    #[must_use]
    pub fn may_advance_to(&self, next: &Self) -> bool {
        self <= next || (self.is_start() && next.is_start())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtTimestamp(at) => write!(f, "AT_TIMESTAMP({at})"),
            Self::TrimHorizon => f.pad("TRIM_HORIZON"),
            Self::Latest => f.pad("LATEST"),
            Self::Record(position) => write!(f, "{position}"),
            Self::ShardEnd => f.pad("SHARD_END"),
        }
    }
}

/// Where an application starts to read shards that nobody has read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InitialPosition {
    /// With the oldest retained record. The default: it loses nothing.
    #[default]
    TrimHorizon,
    /// With records that arrive from now on.
    Latest,
    /// With the first record that arrived at or after this time.
    AtTimestamp(Timestamp),
}

impl From<InitialPosition> for Position {
    fn from(initial: InitialPosition) -> Self {
        match initial {
            InitialPosition::TrimHorizon => Self::TrimHorizon,
            InitialPosition::Latest => Self::Latest,
            InitialPosition::AtTimestamp(at) => Self::AtTimestamp(at),
        }
    }
}

impl FromStr for InitialPosition {
    type Err = crate::time::InvalidTimestamp;

    /// Reads `trim-horizon`, `latest` (in any case, `_` or `-`) or an RFC 3339 instant.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "trim-horizon" => Ok(Self::TrimHorizon),
            "latest" => Ok(Self::Latest),
            _ => text.parse().map(Self::AtTimestamp),
        }
    }
}
