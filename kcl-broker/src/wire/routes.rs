//! Which operation a request names.

use std::pin::Pin;

use serde::de::DeserializeOwned;

use super::{Format, Peer, error::Refusal, shape::Output};
use crate::{
    api::{
        CreateStream, DeleteStream, DeregisterStreamConsumer, DescribeStream, DescribeStreamConsumer,
        DescribeStreamSummary, GetRecords, GetShardIterator, ListShards, ListStreamConsumers, ListStreams, MergeShards, PutRecord, PutRecords,
        RegisterStreamConsumer, SplitShard, SubscribeToShard,
    },
    broker::Broker,
    engine::Operation,
    subscription::Subscription,
};

/// What a request gets.
pub(super) enum Answered {
    /// An output, encoded.
    Output(Vec<u8>),
    /// What a subscription gives from now on.
    Events(Subscription),
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Answered, Refusal>> + Send + 'a>>;
type Run = for<'a> fn(&'a Broker, Peer, Format, &'a [u8]) -> Answer<'a>;

/// Decodes, carries out and encodes one operation.
pub(super) struct Route(Run);

/// Finds the route of `$name` among operations.
macro_rules! route {
    ($name:expr, $($operation:ty),+ $(,)?) => {
        match $name {
            $(<$operation as Operation>::NAME => Some(Route(|broker, peer, format, body| Box::pin(run::<$operation>(broker, peer, format, body)))),)+
            _ => None,
        }
    };
}

impl Route {
    pub(super) fn named(operation: &str) -> Option<Self> {
        if operation == SubscribeToShard::NAME {
            return Some(Self(|broker, peer, format, body| {
                Box::pin(subscribe(broker, peer, format, body))
            }));
        }
        route!(
            operation,
            CreateStream,
            DeleteStream,
            DeregisterStreamConsumer,
            DescribeStream,
            DescribeStreamConsumer,
            DescribeStreamSummary,
            GetRecords,
            GetShardIterator,
            ListShards,
            ListStreamConsumers,
            ListStreams,
            MergeShards,
            PutRecord,
            PutRecords,
            RegisterStreamConsumer,
            SplitShard,
        )
    }

    pub(super) async fn call(
        &self,
        broker: &Broker,
        peer: Peer,
        format: Format,
        body: &[u8],
    ) -> Result<Answered, Refusal> {
        (self.0)(broker, peer, format, body).await
    }
}

async fn run<O>(broker: &Broker, peer: Peer, format: Format, body: &[u8]) -> Result<Answered, Refusal>
where
    O: Operation<Output: Output> + DeserializeOwned,
{
    let request = format.decode::<O>(body).map_err(Refusal::Api)?;
    tracing::trace!(operation = O::NAME, ?peer, "request");
    let output = broker.call(request).map_err(Refusal::Api)?;
    Ok(Answered::Output(output.encode(format)))
}

async fn subscribe(broker: &Broker, peer: Peer, format: Format, body: &[u8]) -> Result<Answered, Refusal> {
    let request = format.decode::<SubscribeToShard>(body).map_err(Refusal::Api)?;
    tracing::trace!(operation = SubscribeToShard::NAME, ?peer, "request");
    broker.subscribe(request).map(Answered::Events).map_err(Refusal::Api)
}
