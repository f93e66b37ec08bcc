//! The constraints of the API's model, and the words in which the service says which of them a request breaks.

use std::{fmt::Display, ops::RangeInclusive};

use crate::api::{ApiError, ErrorKind};

/// The most violations that one error lists.
const LISTED_MAX: usize = 10;
pub(super) const ARN_LEN_MAX: usize = 2048;
const NAME_PATTERN: &str = "[a-zA-Z0-9_.-]+";
const ARN_PATTERN: &str = r"arn:aws.*:kinesis:.*:\d{12}:.*stream\/\S+";
const CONSUMER_ARN_PATTERN: &str =
    "^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/[a-zA-Z0-9_.-]+:[0-9]+";
const NUMBER_PATTERN: &str = r"0|([1-9]\d{0,128})";
const HASH_KEY_PATTERN: &str = r"0|([1-9]\d{0,38})";

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    violations: Vec<String>,
}

impl Constraints {
    /// The value must be there.
    pub(super) fn required<T>(&mut self, path: impl Display, value: Option<&T>) -> &mut Self {
        if value.is_none() {
            self.violated("null", path, "Member must not be null");
        }
        self
    }

    /// The name of a stream or the id of a shard.
    pub(super) fn name(&mut self, path: &str, name: Option<&String>) -> &mut Self {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        self.pattern(path, name, NAME_PATTERN, |text| {
            !text.is_empty() && text.bytes().all(allowed)
        });
        self.length(path, name.map(String::as_str), 1..=128)
    }

    /// How a request addresses a stream.
    pub(super) fn stream(&mut self, name: Option<&String>, arn: Option<&String>) -> &mut Self {
        self.name("streamName", name);
        self.pattern("streamARN", arn, ARN_PATTERN, |arn| stream_of_arn(arn).is_some())
            .length("streamARN", arn.map(String::as_str), 1..=ARN_LEN_MAX)
    }

    /// How a request addresses a consumer.
    pub(super) fn consumer_arn(&mut self, path: &str, arn: Option<&String>) -> &mut Self {
        self.pattern(path, arn, CONSUMER_ARN_PATTERN, |arn| consumer_of_arn(arn).is_some())
            .length(path, arn.map(String::as_str), 1..=ARN_LEN_MAX)
    }

    /// The decimal digits of a sequence number.
    pub(super) fn number(&mut self, path: &str, number: Option<&String>) -> &mut Self {
        self.pattern(path, number, NUMBER_PATTERN, |text| is_canonical_decimal(text, 129))
    }

    /// The decimal digits of a hash key. Whether the number is too large is not for the pattern to say.
    pub(super) fn hash_key(&mut self, path: impl Display, key: Option<&String>) -> &mut Self {
        self.pattern(path, key, HASH_KEY_PATTERN, |text| is_canonical_decimal(text, 39))
    }

    pub(super) fn pattern(
        &mut self,
        path: impl Display,
        text: Option<&String>,
        pattern: &str,
        matches: impl FnOnce(&str) -> bool,
    ) -> &mut Self {
        if let Some(text) = text.filter(|text| !matches(text)) {
            let rule = format!("Member must satisfy regular expression pattern: {pattern}");
            self.violated(format_args!("'{text}'"), path, &rule);
        }
        self
    }

    /// The characters of a text.
    pub(super) fn length(&mut self, path: impl Display, text: Option<&str>, range: RangeInclusive<usize>) -> &mut Self {
        let Some(text) = text else { return self };
        // Counting characters costs more than counting bytes, of which there are never fewer.
        let length = if text.len() <= *range.end() && text.is_ascii() {
            text.len()
        } else {
            text.chars().count()
        };
        if length < *range.start() {
            let rule = format!("Member must have length greater than or equal to {}", range.start());
            self.violated(format_args!("'{text}'"), path, &rule);
        } else if length > *range.end() {
            let rule = format!("Member must have length less than or equal to {}", range.end());
            self.violated(format_args!("'{text}'"), path, &rule);
        }
        self
    }

    /// The bytes of a blob.
    pub(super) fn blob(&mut self, path: impl Display, blob: Option<&bytes::Bytes>, max: usize) -> &mut Self {
        if let Some(len) = blob.map(bytes::Bytes::len).filter(|len| *len > max) {
            let value = format_args!("'java.nio.HeapByteBuffer[pos=0 lim={len} cap={len}]'");
            self.violated(
                value,
                path,
                &format!("Member must have length less than or equal to {max}"),
            );
        }
        self
    }

