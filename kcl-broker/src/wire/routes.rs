//! Which operation a request names.

use std::pin::Pin;

use serde::de::DeserializeOwned;

use super::{Format, client::Client, error::Refusal, shape::Output};
use crate::{
    api::{
        AddTagsToStream, CreateStream, DecreaseStreamRetentionPeriod, DeleteResourcePolicy, DeleteStream,
        DeregisterStreamConsumer, DescribeAccountSettings, DescribeLimits, DescribeStream, DescribeStreamConsumer,
        DescribeStreamSummary, DisableEnhancedMonitoring, EnableEnhancedMonitoring, GetRecords, GetResourcePolicy,
        GetShardIterator, IncreaseStreamRetentionPeriod, ListShards, ListStreamConsumers, ListStreams,
        ListTagsForResource, ListTagsForStream, MergeShards, PutRecord, PutRecords, PutResourcePolicy,
        RegisterStreamConsumer, RemoveTagsFromStream, SplitShard, StartStreamEncryption, StopStreamEncryption,
        SubscribeToShard, TagResource, UntagResource, UpdateAccountSettings, UpdateMaxRecordSize, UpdateShardCount,
        UpdateStreamMode, UpdateStreamRecordDistributionStrategy, UpdateStreamWarmThroughput,
    },
    attempt::{self, Attempt},
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
type Run = for<'a> fn(&'a Broker, Client<'a>, Format, &'a [u8]) -> Answer<'a>;

/// Decodes, carries out and encodes one operation.
pub(super) struct Route {
    name: &'static str,
    run: Run,
}

/// Makes routes: `run` for operations that have an output, and others by name.
macro_rules! routes {
    (run: $($operation:ty),+; $($other:ty: $answer:ident),+ $(,)?) => {
        /// The names of all operations.
        pub(super) const NAMES: &[&str] = &[$(<$operation as Operation>::NAME,)+ $(<$other as Operation>::NAME,)+];

        impl Route {
            pub(super) fn named(operation: &str) -> Option<Self> {
                let (name, run): (_, Run) = match operation {
                    $(<$operation as Operation>::NAME => (
                        <$operation as Operation>::NAME,
                        |broker, client, format, body| Box::pin(run::<$operation>(broker, client, format, body)),
                    ),)+
                    $(<$other as Operation>::NAME => (
                        <$other as Operation>::NAME,
                        |broker, client, format, body| Box::pin($answer(broker, client, format, body)),
                    ),)+
                    _ => return None,
                };
                Some(Self { name, run })
            }
        }
    };
}

routes! {
    run:
    AddTagsToStream,
    CreateStream,
    DecreaseStreamRetentionPeriod,
    DeleteResourcePolicy,
    DeleteStream,
    DeregisterStreamConsumer,
    DescribeAccountSettings,
    DescribeLimits,
    DescribeStream,
    DescribeStreamConsumer,
    DescribeStreamSummary,
    DisableEnhancedMonitoring,
    EnableEnhancedMonitoring,
    GetRecords,
    GetResourcePolicy,
    GetShardIterator,
    IncreaseStreamRetentionPeriod,
    ListShards,
    ListStreamConsumers,
    ListStreams,
    ListTagsForResource,
    ListTagsForStream,
    MergeShards,
    PutRecord,
    PutRecords,
    PutResourcePolicy,
    RegisterStreamConsumer,
    RemoveTagsFromStream,
    SplitShard,
    StartStreamEncryption,
    StopStreamEncryption,
    TagResource,
    UntagResource,
    UpdateAccountSettings,
    UpdateMaxRecordSize,
    UpdateShardCount,
    UpdateStreamMode,
    UpdateStreamRecordDistributionStrategy,
    UpdateStreamWarmThroughput;
    SubscribeToShard: subscribe,
}

impl Route {
    /// The operation's name.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) async fn call(
        &self,
        broker: &Broker,
        client: Client<'_>,
        format: Format,
        body: &[u8],
    ) -> Result<Answered, Refusal> {
        (self.run)(broker, client, format, body).await
    }
}

/// Reads a request.
fn decode<O: Operation + DeserializeOwned>(
    broker: &Broker,
    client: Client<'_>,
    format: Format,
    body: &[u8],
) -> Result<O, Refusal> {
    format.decode::<O>(body).map_err(|error| {
        attempt::refused(broker, || client.caller(), O::NAME.into(), error.kind().as_str());
        Refusal::Api(error)
    })
}

async fn run<O>(broker: &Broker, client: Client<'_>, format: Format, body: &[u8]) -> Result<Answered, Refusal>
where
    O: Operation<Output: Output> + DeserializeOwned,
{
    let request = decode::<O>(broker, client, format, body)?;
    let attempt = Attempt::over_http(broker, || client.caller(), &request);
    let output = attempt.answer(request).await?.map_err(Refusal::Api)?;
    Ok(Answered::Output(output.encode(format)))
}

async fn subscribe(broker: &Broker, client: Client<'_>, format: Format, body: &[u8]) -> Result<Answered, Refusal> {
    let request = decode::<SubscribeToShard>(broker, client, format, body)?;
    let attempt = Attempt::over_http(broker, || client.caller(), &request);
    let effect = attempt.effect().cloned();
    let id = attempt.answer(request).await?.map_err(Refusal::Api)?;
    Ok(Answered::Events(Subscription::new(broker.clone(), id, effect.as_ref())))
}
