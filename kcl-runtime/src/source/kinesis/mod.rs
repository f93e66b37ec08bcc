//! Kinesis through the AWS SDK: the catalog of a stream, polling, enhanced fan-out and its consumers.

mod catalog;
mod clients;
mod consumers;
mod failure;
mod fan_out;
mod poll;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use kcl_core::{
    Position, Shard, ShardFilter, ShardId, StreamArn, StreamId, StreamName,
    fetch::{FetchFailure, SubscribeAt, consumer::ConsumerSelector},
};

use self::{clients::Clients, consumers::Consumers};
use super::{RecordSource, ShardReader};

/// How long one request may take, retries included. KCL's default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A Kinesis stream.
///
/// The client brings region, endpoint, credentials and retries; throttling that outlasts its retries slows the shard
/// down and is counted.
///
/// Where connections hang, the source goes on with another client of the same configuration, which makes connections of its
/// own: when two requests in a row reach their limit, and when the worker's watchdog asks for it ([`RecordSource::reconnect`]), at
/// most every ten seconds. A client whose configuration names an HTTP client would share its connections; for such a one say
/// how another is made ([`with_new_clients`](Self::with_new_clients)).
#[derive(Clone, Debug)]
pub struct KinesisSource {
    clients: Arc<Clients>,
    stream: StreamName,
    arn: Option<StreamArn>,
    request_timeout: Duration,
    consumers: Arc<Consumers>,
}

impl KinesisSource {
    /// Reads `stream`, of the caller's own account, through `client`.
    #[must_use]
    pub fn new(client: Client, stream: StreamName) -> Self {
        Self {
            clients: Arc::new(Clients::new(client)),
            stream,
            arn: None,
            request_timeout: REQUEST_TIMEOUT,
            consumers: Arc::default(),
        }
    }

    /// Reads the stream that `arn` names, of the caller's account or of another one whose policy allows it, through `client`.
    #[must_use]
    pub fn by_arn(client: Client, arn: StreamArn) -> Self {
        let source = Self::new(client, arn.name().clone());
        Self {
            arn: Some(arn),
            ..source
        }
    }

    /// The stream's name in a request, unless its ARN is there.
    fn name_to_send(&self) -> Option<String> {
        self.arn.is_none().then(|| self.stream.to_string())
    }

    fn arn_to_send(&self) -> Option<String> {
        self.arn.as_ref().map(ToString::to_string)
    }

    /// The client of now: a request begun with it ends with it.
    fn client(&self) -> Client {
        self.clients.current()
    }

    /// The same source, which gets its next client from `make` when connections hang, in place of one with the same
    /// configuration. What `make` gives should have connections of its own.
    ///
    /// ```
    /// # use aws_sdk_kinesis::{Client, Config, config::{BehaviorVersion, HttpClient}};
    /// # use kcl_core::StreamName;
    /// # use kcl_runtime::KinesisSource;
    /// # fn own_http_client() -> impl HttpClient + 'static { kcl_broker::Broker::new().http_client() }
    /// fn client() -> Client {
    ///     let config = Config::builder().behavior_version(BehaviorVersion::latest());
    ///     Client::from_conf(config.http_client(own_http_client()).build())
    /// }
    ///
    /// let source = KinesisSource::new(client(), StreamName::new("orders")?).with_new_clients(client);
    /// # Ok::<(), kcl_core::InvalidId>(())
    /// ```
    #[must_use]
    pub fn with_new_clients(mut self, make: impl Fn() -> Client + Send + Sync + 'static) -> Self {
        self.clients = Arc::new(Clients::new(self.client()).made_by(make));
        self
    }

    /// The same source, with another limit on how long a request may take. The default is 30 s.
    #[must_use]
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }
}

#[async_trait]
impl RecordSource for KinesisSource {
    fn stream(&self) -> &StreamName {
        &self.stream
    }

    async fn identify(&self) -> Result<StreamId, FetchFailure> {
        self.ask_for_id().await
    }

    async fn list_shards(&self, filter: ShardFilter) -> Result<Vec<Shard>, FetchFailure> {
        self.list(filter).await
    }

    fn reconnect(&self) {
        self.clients.renew(&self.stream);
    }

    async fn open(&self, shard: &ShardId, position: &Position) -> Result<Box<dyn ShardReader>, FetchFailure> {
        self.poll_from(shard, position).await
    }

    async fn subscribe(
        &self,
        shard: &ShardId,
        at: &SubscribeAt,
        consumer: &ConsumerSelector,
    ) -> Result<Box<dyn ShardReader>, FetchFailure> {
        self.subscribe_as(shard, at, consumer).await
    }

    async fn deregister(&self, consumer: &ConsumerSelector) -> Result<(), FetchFailure> {
        self.deregister_consumer(consumer).await
    }
}
