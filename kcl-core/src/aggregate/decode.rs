//! Taking aggregates apart.

use bytes::Bytes;
use bytestring::ByteString;
use md5::{Digest, Md5};

use super::{
    DIGEST_LEN, MAGIC, effective_hash_key, field,
    wire::{Reader, Value},
};
use crate::ids::HashKey;

/// An aggregate that was read, whole and sound. Its user records are cut out one at a time, as slices.
///
/// It remembers where the entries of the two key tables begin and nothing of the records: it takes a fraction of the
/// memory of the bytes that it came from, whatever these are.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// The protobuf message.
    message: Bytes,
    /// Where the entries of the tables begin.
    partition_keys: Vec<u32>,
    explicit_hash_keys: Vec<u32>,
    records: u64,
    /// Where the next record is looked for, and its number.
    place: usize,
    next: u64,
}

/// One user record of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubRecord {
    /// Its place in the aggregate, from 0.
    pub sub_sequence_number: u64,
    /// Its partition key.
    pub partition_key: ByteString,
    /// Its explicit hash key, if it has one.
    pub explicit_hash_key: Option<HashKey>,
    /// Its data, a slice of the aggregate.
    pub data: Bytes,
}

impl SubRecord {
    /// The hash key that decides to which shard the record belongs.
    #[must_use]
    pub fn hash_key(&self) -> HashKey {
        effective_hash_key(&self.partition_key, self.explicit_hash_key)
    }
}

/// The places of a record's members in the message.
struct RawRecord {
    partition_key: u64,
    explicit_hash_key: Option<u64>,
    data: (usize, usize),
}

impl Aggregate {
    /// Whether `data` begins as aggregates do. Cheap; what passes may still be a plain record.
    #[must_use]
    pub fn is_likely(data: &[u8]) -> bool {
        data.starts_with(&MAGIC) && data.len() > MAGIC.len() + DIGEST_LEN
    }

