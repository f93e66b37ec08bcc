//! A broker with a clock of its own, and an SDK's client that reaches it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aws_sdk_kinesis::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
};
use kcl_broker::{Broker, Server};
use kcl_core::Timestamp;

pub(crate) struct World {
    broker: Broker,
    millis: Arc<AtomicI64>,
    client: Client,
    server: Option<Server>,
}

impl World {
    pub(crate) fn in_process() -> Self {
        let (broker, millis) = broker();
        let config = config().endpoint_url("http://broker").http_client(broker.http_client());
        Self {
            client: Client::from_conf(config.build()),
            broker,
            millis,
            server: None,
        }
    }

    pub(crate) async fn over_http() -> Self {
        let (broker, millis) = broker();
        let server = Server::bind(broker.clone(), ([127, 0, 0, 1], 0)).await.unwrap();
        Self {
            client: client_at(&server.endpoint_url()),
            broker,
            millis,
            server: Some(server),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) fn is_over_http(&self) -> bool {
        self.server.is_some()
    }

    pub(crate) fn pass(&self, duration: Duration) {
        self.millis
            .fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) async fn shutdown(self) {
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}

pub(crate) fn client_at(endpoint_url: &str) -> Client {
    Client::from_conf(config().endpoint_url(endpoint_url).build())
}

fn broker() -> (Broker, Arc<AtomicI64>) {
    let millis = Arc::new(AtomicI64::new(1_357_034_400_250));
    let clock = Arc::clone(&millis);
    let clock = Arc::new(move || Timestamp::from_epoch_millis(clock.load(Ordering::Relaxed)));
    (Broker::builder().clock(clock).build(), millis)
}

fn config() -> aws_sdk_kinesis::config::Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
}
