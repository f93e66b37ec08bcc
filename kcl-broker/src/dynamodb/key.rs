//! Keys: which attributes identify an item, and where the item lies in the table's order.

use std::cmp::Ordering;

use bytes::Bytes;
use md5::{Digest, Md5};

use super::{
    error::DynamoError,
    item::Item,
    value::{AttributeValue, Number},
};

const HASH_BYTES_MAX: usize = 2048;
const RANGE_BYTES_MAX: usize = 1024;

/// The types that keys can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyType {
    S,
    N,
    B,
}

impl KeyType {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "S" => Some(Self::S),
            "N" => Some(Self::N),
            "B" => Some(Self::B),
            _ => None,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}

/// An attribute that is part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyAttribute {
    pub(super) name: String,
    pub(super) kind: KeyType,
}

/// The key of a table or of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeySchema {
    pub(super) hash: KeyAttribute,
    pub(super) range: Option<KeyAttribute>,
}

/// The value of a key's attribute. Within one key the types never mix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyValue {
    S(String),
    N(Number),
    B(Bytes),
}

impl KeyValue {
    /// The value as a key of this type, if it is one.
    pub(super) fn of(value: &AttributeValue, kind: KeyType) -> Option<Self> {
        match (value, kind) {
            (AttributeValue::S(text), KeyType::S) => Some(Self::S(text.clone())),
            (AttributeValue::N(number), KeyType::N) => Some(Self::N(*number)),
            (AttributeValue::B(bytes), KeyType::B) => Some(Self::B(bytes.clone())),
            _ => None,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size(),
            Self::B(bytes) => bytes.len(),
        }
    }

    /// Where the items with this hash key lie among all: scattered, but in every run the same.
    fn bucket(&self) -> u64 {
        let digest = match self {
            Self::S(text) => Md5::digest(text),
            Self::N(number) => Md5::digest(number.to_bytes()),
            Self::B(bytes) => Md5::digest(bytes),
        };
        digest
            .iter()
            .take(8)
            .fold(0, |bits, byte| (bits << 8) | u64::from(*byte))
    }
}

/// The range part of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RangePart {
    /// The key has none. Also what comes before all others.
    Start,
    Value(KeyValue),
    /// What comes right after this value; no item has it.
    After(KeyValue),
    /// What comes after all others; no item has it.
    End,
}

impl RangePart {
    /// What comes right after all values that begin with `prefix`; no item has it.
    pub(super) fn after_prefix(prefix: &KeyValue) -> Self {
        let next = match prefix {
            KeyValue::S(prefix) => next_text(prefix).map(KeyValue::S),
            KeyValue::B(prefix) => next_bytes(prefix).map(KeyValue::B),
            KeyValue::N(_) => None,
        };
        next.map_or(Self::End, Self::Value)
    }

    const fn rank(&self) -> (u8, Option<&KeyValue>, u8) {
        match self {
            Self::Start => (0, None, 0),
            Self::Value(value) => (1, Some(value), 0),
            Self::After(value) => (1, Some(value), 1),
            Self::End => (2, None, 0),
        }
    }
}

/// The first text after all that begin with `prefix`, if there is one.
fn next_text(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// The first bytes after all that begin with `prefix`, if there are any.
fn next_bytes(prefix: &[u8]) -> Option<Bytes> {
    let mut bytes = prefix.to_vec();
    while let Some(last) = bytes.pop() {
        if let Some(next) = last.checked_add(1) {
            bytes.push(next);
            return Some(bytes.into());
        }
    }
    None
}

impl Ord for RangePart {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for RangePart {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where an item lies in the order of a table or of an index: by the scattered hash key, then by the range key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) bucket: u64,
    pub(super) hash: KeyValue,
    pub(super) range: RangePart,
}

impl Place {
    pub(super) fn new(hash: KeyValue, range: RangePart) -> Self {
        Self {
            bucket: hash.bucket(),
            hash,
            range,
        }
    }

    /// What comes before every item of this bucket.
    pub(super) const fn first_of(bucket: u64) -> Self {
        Self {
            bucket,
            hash: KeyValue::S(String::new()),
            range: RangePart::Start,
        }
    }

    /// The bytes of the key's values.
    pub(super) fn len(&self) -> usize {
        let range = match &self.range {
            RangePart::Value(value) => value.len(),
            RangePart::Start | RangePart::After(_) | RangePart::End => 0,
        };
        self.hash.len() + range
    }
}

impl KeySchema {
    /// The key's attributes, the hash first.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.hash).chain(&self.range)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.name == name)
    }

    /// The place of an item that has the key's attributes, in the right types.
    pub(super) fn place_of(&self, item: &Item) -> Option<Place> {
        let part = |attribute: &KeyAttribute| KeyValue::of(item.get(&attribute.name)?, attribute.kind);
        let range = match &self.range {
            Some(attribute) => RangePart::Value(part(attribute)?),
            None => RangePart::Start,
        };
        Some(Place::new(part(&self.hash)?, range))
    }

    /// The place that a request's key names: all attributes of the key, and no others.
    pub(super) fn place_of_key(&self, key: &Item) -> Result<Place, DynamoError> {
        let mismatch = || DynamoError::invalid("The provided key element does not match the schema");
        if key.len() != self.attributes().count() {
            return Err(mismatch());
        }
        let place = self.place_of(key).ok_or_else(mismatch)?;
        self.check_parts(&place)?;
        Ok(place)
    }

    /// The place of an item that is to be written.
    pub(super) fn place_of_item(&self, item: &Item) -> Result<Place, DynamoError> {
        for KeyAttribute { name, kind } in self.attributes() {
            let Some(value) = item.get(name) else {
                return Err(DynamoError::invalid_value(format_args!(
                    "Missing the key {name} in the item"
                )));
            };
            if KeyValue::of(value, *kind).is_none() {
                return Err(DynamoError::invalid_value(format_args!(
                    "Type mismatch for key {name} expected: {} actual: {}",
                    kind.as_str(),
                    value.type_name()
                )));
            }
        }
        let place = self
            .place_of(item)
            .ok_or_else(|| DynamoError::invalid("The provided key element does not match the schema"))?;
        self.check_parts(&place)?;
        Ok(place)
    }

    fn check_parts(&self, place: &Place) -> Result<(), DynamoError> {
        check_not_empty(&self.hash.name, &place.hash)?;
        if place.hash.len() > HASH_BYTES_MAX {
            return Err(DynamoError::invalid_value(
                "Size of hashkey has exceeded the maximum size limit of2048 bytes",
            ));
        }
        if let (Some(attribute), RangePart::Value(value)) = (&self.range, &place.range) {
            check_not_empty(&attribute.name, value)?;
            if value.len() > RANGE_BYTES_MAX {
                return Err(DynamoError::invalid_value(
                    "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
                ));
            }
        }
        Ok(())
    }

    /// The key's attributes alone.
    pub(super) fn key_of(&self, item: &Item) -> Item {
        self.attributes()
            .filter_map(|attribute| item.get_key_value(&attribute.name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

fn check_not_empty(name: &str, value: &KeyValue) -> Result<(), DynamoError> {
    let kind = match value {
        KeyValue::S(text) if text.is_empty() => "string",
        KeyValue::B(bytes) if bytes.is_empty() => "binary",
        _ => return Ok(()),
    };
    Err(DynamoError::invalid(format!(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {kind} \
         value. Key: {name}"
    )))
}