    /// Reads `data` if it is an aggregate in every respect: magic bytes, MD5, message, indexes within the key tables, keys
    /// that are text and hash keys that are numbers. `None` means that it is a plain record.
    ///
    /// ```
    /// use kcl_core::aggregate::{Aggregate, Aggregator, UserRecord};
    ///
    /// let mut aggregator = Aggregator::new(1024);
    /// assert!(aggregator.append(&UserRecord::new("taxi-7", "left")));
    /// assert!(aggregator.append(&UserRecord::new("taxi-7", "arrived")));
    /// let outer = aggregator.take().ok_or("nothing was appended")?;
    ///
    /// let aggregate = Aggregate::read(&outer.data).ok_or("no aggregate")?;
    /// let data: Vec<_> = aggregate.map(|record| record.data).collect();
    /// assert_eq!(data, ["left", "arrived"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn read(data: &Bytes) -> Option<Self> {
        if !Self::is_likely(data) || u32::try_from(data.len()).is_err() {
            return None;
        }
        let (message, digest) = (MAGIC.len()..data.len() - DIGEST_LEN, &data[data.len() - DIGEST_LEN..]);
        let message = data.slice(message);
        if Md5::digest(&message)[..] != *digest {
            return None;
        }
        let mut aggregate = Self {
            message,
            partition_keys: Vec::new(),
            explicit_hash_keys: Vec::new(),
            records: 0,
            place: 0,
            next: 0,
        };
        aggregate.check()?;
        Some(aggregate)
    }

    /// How many user records there are.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How many user records are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.records - self.next
    }

    /// Leaves out the user records before this number.
    pub fn skip_to(&mut self, sub_sequence_number: u64) {
        while self.next < sub_sequence_number && self.next_raw().is_some() {}
    }

    /// Reads the message once: whatever is looked up later is there.
    fn check(&mut self) -> Option<()> {
        let message = self.message.clone();
        let mut reader = Reader::new(&message, 0, message.len());
        let (mut partition_key_max, mut explicit_hash_key_max) = (None, None);
        while !reader.is_at_end() {
            let place = u32::try_from(reader.place()).ok()?;
            match reader.field()? {
                (field::PARTITION_KEY_TABLE, Value::Bytes { start, len }) => {
                    str::from_utf8(&message[start..start + len]).ok()?;
                    self.partition_keys.push(place);
                }
                (field::EXPLICIT_HASH_KEY_TABLE, Value::Bytes { start, len }) => {
                    hash_key(&message[start..start + len])?;
                    self.explicit_hash_keys.push(place);
                }
                (field::RECORDS, Value::Bytes { start, len }) => {
                    let record = raw_record(&message, start, len)?;
                    partition_key_max = partition_key_max.max(Some(record.partition_key));
                    explicit_hash_key_max = explicit_hash_key_max.max(record.explicit_hash_key);
                    self.records += 1;
                }
                (field::PARTITION_KEY_TABLE | field::EXPLICIT_HASH_KEY_TABLE | field::RECORDS, _) => return None,
                _ => {}
            }
        }
        let within = |max: Option<u64>, table: &[u32]| max.is_none_or(|max| max < table.len() as u64);
        (within(partition_key_max, &self.partition_keys) && within(explicit_hash_key_max, &self.explicit_hash_keys))
            .then_some(())
    }

    fn next_raw(&mut self) -> Option<RawRecord> {
        let mut reader = Reader::new(&self.message, self.place, self.message.len());
        while !reader.is_at_end() {
            let found = reader.field()?;
            self.place = reader.place();
            if let (field::RECORDS, Value::Bytes { start, len }) = found {
                self.next += 1;
                return raw_record(&self.message, start, len);
            }
        }
        None
    }

    fn entry(&self, table: &[u32], index: u64) -> Option<Bytes> {
        let at = *table.get(usize::try_from(index).ok()?)? as usize;
        match Reader::new(&self.message, at, self.message.len()).field()? {
            (_, Value::Bytes { start, len }) => Some(self.message.slice(start..start + len)),
            _ => None,
        }
    }

    fn cut_out(&self, record: &RawRecord) -> Option<SubRecord> {
        let partition_key = self.entry(&self.partition_keys, record.partition_key)?;
        let explicit_hash_key = match record.explicit_hash_key {
            Some(index) => Some(hash_key(&self.entry(&self.explicit_hash_keys, index)?)?),
            None => None,
        };
        let (start, end) = record.data;
        Some(SubRecord {
            sub_sequence_number: self.next - 1,
            partition_key: ByteString::try_from(partition_key).ok()?,
            explicit_hash_key,
            data: self.message.slice(start..end),
        })
    }
}

/// The user records, in order.
impl Iterator for Aggregate {
    type Item = SubRecord;

    fn next(&mut self) -> Option<SubRecord> {
        let record = self.next_raw()?;
        let record = self.cut_out(&record);
        Some(record.expect("what was read once is there"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left()).ok();
        (left.unwrap_or(usize::MAX), left)
    }
}

fn raw_record(message: &[u8], start: usize, len: usize) -> Option<RawRecord> {
    let mut reader = Reader::new(message, start, start + len);
    let (mut partition_key, mut explicit_hash_key, mut data) = (None, None, None);
    while !reader.is_at_end() {
        // Of a field that comes twice the last counts, as everywhere in protobuf.
        match reader.field()? {
            (field::PARTITION_KEY_INDEX, Value::Number(index)) => partition_key = Some(index),
            (field::EXPLICIT_HASH_KEY_INDEX, Value::Number(index)) => explicit_hash_key = Some(index),
            (field::DATA, Value::Bytes { start, len }) => data = Some((start, start + len)),
            (field::PARTITION_KEY_INDEX | field::EXPLICIT_HASH_KEY_INDEX | field::DATA, _) => return None,
            _ => {}
        }
    }
    Some(RawRecord {
        partition_key: partition_key?,
        explicit_hash_key,
        data: data?,
    })
}

/// A decimal of 128 bits. Leading zeros are let pass, as Java does.
fn hash_key(text: &[u8]) -> Option<HashKey> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(text).ok().filter(|_| digits)?;
    text.parse().ok().map(HashKey)
}
