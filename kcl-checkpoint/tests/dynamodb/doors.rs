//! A broker, and clients that reach it.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, HttpClient, Region, retry::RetryConfig},
};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use kcl_broker::{Broker, Server};
use kcl_checkpoint::{DynamoDbConfig, DynamoDbLeaseStore};
use kcl_core::{StoreError, Timestamp};

pub(crate) const TABLE: &str = "billing";

fn config() -> aws_sdk_dynamodb::config::Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
}

/// A client that reaches the broker without a socket.
pub(crate) fn client_of(broker: &Broker) -> Client {
    client_over(broker.http_client())
}

pub(crate) fn client_over(http: impl HttpClient + 'static) -> Client {
    Client::from_conf(config().endpoint_url("http://broker").http_client(http).build())
}

pub(crate) fn client_at(endpoint: &str) -> Client {
    Client::from_conf(config().endpoint_url(endpoint).build())
}

/// A broker on the network.
pub(crate) struct Network {
    pub(crate) broker: Broker,
    server: Server,
}

impl Network {
    pub(crate) async fn start() -> Self {
        let broker = Broker::new();
        let server = Server::bind(broker.clone(), ([127, 0, 0, 1], 0)).await.unwrap();
        Self { broker, server }
    }

    pub(crate) fn client(&self) -> Client {
        client_at(&self.server.endpoint_url())
    }

    pub(crate) async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

/// A broker on tokio's time, so that changes that take a while can be waited for without waiting.
pub(crate) fn broker_with_transition(transition: Duration) -> Broker {
    #[expect(clippy::disallowed_methods, reason = "the clock that paused time moves")]
    let origin = tokio::time::Instant::now();
    let start = Timestamp::from_epoch_millis(1_357_034_400_000);
    Broker::builder()
        .clock(Arc::new(move || start.saturating_add(origin.elapsed())))
        .transition(transition)
        .build()
}

pub(crate) async fn open(client: Client) -> DynamoDbLeaseStore {
    DynamoDbLeaseStore::open(client, TABLE).await.unwrap()
}

pub(crate) async fn open_with(
    client: Client,
    choose: impl FnOnce(&mut DynamoDbConfig),
) -> Result<DynamoDbLeaseStore, StoreError> {
    let mut config = DynamoDbConfig::default();
    choose(&mut config);
    DynamoDbLeaseStore::open_with(client, TABLE, config).await
}

/// A service that refuses one operation as the broker never does.
#[derive(Clone, Debug)]
pub(crate) struct Refusing {
    pub(crate) broker: Broker,
    pub(crate) operation: &'static str,
    /// On which table; on all of them if it is none.
    pub(crate) table: Option<&'static str>,
    pub(crate) code: &'static str,
}

impl Refusing {
    /// A broker at which the permission for this is missing.
    pub(crate) fn denying(broker: &Broker, operation: &'static str, table: Option<&'static str>) -> Self {
        Self {
            broker: broker.clone(),
            operation,
            table,
            code: "AccessDeniedException",
        }
    }

    fn refuses(&self, request: &HttpRequest) -> bool {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let body = request.body().bytes().unwrap_or_default();
        let is_about = |table: &str| {
            let name = format!(r#""TableName":"{table}""#).into_bytes();
            body.windows(name.len()).any(|part| part == name)
        };
        target.ends_with(&format!(".{}", self.operation)) && self.table.is_none_or(is_about)
    }
}

impl HttpClient for Refusing {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Refusing {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !self.refuses(&request) {
            return self.broker.http_client().call(request);
        }
        let body = format!(
            r#"{{"__type":"com.amazon.coral.service#{}","message":"User: x is not authorized"}}"#,
            self.code
        );
        let status = StatusCode::try_from(400).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, body.into())))
    }
}
