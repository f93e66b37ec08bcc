//! The broker's heart: what the service does, as a function of the time, the request and what was before.
//!
//! The engine does no I/O, reads no clock, draws no random number and spawns nothing: the same calls at the same times
//! give the same answers, byte for byte. What is to happen at some time happens with the first call after it.

mod account;
mod attached;
mod capacity;
mod consumers;
mod growth;
mod lifecycle;
mod limits;
mod list_shards;
mod policies;
mod quirk;
mod read;
mod reshard;
mod retention;
mod scaling;
mod sequence;
mod settings;
mod shard;
mod start;
mod stream;
mod streams;
mod subscriptions;
mod tags;
mod token;
mod validate;
mod warm;
mod write;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use kcl_core::{ShardId, StreamName, Timestamp};
use serde::{Deserialize, Serialize};

use self::{
    account::Commitment,
    limits::CallMeters,
    shard::{ShardLog, shard_name},
    stream::Stream,
    subscriptions::Subscriptions,
    token::Life,
    validate::{place_of_arn, shard_index, stream_of_arn},
};
pub use self::{
    limits::Limits,
    quirk::{FailRecords, Quirk},
    subscriptions::{Step, SubscriptionId},
};
use crate::api::{ApiError, ErrorKind};

/// What can be chosen about an [`Engine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// The twelve digits of the account that ARNs and messages name.
    pub account: String,
    /// The region that ARNs and messages name.
    pub region: String,
    /// How long records are kept. The service begins with 24 hours.
    pub retention: Duration,
    /// The most bytes that all records may take, each with 256 bytes for its bookkeeping. Beyond it writes are refused with
    /// `LimitExceededException`. The default of 2 GiB fits a developer's machine.
    pub stored_bytes_max: u64,
    /// The most open shards of all streams together. The default of 20000 is the largest that the service has by default.
    pub open_shards_max: usize,
    /// The most shards of all streams together, with those that are closed and retained. Beyond it changes of shards are
    /// refused with `LimitExceededException`. The default of 200000 takes some 200 MB.
    pub shards_max: usize,
    /// How long streams and consumers take to change from one state to another. By default they change at once.
    pub transition: Duration,
    /// Whether the limits of the service's throughput hold. By default they do not.
    pub limits: Limits,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            retention: Duration::from_hours(24),
            stored_bytes_max: 2 << 30,
            open_shards_max: 20_000,
            shards_max: 200_000,
            transition: Duration::ZERO,
            limits: Limits::Off,
        }
    }
}

/// A request that the engine can carry out. The requests in [`api`](crate::api) are.
pub trait Operation {
    /// The operation's name, as the service has it.
    const NAME: &'static str;
    /// What the operation answers.
    type Output;

    /// What the request is about, as far as the request itself tells.
    fn subject(&self) -> Subject {
        Subject::default()
    }

    /// The shards that the request is about, of which the one that [`subject`](Self::subject) names is one.
    fn shards(&self, engine: &Engine) -> Vec<String> {
        let _ = engine;
        self.subject().shard.into_iter().collect()
    }

    /// What the request brings.
    fn load(&self) -> Load {
        Load::default()
    }

    /// What an answer brings.
    fn load_of(output: &Self::Output) -> Load {
        let _ = output;
        Load::default()
    }

    /// The shard that an answer is about, if it is one, where the request does not tell.
    fn shard_of(output: &Self::Output) -> Option<&ShardId> {
        let _ = output;
        None
    }

    /// Carries the request out. Call [`Engine::call`] instead, which sees to the time.
    ///
    /// # Errors
    /// As the service has it for the operation.
    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<Self::Output, ApiError>;
}

/// What a request is about: what a log of operations shows, and what scripted trouble is aimed at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The stream's name.
    pub stream: Option<String>,
    /// The shard's id.
    pub shard: Option<String>,
}

/// Records on their way, as a log of operations counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// How many.
    pub records: u64,
    /// Their data and partition keys.
    pub bytes: u64,
}

impl Subject {
    /// A stream, addressed as requests do. The ARN may be one of its consumers'.
    fn stream(name: Option<&String>, arn: Option<&String>) -> Self {
        let of_arn = || {
            let path = arn.and_then(|arn| stream_of_arn(arn))?;
            path.split('/').next().map(str::to_owned)
        };
        Self {
            stream: name.cloned().or_else(of_arn),
            shard: None,
        }
    }

    /// A shard of a stream.
    fn shard(name: Option<&String>, arn: Option<&String>, shard: Option<&String>) -> Self {
        Self {
            shard: shard.cloned(),
            ..Self::stream(name, arn)
        }
    }
}

/// All streams of one account.
///
/// ```
/// use kcl_broker::{Engine, EngineConfig, api::{CreateStream, PutRecord}};
/// use kcl_core::Timestamp;
///
/// let mut engine = Engine::new(EngineConfig::default());
/// let now = Timestamp::from_epoch_millis(1_357_034_400_000);
/// engine.call(now, CreateStream::new("rides", 2))?;
/// let put = engine.call(now, PutRecord::new("rides", "taxi-7", "from A to B"))?;
/// assert_eq!(put.shard_id.as_str(), "shardId-000000000001");
/// # Ok::<(), kcl_broker::ApiError>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    /// The latest time that a call has brought.
    now: Timestamp,
    streams: BTreeMap<StreamName, Stream>,
    /// When the first of the changes that have begun takes effect.
    change_due: Option<Timestamp>,
    streams_made: u64,
    /// Numbers of new streams begin after this second, so that no number of a deleted stream is one of a new stream's.
    deleted_second: u64,
    stored_bytes: u64,
    /// Meters the operations that are limited for the account.
    calls: CallMeters,
    commitment: Option<Commitment>,
    /// When the shards of on-demand streams are looked at next, if any was written to since they were.
    growth_due: Option<Timestamp>,
    subscriptions: Subscriptions,
    /// What goes wrong in the call that is carried out.
    quirk: Option<Quirk>,
}

