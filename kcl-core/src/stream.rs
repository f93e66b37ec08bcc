//! Which stream is meant: [`StreamId`], [`StreamArn`], and what a row of the lease table says about it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, InvalidId, LeaseKey, ShardId, StreamName};

/// One stream of all there are and were: whose it is, its name, and when it was made. A stream that is deleted and created
/// again is another one.
///
/// As text it is what Java KCL writes, `account:stream:epoch`.
///
/// ```
/// use kcl_core::{ShardId, StreamId};
///
/// let stream: StreamId = "123456789012:orders:1357034400".parse()?;
/// assert_eq!((stream.name().as_str(), stream.epoch()), ("orders", 1_357_034_400));
/// assert_eq!(
///     stream.key_of(&ShardId::new("shardId-000000000000")?).as_str(),
///     "123456789012:orders:1357034400:shardId-000000000000"
/// );
/// assert!("orders".parse::<StreamId>().is_err());
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId {
    account: AccountId,
    name: StreamName,
    epoch: u64,
}

impl StreamId {
    /// The stream `name` of `account` that was made `epoch` seconds after 1970.
    ///
    /// # Errors
    /// If `epoch` is 0: Java's workers refuse such a stream.
    pub fn new(account: AccountId, name: StreamName, epoch: u64) -> Result<Self, InvalidId> {
        if epoch == 0 {
            return Err(invalid(&format!("{account}:{name}:{epoch}")));
        }
        Ok(Self { account, name, epoch })
    }

    /// Whose the stream is.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// When the stream was made, in seconds after 1970.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The key under which an application that reads several streams keeps the lease of `shard`.
    #[must_use]
    pub fn key_of(&self, shard: &ShardId) -> LeaseKey {
        LeaseKey::of_shard_in(self, shard)
    }

    /// The stream that a key of such an application names. The row under the key need not be readable.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        let (stream, shard) = key.rsplit_once(':')?;
        ShardId::new(shard).ok()?;
        stream.parse().ok()
    }
}

fn invalid(text: &str) -> InvalidId {
    InvalidId::new("stream identifier", text, "use account:stream:epoch in seconds")
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.account, self.name, self.epoch)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for StreamId {
    type Err = InvalidId;

    /// Reads `account:stream:epoch`. Other spellings of the same number would be other keys for the same stream, so they are
    /// refused.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut parts = text.split(':');
        let (Some(account), Some(name), Some(epoch), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid(text));
        };
        let is_canonical = epoch.bytes().all(|byte| byte.is_ascii_digit()) && !epoch.starts_with('0');
        let epoch = epoch
            .parse()
            .ok()
            .filter(|_| is_canonical)
            .ok_or_else(|| invalid(text))?;
        let (account, name) = (AccountId::new(account), StreamName::new(name));
        let (Ok(account), Ok(name)) = (account, name) else {
            return Err(invalid(text));
        };
        Self::new(account, name, epoch)
    }
}

impl TryFrom<String> for StreamId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<StreamId> for String {
    fn from(id: StreamId) -> Self {
        id.to_string()
    }
}

/// The Amazon resource name of a stream: it names the account, so it finds the streams of others too.
///
/// ```
/// use kcl_core::StreamArn;
///
/// let arn: StreamArn = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders".parse()?;
/// assert_eq!((arn.account().as_str(), arn.region(), arn.name().as_str()), ("123456789012", "eu-central-1", "orders"));
/// assert!("arn:aws:kinesis:eu-central-1:123456789012:stream/orders/consumer/c:1".parse::<StreamArn>().is_err());
/// # Ok::<(), kcl_core::InvalidId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamArn {
    text: String,
    region: String,
    account: AccountId,
    name: StreamName,
}

impl StreamArn {
    /// The whole name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The region of the stream.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whose the stream is.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.name
    }
}

