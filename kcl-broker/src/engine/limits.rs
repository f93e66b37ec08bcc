//! The limits of the service's throughput: what a shard takes and gives in a second, and how often it can be called.

mod bucket;
mod calls;
mod shard;

#[cfg(test)]
mod tests;

use kcl_core::{StreamName, Timestamp};

pub(super) use self::{
    bucket::{Bucket, Rate},
    calls::CallMeters,
    shard::ShardMeters,
};
use super::{Engine, Subject, shard::shard_name};
use crate::api::{ApiError, ErrorKind};

/// Whether the limits of the service's throughput hold.
///
/// ```
/// use std::sync::Arc;
/// use kcl_broker::{Broker, ErrorKind, Limits, api::{CreateStream, PutRecord}};
/// use kcl_core::Timestamp;
///
/// let broker = Broker::builder()
///     .limits(Limits::Aws)
///     .clock(Arc::new(|| Timestamp::from_epoch_millis(1_357_034_400_000)))
///     .build();
/// broker.call(CreateStream::new("rides", 1))?;
/// broker.call(PutRecord::new("rides", "taxi-7", vec![0; 1_000_000]))?;
/// let refused = broker.call(PutRecord::new("rides", "taxi-7", vec![0; 1_000_000])).unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::ProvisionedThroughputExceeded);
/// # Ok::<(), kcl_broker::ApiError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limits {
    /// None: everything passes as fast as the machine can.
    #[default]
    Off,
    /// Those of the service: per shard 1 MiB and 1000 records a second in, 2 MiB and 5 reads a second out, and what each
    /// operation allows an account or a stream.
    Aws,
}

impl Engine {
    /// Refuses a call of an operation that has been called too often. The operations on records are not counted here:
    /// what they may do is a matter of shards.
    pub(super) fn admit_call(
        &mut self,
        operation: &'static str,
        subject: impl FnOnce() -> Subject,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        if self.config.limits == Limits::Off {
            return Ok(());
        }
        let Some(limit) = calls::limit_of(operation) else {
            return Ok(());
        };
        let stream = subject().stream;
        let account = &self.config.account;
        // Who asks for what does not exist is told so, and has used up nothing.
        let meters = match stream.as_deref().filter(|_| limit.per_stream) {
            Some(name) => self.streams.get_mut(name).map(|stream| &mut stream.calls),
            None => Some(&mut self.calls),
        };
        if meters.is_none_or(|meters| meters.take(operation, limit.rate, now)) {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorKind::LimitExceeded,
            match stream {
                Some(name) => format!("Rate exceeded for stream {name} under account {account}."),
                None => format!("Rate exceeded for account {account}."),
            },
        ))
    }

    /// Refuses what the meters of a shard do not let pass, if limits hold.
    pub(super) fn meter(
        &mut self,
        stream: &StreamName,
        shard: u32,
        passes: impl FnOnce(&mut ShardMeters) -> bool,
    ) -> Result<(), ApiError> {
        if self.config.limits == Limits::Off {
            return Ok(());
        }
        let log = self
            .streams
            .get_mut(stream)
            .and_then(|stream| stream.shards.get_mut(&shard));
        if log.is_none_or(|log| passes(&mut log.meters)) {
            return Ok(());
        }
        Err(self.shard_rate_exceeded(stream, shard))
    }

    /// Says that a shard was asked for too much.
    pub(super) fn shard_rate_exceeded(&self, stream: &StreamName, shard: u32) -> ApiError {
        let (shard, account) = (shard_name(shard), &self.config.account);
        ApiError::new(
            ErrorKind::ProvisionedThroughputExceeded,
            format!("Rate exceeded for shard {shard} in stream {stream} under account {account}."),
        )
    }
}