    /// The members of a list.
    pub(super) fn count(&mut self, path: &str, count: Option<usize>, range: RangeInclusive<usize>) -> &mut Self {
        let Some(count) = count else { return self };
        if count < *range.start() {
            let rule = format!("Member must have length greater than or equal to {}", range.start());
            self.violated("'[]'", path, &rule);
        } else if count > *range.end() {
            let rule = format!("Member must have length less than or equal to {}", range.end());
            self.violated(format_args!("'[{count} members]'"), path, &rule);
        }
        self
    }

    /// A number.
    pub(super) fn range(&mut self, path: &str, number: Option<i32>, range: RangeInclusive<i32>) -> &mut Self {
        let Some(number) = number else { return self };
        if number < *range.start() {
            let rule = format!("Member must have value greater than or equal to {}", range.start());
            self.violated(format_args!("'{number}'"), path, &rule);
        } else if number > *range.end() {
            let rule = format!("Member must have value less than or equal to {}", range.end());
            self.violated(format_args!("'{number}'"), path, &rule);
        }
        self
    }

    /// One of the values of an enumeration.
    pub(super) fn one_of(&mut self, path: &str, text: Option<&String>, values: &[&str]) -> &mut Self {
        if let Some(text) = text.filter(|text| !values.contains(&text.as_str())) {
            let rule = format!("Member must satisfy enum value set: [{}]", values.join(", "));
            self.violated(format_args!("'{text}'"), path, &rule);
        }
        self
    }

    /// The error, if anything is wrong.
    pub(super) fn check(&mut self) -> Result<(), ApiError> {
        match self.violations.len() {
            0 => Ok(()),
            count => Err(ApiError::new(
                ErrorKind::Validation,
                format!(
                    "{count} validation error{} detected: {}",
                    if count == 1 { "" } else { "s" },
                    self.violations.join("; ")
                ),
            )),
        }
    }

    /// Notes that a value breaks a rule.
    pub(super) fn violated(&mut self, value: impl Display, path: impl Display, rule: &str) {
        if self.violations.len() < LISTED_MAX {
            self.violations.push(format!(
                "Value {value} at '{path}' failed to satisfy constraint: {rule}"
            ));
        }
    }
}

/// The value of a member that the constraints have found to be there.
pub(super) fn present<T>(value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::bare(ErrorKind::Validation))
}

/// The name of the stream that `arn` names, in whatever account and region.
pub(super) fn stream_of_arn(arn: &str) -> Option<&str> {
    resource_of_arn(arn, "stream/")
}

/// The region and the account of an ARN that is well formed.
pub(super) fn place_of_arn(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':').skip(3);
    Some((parts.next()?, parts.next()?))
}

/// The name of the resource of this kind that `arn` names.
pub(super) fn resource_of_arn<'a>(arn: &'a str, kind: &str) -> Option<&'a str> {
    let mut parts = arn.splitn(6, ':');
    let well_formed = parts.next() == Some("arn")
        && parts.next().is_some_and(|partition| partition.starts_with("aws"))
        && parts.next() == Some("kinesis")
        && parts.next().is_some()
        && parts
            .next()
            .is_some_and(|account| account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()));
    let name = parts.next()?.strip_prefix(kind)?;
    (well_formed && !name.is_empty() && !name.contains(char::is_whitespace)).then_some(name)
}

/// The stream, the name and the creation second of the consumer that `arn` names, in whatever account and region.
pub(super) fn consumer_of_arn(arn: &str) -> Option<(&str, &str, u64)> {
    let (stream, consumer) = arn.split_once("/consumer/")?;
    let stream = stream_of_arn(stream)?;
    let (name, created) = consumer.split_once(':')?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let well_formed = !name.is_empty() && name.bytes().all(allowed) && created.bytes().all(|b| b.is_ascii_digit());
    Some((stream, name, created.parse().ok()?)).filter(|_| well_formed)
}

/// The index in a shard's id: `shardId-000000000002`, `shardId-2` and `2` are the same shard.
pub(super) fn shard_index(id: &str) -> Option<u32> {
    let digits = id.strip_prefix("shardId-").unwrap_or(id);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|index| *index <= i32::MAX.unsigned_abs())
}

fn is_canonical_decimal(text: &str, digits_max: usize) -> bool {
    text == "0"
        || ((1..=digits_max).contains(&text.len())
            && !text.starts_with('0')
            && text.bytes().all(|b| b.is_ascii_digit()))
}
