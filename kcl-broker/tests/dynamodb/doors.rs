//! A broker, and an SDK's client that reaches it.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use kcl_broker::{Broker, Server};

pub(crate) struct World {
    broker: Broker,
    client: Client,
    server: Option<Server>,
}

impl World {
    pub(crate) fn in_process() -> Self {
        let broker = Broker::new();
        let config = config().endpoint_url("http://broker").http_client(broker.http_client());
        Self {
            client: Client::from_conf(config.build()),
            broker,
            server: None,
        }
    }

    pub(crate) async fn over_http() -> Self {
        let broker = Broker::new();
        let server = Server::bind(broker.clone(), ([127, 0, 0, 1], 0)).await.unwrap();
        Self {
            client: Client::from_conf(config().endpoint_url(server.endpoint_url()).build()),
            broker,
            server: Some(server),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) async fn shutdown(self) {
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}

fn config() -> aws_sdk_dynamodb::config::Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
}
