//! Putting aggregates together.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;
use md5::{Digest, Md5};

use super::{
    Aggregate, DIGEST_LEN, MAGIC, effective_hash_key, field,
    wire::{bytes_field_len, put_bytes_head, put_number, varint_len},
};
use crate::ids::HashKey;

/// A record to be written.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserRecord {
    /// The key that decides to which shard the record goes, unless there is an explicit hash key.
    pub partition_key: ByteString,
    /// The hash key that decides to which shard the record goes.
    pub explicit_hash_key: Option<HashKey>,
    /// What is sent.
    pub data: Bytes,
}

impl UserRecord {
    /// A record under a partition key.
    #[must_use]
    pub fn new(partition_key: impl Into<ByteString>, data: impl Into<Bytes>) -> Self {
        Self {
            partition_key: partition_key.into(),
            explicit_hash_key: None,
            data: data.into(),
        }
    }

    /// The same record, sent to the shard of `key`.
    #[must_use]
    pub fn with_explicit_hash_key(mut self, key: HashKey) -> Self {
        self.explicit_hash_key = Some(key);
        self
    }

    /// The hash key that decides to which shard the record goes.
    #[must_use]
    pub fn hash_key(&self) -> HashKey {
        effective_hash_key(&self.partition_key, self.explicit_hash_key)
    }

    /// The bytes of data and key, as Kinesis counts a record's size.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

impl std::fmt::Debug for UserRecord {
    /// Key and data stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserRecord")
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// Collects user records into one record.
///
/// A user record alone is not wrapped: it is sent as it is. So is one that is larger than an aggregate may be: the first
/// record is always taken.
#[derive(Debug)]
pub struct Aggregator {
    size_max: usize,
    first: Option<UserRecord>,
    records: usize,
    partition_keys: Table<ByteString>,
    explicit_hash_keys: Table<HashKey>,
    body: Vec<u8>,
}

/// A key table: its entries as they are sent, and where each one stands.
#[derive(Debug)]
struct Table<K> {
    indexes: BTreeMap<K, u64>,
    bytes: Vec<u8>,
}

impl<K: Ord + Clone> Table<K> {
    fn new() -> Self {
        Self {
            indexes: BTreeMap::new(),
            bytes: Vec::new(),
        }
    }

    /// The index that `key` has or would get, and the bytes that it would add.
    fn place(&self, key: &K, len: usize) -> (u64, usize) {
        match self.indexes.get(key) {
            Some(index) => (*index, 0),
            None => (self.indexes.len() as u64, bytes_field_len(len)),
        }
    }

    fn insert(&mut self, key: &K, field: u64, text: &str) {
        let next = self.indexes.len() as u64;
        if *self.indexes.entry(key.clone()).or_insert(next) == next {
            put_bytes_head(&mut self.bytes, field, text.len());
            self.bytes.extend_from_slice(text.as_bytes());
        }
    }
}

impl Aggregator {
    /// An aggregator whose records have at most `size_max` bytes, data and partition key together.
    #[must_use]
    pub fn new(size_max: usize) -> Self {
        Self {
            size_max,
            first: None,
            records: 0,
            partition_keys: Table::new(),
            explicit_hash_keys: Table::new(),
            body: Vec::new(),
        }
    }

    /// How many user records were appended.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// Whether nothing was appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether what [`take`](Self::take) would give is an aggregate, and not a user record as it was appended.
    #[must_use]
    pub fn is_aggregate(&self) -> bool {
        self.first.as_ref().is_some_and(|first| self.wraps(first))
    }

    /// How large the record is that [`take`](Self::take) would give, its partition key included.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.first {
            None => 0,
            Some(first) if self.wraps(first) => self.wrapped() + first.partition_key.len(),
            Some(first) => first.size(),
        }
    }

    /// A record that begins as aggregates do is wrapped even alone: else it would be taken for one.
    fn wraps(&self, first: &UserRecord) -> bool {
        let fits = self.wrapped() + first.partition_key.len() <= self.size_max;
        self.records > 1 || (fits && Aggregate::is_likely(&first.data))
    }

    /// How long the data of an aggregate would be.
    fn wrapped(&self) -> usize {
        MAGIC.len()
            + self.partition_keys.bytes.len()
            + self.explicit_hash_keys.bytes.len()
            + self.body.len()
            + DIGEST_LEN
    }

    /// Appends a record. False if there is no room for it; the aggregate is then as it was.
    #[must_use]
    pub fn append(&mut self, record: &UserRecord) -> bool {
        let (key, key_bytes) = self
            .partition_keys
            .place(&record.partition_key, record.partition_key.len());
        let hash_key = record.explicit_hash_key.map(|key| (key, key.to_string()));
        let hash_place = hash_key
            .as_ref()
            .map(|(key, text)| self.explicit_hash_keys.place(key, text.len()));
        let (hash_index, hash_bytes) = hash_place.map_or((None, 0), |(index, bytes)| (Some(index), bytes));
        let inner = 1
            + varint_len(key)
            + hash_index.map_or(0, |index| 1 + varint_len(index))
            + bytes_field_len(record.data.len());
        if let Some(first) = &self.first {
            let grown = self.wrapped() + first.partition_key.len() + key_bytes + hash_bytes + bytes_field_len(inner);
            if grown > self.size_max {
                return false;
            }
        }
        self.first.get_or_insert_with(|| record.clone());
        self.records += 1;
        self.partition_keys
            .insert(&record.partition_key, field::PARTITION_KEY_TABLE, &record.partition_key);
        if let Some((key, text)) = &hash_key {
            self.explicit_hash_keys
                .insert(key, field::EXPLICIT_HASH_KEY_TABLE, text);
        }
        put_bytes_head(&mut self.body, field::RECORDS, inner);
        put_number(&mut self.body, field::PARTITION_KEY_INDEX, key);
        if let Some(index) = hash_index {
            put_number(&mut self.body, field::EXPLICIT_HASH_KEY_INDEX, index);
        }
        put_bytes_head(&mut self.body, field::DATA, record.data.len());
        self.body.extend_from_slice(&record.data);
        true
    }

    /// The record that holds everything that was appended, under the keys of the first, and an empty aggregator. `None` if
    /// nothing was.
    pub fn take(&mut self) -> Option<UserRecord> {
        let full = std::mem::replace(self, Self::new(self.size_max));
        let first = full.first.clone()?;
        if !full.wraps(&first) {
            return Some(first);
        }
        let mut data = Vec::with_capacity(full.wrapped());
        data.extend_from_slice(&MAGIC);
        data.extend_from_slice(&full.partition_keys.bytes);
        data.extend_from_slice(&full.explicit_hash_keys.bytes);
        data.extend_from_slice(&full.body);
        let digest = Md5::digest(&data[MAGIC.len()..]);
        data.extend_from_slice(&digest);
        Some(UserRecord {
            data: data.into(),
            ..first
        })
    }
}