impl fmt::Display for StreamArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for StreamArn {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let rule = "use arn:aws:kinesis:<region>:<account>:stream/<name>";
        let read = || {
            let parts: [&str; 6] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
            let ["arn", partition, "kinesis", region, account, resource] = parts else {
                return None;
            };
            let is_region = !region.is_empty() && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            (partition.starts_with("aws") && is_region).then_some(())?;
            Some(Self {
                text: text.to_owned(),
                region: region.to_owned(),
                account: AccountId::new(account).ok()?,
                name: StreamName::new(resource.strip_prefix("stream/")?).ok()?,
            })
        };
        read().ok_or_else(|| InvalidId::new("stream ARN", text, rule))
    }
}

/// What a row of the lease table says about its stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[expect(clippy::exhaustive_enums, reason = "an application reads one stream or several")]
pub enum LeaseStream {
    /// The application reads one stream, of this name.
    One(StreamName),
    /// The application reads several, and this is the one.
    OfSeveral(StreamId),
}

impl LeaseStream {
    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        match self {
            Self::One(name) => name,
            Self::OfSeveral(id) => id.name(),
        }
    }
}

impl From<StreamName> for LeaseStream {
    fn from(name: StreamName) -> Self {
        Self::One(name)
    }
}

impl From<StreamId> for LeaseStream {
    fn from(id: StreamId) -> Self {
        Self::OfSeveral(id)
    }
}

impl fmt::Display for LeaseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => name.fmt(f),
            Self::OfSeveral(id) => id.fmt(f),
        }
    }
}

impl std::str::FromStr for LeaseStream {
    type Err = InvalidId;

    /// Reads a name or an `account:stream:epoch`; no name has a colon.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.contains(':') {
            text.parse().map(Self::OfSeveral)
        } else {
            text.parse().map(Self::One)
        }
    }
}

impl TryFrom<String> for LeaseStream {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<LeaseStream> for String {
    fn from(stream: LeaseStream) -> Self {
        stream.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_nonsense_when_read_as_a_stream_then_it_is_refused() {
        let nonsense = [
            "",
            "orders",
            "1:orders",
            "1:orders:",
            ":orders:1",
            "1::1",
            "1:orders:0",
            "1:orders:01",
            "1:orders:+1",
            "1:orders:-1",
            "1:orders:1.5",
            "1:orders:99999999999999999999999",
            "one:orders:1",
            "1:or ders:1",
            "1:orders:1:shardId-0",
            "123456789012345678901:orders:1",
        ];
        for text in nonsense {
            assert!(text.parse::<StreamId>().is_err(), "{text:?}");
        }
        for text in ["123456789012:orders:1357034400", "001:a.b_c-d:1"] {
            assert_eq!(text.parse::<StreamId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn given_a_key_when_asked_for_its_stream_then_only_a_key_of_several_streams_has_one() {
        let stream: StreamId = "1:orders:7".parse().unwrap();
        let key = stream.key_of(&ShardId::new("shardId-000000000001").unwrap());
        assert_eq!(StreamId::of_key(key.as_str()), Some(stream));
        for key in [
            "shardId-000000000001",
            "1:orders:7",
            "1:orders:7:",
            "1:orders:7:a:b",
            "worker:1",
        ] {
            assert_eq!(StreamId::of_key(key), None, "{key}");
        }
    }

    #[test]
    fn given_what_is_no_arn_of_a_stream_when_read_then_it_is_refused() {
        for text in [
            "orders",
            "arn:aws:kinesis:eu-central-1::stream/orders",
            "arn:aws:kinesis::1:stream/orders",
            "arn:aws:dynamodb:eu-central-1:1:table/orders",
            "arn:aws:kinesis:eu-central-1:1:stream/",
            "arn:aws:kinesis:eu-central-1:1:stream/a:b",
            "arn:gcp:kinesis:eu-central-1:1:stream/a",
        ] {
            assert!(text.parse::<StreamArn>().is_err(), "{text:?}");
        }
        let china: StreamArn = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a".parse().unwrap();
        assert_eq!(china.to_string(), china.as_str());
    }

    #[test]
    fn given_what_a_row_says_when_written_and_read_then_it_is_the_same() {
        for text in ["orders", "1:orders:7"] {
            let stream: LeaseStream = text.parse().unwrap();
            assert_eq!(stream.to_string(), text);
            assert_eq!(stream.name().as_str(), "orders");
        }
        assert!("1:orders".parse::<LeaseStream>().is_err());
    }
}
