//! Values of settings that are more than a number: names and ARNs.

use std::{fmt, str::FromStr};

use kcl_core::{ConsumerName, StreamArn};
use serde::{Deserialize, Serialize};

/// A text is not what a setting needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot be used: {rule}")]
pub struct InvalidValue {
    text: String,
    rule: &'static str,
}

impl InvalidValue {
    fn new(text: &str, rule: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            rule,
        }
    }

    /// What the text must be.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

/// Where records come from: a stream, or a consumer of it that has throughput of its own.
///
/// ```
/// use kcl_lambda::mapping::EventSourceArn;
///
/// let consumer = "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry/consumer/probe:1763700000";
/// let source: EventSourceArn = consumer.parse()?;
/// assert_eq!(source.stream().name().as_str(), "telemetry");
/// assert_eq!(source.consumer().map(|name| name.as_str()), Some("probe"));
/// assert_eq!(source.as_str(), consumer);
/// # Ok::<(), kcl_lambda::mapping::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSourceArn {
    text: String,
    stream: StreamArn,
    consumer: Option<ConsumerName>,
}

impl EventSourceArn {
    /// The whole name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamArn {
        &self.stream
    }

    /// The consumer, if one is named: records then come by subscription.
    #[must_use]
    pub fn consumer(&self) -> Option<&ConsumerName> {
        self.consumer.as_ref()
    }
}

impl From<StreamArn> for EventSourceArn {
    fn from(stream: StreamArn) -> Self {
        Self {
            text: stream.as_str().to_owned(),
            stream,
            consumer: None,
        }
    }
}

impl FromStr for EventSourceArn {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let rule = "use arn:aws:kinesis:<region>:<account>:stream/<name>, or with /consumer/<name>:<time> after it";
        let read = || -> Option<Self> {
            let Some((stream, consumer)) = text.split_once("/consumer/") else {
                return Some(Self::from(text.parse::<StreamArn>().ok()?));
            };
            let (name, created) = consumer.split_once(':')?;
            created.parse::<u64>().ok()?;
            Some(Self {
                text: text.to_owned(),
                stream: stream.parse().ok()?,
                consumer: Some(ConsumerName::new(name).ok()?),
            })
        };
        read().ok_or_else(|| InvalidValue::new(text, rule))
    }
}

impl fmt::Display for EventSourceArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The function: its name, `name:version`, or an ARN, as AWS has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionName(String);

impl FunctionName {
    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version or alias that was asked for.
    #[must_use]
    pub fn qualifier(&self) -> Option<&str> {
        let parts: Vec<_> = self.0.split(':').collect();
        match *parts.as_slice() {
            [_, qualifier] => Some(qualifier),
            ["arn", .., "function", _, qualifier] | [_, "function", _, qualifier] => Some(qualifier),
            _ => None,
        }
    }
}

impl FromStr for FunctionName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'$' | b'.');
        if (1..=170).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            let rule = "use the name or the ARN of a function, with :<version> if you like";
            Err(InvalidValue::new(text, rule))
        }
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where batches go that were given up, of the places that AWS has.
///
/// ```
/// use kcl_lambda::mapping::Destination;
///
/// let queue: Destination = "arn:aws:sqs:eu-west-1:111122223333:dead-letters".parse()?;
/// assert!(matches!(queue, Destination::Sqs { .. }));
/// assert!("arn:aws:sqs:eu-west-1:111122223333:dead-letters.fifo".parse::<Destination>().is_err());
/// # Ok::<(), kcl_lambda::mapping::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destination {
    /// A standard queue.
    Sqs {
        /// Its ARN.
        arn: String,
    },
    /// A standard topic.
    Sns {
        /// Its ARN.
        arn: String,
    },
    /// A bucket.
    S3 {
        /// Its ARN.
        arn: String,
    },
}

impl Destination {
    /// The ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        match self {
            Self::Sqs { arn } | Self::Sns { arn } | Self::S3 { arn } => arn,
        }
    }

    /// The name of the queue, the topic or the bucket.
    #[must_use]
    pub fn name(&self) -> &str {
        self.arn().rsplit(':').next().unwrap_or_default()
    }
}

impl FromStr for Destination {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let refuse = |rule| Err(InvalidValue::new(text, rule));
        let parts: Vec<_> = text.split(':').collect();
        let arn = text.to_owned();
        match *parts.as_slice() {
            ["arn", _, "sqs" | "sns", .., name] if name.ends_with(".fifo") => {
                refuse("use a standard queue or topic: Lambda cannot write to FIFO ones")
            }
            ["arn", _, "sqs", region, account, name] if ![region, account, name].contains(&"") => Ok(Self::Sqs { arn }),
            ["arn", _, "sns", region, account, name] if ![region, account, name].contains(&"") => Ok(Self::Sns { arn }),
            ["arn", _, "s3", "", "", bucket] if !bucket.is_empty() && !bucket.contains('/') => Ok(Self::S3 { arn }),
            _ => refuse("use the ARN of an SQS queue, an SNS topic or an S3 bucket"),
        }
    }
}

/// How a function may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FunctionResponseType {
    /// It may name the records that failed.
    ReportBatchItemFailures,
}

/// Metrics that are counted on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Metric {
    /// How many records were read, filtered out, sent, failed, dropped and delivered to the destination.
    EventCount,
}

/// Where batches go that were given up, of the places that AWS does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadLetterPlace {
    /// `sqlite:<path>`: a database file.
    Sqlite(String),
    /// The ARN of a stream: each record goes there with a description.
    Stream(StreamArn),
}

impl FromStr for DeadLetterPlace {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let place = match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Some(Self::Sqlite(path.to_owned())),
            _ => text.parse().ok().map(Self::Stream),
        };
        place.ok_or_else(|| InvalidValue::new(text, "use sqlite:<path> or the ARN of a stream"))
    }
}

impl fmt::Display for DeadLetterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{path}"),
            Self::Stream(arn) => arn.fmt(f),
        }
    }
}
