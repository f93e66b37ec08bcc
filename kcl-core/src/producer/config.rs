//! The settings of a producer, and what the service takes.

use std::time::Duration;

use crate::{aggregate::UserRecord, retry::Backoff};

/// The most characters of a partition key.
const KEY_CHARACTERS_MAX: usize = 256;

/// The most records that one call takes.
const CALL_RECORDS_MAX: usize = 500;

/// The most bytes that one call takes.
const CALL_BYTES_MAX: usize = 10 << 20;

/// How a producer sends. Names follow the KPL's where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// Whether small records are put together into aggregates, by shard. On by default. Consumers have to cut them up, as those
    /// of this project and Java's KCL do.
    pub aggregation: bool,
    /// The most bytes of an aggregate. 50 KiB by default, as in the KPL: larger ones save little.
    pub aggregation_max_size: usize,
    /// The most records of an aggregate. 10,000 by default, so that a consumer's call has no more.
    pub aggregation_max_count: usize,
    /// How long a record may wait for others to go with it. 100 ms by default, as in the KPL.
    pub record_max_buffered_time: Duration,
    /// How long a record is tried. It is given up, with an error, before an attempt that would begin later. 30 s by default, as
    /// in the KPL.
    pub record_ttl: Duration,
    /// The most records of one call. 500 by default, the service's limit.
    pub collection_max_count: usize,
    /// The most bytes of one call. 5 MiB by default.
    pub collection_max_size: usize,
    /// The most bytes of a record with its key. 1 MiB by default, as for streams; some take up to 10 MiB.
    pub max_record_size: usize,
    /// How many calls may be under way at a time. 8 by default.
    pub max_calls: usize,
    /// Whether records of one key arrive in the order in which they were put. Then a key's next records wait until those before
    /// them are taken. Off by default: what is refused for a moment may arrive behind what was put after it.
    pub ordered: bool,
    /// The most records that are accepted and not yet written; more wait in `put`. 100,000 by default.
    pub max_outstanding_records: usize,
    /// The most bytes that are accepted and not yet written; more wait in `put`. 32 MiB by default.
    pub max_outstanding_bytes: usize,
    /// How long to wait before what was refused is sent again.
    pub backoff: Backoff,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            aggregation: true,
            aggregation_max_size: 50 << 10,
            aggregation_max_count: 10_000,
            record_max_buffered_time: Duration::from_millis(100),
            record_ttl: Duration::from_secs(30),
            collection_max_count: CALL_RECORDS_MAX,
            collection_max_size: 5 << 20,
            max_record_size: 1 << 20,
            max_calls: 8,
            ordered: false,
            max_outstanding_records: 100_000,
            max_outstanding_bytes: 32 << 20,
            backoff: Backoff::SERVICE,
        }
    }
}

/// A setting is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}: {rule}")]
pub struct InvalidProducerConfig {
    setting: &'static str,
    value: usize,
    rule: &'static str,
}

/// A record cannot be put: the service would refuse it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// The partition key is empty or too long.
    #[error("the partition key has {characters} characters: use 1 to 256")]
    KeyLength {
        /// How many.
        characters: usize,
    },
    /// The record is too large.
    #[error("the record has {bytes} bytes with its key, and {limit} are allowed")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The largest that is allowed.
        limit: usize,
    },
}

impl ProducerConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first setting that is out of range, and what it may be.
    pub fn validate(&self) -> Result<(), InvalidProducerConfig> {
        let record = 1..=10 << 20;
        let checks = [
            (
                "aggregation_max_size",
                self.aggregation_max_size,
                1..=self.max_record_size,
                "use 1 to max_record_size",
            ),
            (
                "aggregation_max_count",
                self.aggregation_max_count,
                1..=usize::MAX,
                "use 1 or more",
            ),
            (
                "collection_max_count",
                self.collection_max_count,
                1..=CALL_RECORDS_MAX,
                "use 1 to 500, the service's limit",
            ),
            (
                "collection_max_size",
                self.collection_max_size,
                self.max_record_size..=CALL_BYTES_MAX,
                "use max_record_size to 10 MiB (10485760), the service's limit",
            ),
            (
                "max_record_size",
                self.max_record_size,
                record,
                "use 1 to 10 MiB (10485760), the service's limit",
            ),
            ("max_calls", self.max_calls, 1..=1000, "use 1 to 1000"),
            (
                "max_outstanding_records",
                self.max_outstanding_records,
                1..=1 << 28,
                "use 1 to 268435456",
            ),
            (
                "max_outstanding_bytes",
                self.max_outstanding_bytes,
                self.max_record_size..=1 << 40,
                "use max_record_size to 1 TiB: else a record might wait for ever",
            ),
        ];
        match checks.into_iter().find(|(_, value, range, _)| !range.contains(value)) {
            Some((setting, value, _, rule)) => Err(InvalidProducerConfig { setting, value, rule }),
            None => Ok(()),
        }
    }

    /// Checks what the service would refuse.
    ///
    /// # Errors
    /// If the key is empty or too long, or the record is too large.
    pub fn check(&self, record: &UserRecord) -> Result<(), InvalidRecord> {
        let characters = record.partition_key.chars().count();
        if !(1..=KEY_CHARACTERS_MAX).contains(&characters) {
            return Err(InvalidRecord::KeyLength { characters });
        }
        let (bytes, limit) = (record.size(), self.max_record_size);
        if bytes > limit {
            return Err(InvalidRecord::TooLarge { bytes, limit });
        }
        Ok(())
    }
}
