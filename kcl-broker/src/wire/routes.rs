//! Which operation a request names.

use serde::de::DeserializeOwned;

use super::{Format, shape::Output};
use crate::{
    api::{
        ApiError, CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary, GetRecords, GetShardIterator,
        ListShards, ListStreams, MergeShards, PutRecord, PutRecords, SplitShard,
    },
    broker::Broker,
    engine::Operation,
};

type Run = fn(&Broker, Format, &[u8]) -> Result<Vec<u8>, ApiError>;

/// Decodes, carries out and encodes one operation.
pub(super) struct Route(Run);

/// Finds the route of `$name` among operations.
macro_rules! route {
    ($name:expr, $($operation:ty),+ $(,)?) => {
        match $name {
            $(<$operation as Operation>::NAME => Some(Route(run::<$operation>)),)+
            _ => None,
        }
    };
}

impl Route {
    pub(super) fn named(operation: &str) -> Option<Self> {
        route!(
            operation,
            CreateStream,
            DeleteStream,
            DescribeStream,
            DescribeStreamSummary,
            GetRecords,
            GetShardIterator,
            ListShards,
            ListStreams,
            MergeShards,
            PutRecord,
            PutRecords,
            SplitShard,
        )
    }

    pub(super) fn call(&self, broker: &Broker, format: Format, body: &[u8]) -> Result<Vec<u8>, ApiError> {
        (self.0)(broker, format, body)
    }
}

fn run<O>(broker: &Broker, format: Format, body: &[u8]) -> Result<Vec<u8>, ApiError>
where
    O: Operation<Output: Output> + DeserializeOwned,
{
    let request = format.decode::<O>(body)?;
    Ok(broker.call(request)?.encode(format))
}
