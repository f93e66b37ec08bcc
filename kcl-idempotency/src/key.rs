//! [`IdempotencyKey`]: what a piece of work is known by.

use std::fmt;

use kcl_core::{Batch, Record};

/// What DynamoDB takes as a sort key, the narrowest of the stores.
const KEY_BYTES_MAX: usize = 1024;

/// What a piece of work is known by: 1 to 1,024 bytes. Work with the same key is done once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

/// The text cannot be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {KEY_BYTES_MAX} bytes, and this one has {bytes}; hash what is longer")]
pub struct InvalidKey {
    bytes: usize,
}

impl IdempotencyKey {
    /// Checks `text` and makes it a key.
    ///
    /// # Errors
    /// If it is empty or longer than 1,024 bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        match text.len() {
            1..=KEY_BYTES_MAX => Ok(Self(text)),
            bytes => Err(InvalidKey { bytes }),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The id of a record of `batch`: `shard:sequence`, which is Lambda's `eventID`; `shard:sequence/sub` for one that came in an
/// aggregate. Where the worker reads several streams, the stream comes first: `stream/shard:sequence`.
///
/// ```
/// use kcl_core::{Batch, Record, ShardId, StreamName, Timestamp};
/// use kcl_idempotency::event_id;
///
/// let record = Record::new("7".parse()?, "key", Timestamp::from_epoch_millis(0), "data");
/// let batch = Batch::new(StreamName::new("s")?, ShardId::new("shardId-000000000000")?, vec![record]);
/// assert_eq!(event_id(&batch, &batch[0]), "shardId-000000000000:7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn event_id(batch: &Batch, record: &Record) -> String {
    let stream = batch.stream_id().map(|id| format!("{id}/")).unwrap_or_default();
    let sub = if record.aggregated {
        format!("/{}", record.sub_sequence_number)
    } else {
        String::new()
    };
    format!("{stream}{}:{}{sub}", batch.shard(), record.sequence_number)
}
