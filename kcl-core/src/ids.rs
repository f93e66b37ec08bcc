//! Names of things: streams, shards, leases, workers, hash keys.

use std::{borrow::Borrow, fmt, sync::Arc};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::stream::StreamId;

/// A name was empty or holds what its kind of name cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: {rule}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

impl InvalidId {
    pub(crate) fn new(kind: &'static str, text: &str, rule: &'static str) -> Self {
        Self {
            kind,
            text: text.to_owned(),
            rule,
        }
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes it an id.
            ///
            /// # Errors
            /// If `text` breaks the rule that the type's documentation states.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidId> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId { kind: $kind, text: text.as_ref().to_owned(), rule: $rule })
                }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidId;

            fn try_from(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
    };
}

fn printable(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control)
}

id!(
    /// The name of a stream: 1 to 128 of `a-z A-Z 0-9 _ . -`, as AWS has it.
    StreamName, "stream name", "use 1 to 128 of a-z A-Z 0-9 _ . -",
    |text| (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
);

id!(
    /// The number of an AWS account: 1 to 20 digits. AWS gives 12.
    AccountId, "account", "use 1 to 20 digits",
    |text| (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
);

id!(
    /// The id of a shard within its stream, such as `shardId-000000000002`: 1 to 128 of `a-z A-Z 0-9 _ . -`.
    ShardId, "shard id", "use 1 to 128 of a-z A-Z 0-9 _ . -",
    |text| (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
);

id!(
    /// The key of a lease in its table: the shard id where an application reads one stream, `account:stream:epoch:shard`
    /// where it reads several.
    LeaseKey, "lease key", "use 1 to 1024 bytes without control characters",
    |text| printable(text, 1024)
);

id!(
    /// The name of one worker of a fleet. Two workers that run at the same time must not share it.
    WorkerId, "worker id", "use 1 to 256 bytes without control characters",
    |text| printable(text, 256)
);

id!(
    /// The name of an application: the fleet whose workers share the work and the checkpoints.
    ApplicationName, "application name", "use 1 to 255 of a-z A-Z 0-9 _ . -",
    |text| (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
);

id!(
    /// The name of a consumer with dedicated throughput: 1 to 128 of `a-z A-Z 0-9 _ . -`, as AWS has it.
    ConsumerName, "consumer name", "use 1 to 128 of a-z A-Z 0-9 _ . -",
    |text| (1..=ConsumerName::LONGEST).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
);

impl ConsumerName {
    /// The most letters of a name.
    pub const LONGEST: usize = 128;
}

impl LeaseKey {
    /// The key under which an application that reads one stream keeps the lease of `shard`.
    #[must_use]
    pub fn of_shard(shard: &ShardId) -> Self {
        Self(Arc::clone(&shard.0))
    }

    /// The key under which an application that reads several streams keeps the lease of `shard` of `stream`.
    pub(crate) fn of_shard_in(stream: &StreamId, shard: &ShardId) -> Self {
        Self(format!("{stream}:{shard}").into())
    }
}

/// One life of a worker: drawn at start, so that two processes under one [`WorkerId`] can tell each other apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Session(pub u64);

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A point of the 128-bit hash key space that decides to which shard a record goes.
///
/// ```
/// use kcl_core::HashKey;
///
/// assert_eq!(HashKey::of_partition_key("a").to_string(), "16955237001963240173058271559858726497");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HashKey(pub u128);

impl HashKey {
    /// The smallest hash key.
    pub const MIN: Self = Self(0);
    /// The largest hash key, 2^128 - 1.
    pub const MAX: Self = Self(u128::MAX);

    /// The hash key of a record that has no explicit one: the MD5 of its partition key, read as a big-endian number.
    #[must_use]
    pub fn of_partition_key(partition_key: &str) -> Self {
        Self(u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into()))
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::str::FromStr for HashKey {
    type Err = InvalidId;

    /// Reads a decimal without sign or leading zeros.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let canonical = text == "0" || (text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0'));
        text.parse()
            .ok()
            .filter(|_| canonical)
            .map(Self)
            .ok_or_else(|| InvalidId {
                kind: "hash key",
                text: text.to_owned(),
                rule: "use a decimal number from 0 to 2^128-1",
            })
    }
}

impl TryFrom<String> for HashKey {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<HashKey> for String {
    /// The decimal text: a JSON number could not hold it.
    fn from(key: HashKey) -> Self {
        key.to_string()
    }
}

/// The hash keys that a shard serves, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HashKeyRange {
    /// The smallest hash key served.
    pub start: HashKey,
    /// The largest hash key served.
    pub end: HashKey,
}

impl HashKeyRange {
    /// All hash keys.
    pub const FULL: Self = Self {
        start: HashKey::MIN,
        end: HashKey::MAX,
    };

    /// Whether `key` lies in the range.
    #[must_use]
    pub fn contains(&self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }

    /// Whether the two ranges share a hash key.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

impl fmt::Display for HashKeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}