impl Engine {
    /// An engine without streams.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        Self {
            config,
            now: Timestamp::from_epoch_millis(i64::MIN),
            streams: BTreeMap::new(),
            change_due: None,
            streams_made: 0,
            deleted_second: 0,
            stored_bytes: 0,
            calls: CallMeters::default(),
            commitment: None,
            growth_due: None,
            subscriptions: Subscriptions::default(),
            quirk: None,
        }
    }

    /// Carries out `operation` at the time `now`.
    ///
    /// Time never goes back here: a `now` before that of an earlier call counts as that one.
    ///
    /// # Errors
    /// As the service has it for the operation. Then nothing has changed.
    pub fn call<O: Operation>(&mut self, now: Timestamp, operation: O) -> Result<O::Output, ApiError> {
        self.now = self.now.max(now);
        let now = self.now;
        self.catch_up(now);
        self.admit_call(O::NAME, || operation.subject(), now)?;
        operation.execute(self, now)
    }

    /// Lets everything happen that was to happen until `now`.
    fn catch_up(&mut self, now: Timestamp) {
        self.grow(now);
        self.settle(now);
    }

    /// The bytes that the records of all streams take, as they count against the limit.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    fn no_such_stream(&self, name: &str) -> ApiError {
        let account = &self.config.account;
        ApiError::new(
            ErrorKind::ResourceNotFound,
            format!("Stream {name} under account {account} not found."),
        )
    }

    fn arn(&self, stream: &StreamName) -> String {
        format!(
            "arn:aws:kinesis:{}:{}:stream/{stream}",
            self.config.region, self.config.account
        )
    }

    /// Refuses the ARN of another account's stream, or of another region's: there is none here.
    fn check_place(&self, arn: &str, stream: &str) -> Result<(), ApiError> {
        match place_of_arn(arn) {
            Some((region, account)) if region != self.config.region || account != self.config.account => {
                let found = format!("Stream {stream} under account {account} not found.");
                let hint = format!(
                    " This broker is account {} in region {}.",
                    self.config.account, self.config.region
                );
                Err(ApiError::new(ErrorKind::ResourceNotFound, found + &hint))
            }
            _ => Ok(()),
        }
    }

    /// The name of the stream that a request addresses, and that it exists.
    fn address(&self, name: Option<&String>, arn: Option<&String>) -> Result<StreamName, ApiError> {
        let of_arn = arn.and_then(|arn| stream_of_arn(arn));
        let name = match (name.map(String::as_str), of_arn) {
            (Some(name), Some(of_arn)) if name != of_arn => {
                return Err(ApiError::invalid(format!(
                    "StreamName {name} does not match the stream of StreamARN {of_arn}."
                )));
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => return Err(ApiError::invalid("Either StreamName or StreamARN should be provided.")),
        };
        if let Some(arn) = arn {
            self.check_place(arn, name)?;
        }
        match self.streams.get_key_value(name) {
            Some((name, _)) => Ok(name.clone()),
            None => Err(self.no_such_stream(name)),
        }
    }

    fn stream(&self, name: Option<&String>, arn: Option<&String>) -> Result<&Stream, ApiError> {
        self.existing(&self.address(name, arn)?)
    }

    fn existing(&self, name: &StreamName) -> Result<&Stream, ApiError> {
        self.streams.get(name).ok_or_else(|| self.no_such_stream(name.as_str()))
    }

    /// Takes what is no longer retained off a stream.
    fn trim(&mut self, name: &StreamName, now: Timestamp) {
        if let Some(stream) = self.streams.get_mut(name) {
            self.stored_bytes -= stream.trim(now);
        }
    }

    /// The stream that a token was made for, if it is in the same life.
    fn stream_of_token(&self, name: &StreamName, life: Life, refusal: &str) -> Result<&Stream, ApiError> {
        let stream = self.existing(name)?;
        if stream.life == life {
            Ok(stream)
        } else {
            Err(ApiError::invalid(refusal))
        }
    }

    /// The shard of `stream` with this id.
    fn shard<'a>(&self, stream: &'a Stream, id: &str, now: Timestamp) -> Result<&'a ShardLog, ApiError> {
        let (account, name) = (&self.config.account, &stream.name);
        let index = shard_index(id).ok_or_else(|| {
            let message = format!("Could not find shard {id} in stream {name} under account {account}.");
            ApiError::new(ErrorKind::ResourceNotFound, message)
        })?;
        stream
            .shard(index, now)
            .ok_or_else(|| self.no_such_shard(stream, index))
    }

    fn no_such_shard(&self, stream: &Stream, index: u32) -> ApiError {
        let (account, name) = (&self.config.account, &stream.name);
        let message = format!(
            "Shard {} in stream {name} under account {account} does not exist",
            shard_name(index)
        );
        ApiError::new(ErrorKind::ResourceNotFound, message)
    }

    /// Refuses `additional` open shards if they are too many.
    fn check_open_shards(&self, additional: usize) -> Result<(), ApiError> {
        let open: usize = self.streams.values().map(Stream::claimed_shard_count).sum();
        let EngineConfig {
            account,
            region,
            open_shards_max: limit,
            ..
        } = &self.config;
        if open.saturating_add(additional) <= *limit {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorKind::LimitExceeded,
            format!(
                "This request would exceed the shard limit for the account {account} in {region}. Current shard count \
                 for the account: {open}. Limit: {limit}. Number of additional shards that would have resulted from \
                 this request: {additional}. Refer to the AWS Service Limits page \
                 (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to \
                 request higher limits."
            ),
        ))
    }
}
