//! [`LocalHttpClient`]: the broker as the HTTP client of an AWS SDK, without a socket.

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};

use crate::{
    broker::Broker,
    wire::{self, Body, Peer},
};

/// Answers an SDK's requests in its own task: no socket, no thread, and no timer but between the events of a subscription.
///
/// Made by [`Broker::http_client`]; given to an SDK's configuration as its HTTP client.
#[derive(Clone, Debug)]
pub struct LocalHttpClient {
    broker: Broker,
}

impl LocalHttpClient {
    pub(crate) const fn new(broker: Broker) -> Self {
        Self { broker }
    }
}

impl HttpClient for LocalHttpClient {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for LocalHttpClient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let broker = self.broker.clone();
        HttpConnectorFuture::new(async move { respond(&broker, request).await })
    }
}

async fn respond(broker: &Broker, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    let (head, body) = request.into_parts();
    let body = ByteStream::new(body)
        .collect()
        .await
        .map_err(|error| ConnectorError::io(error.into()))?
        .into_bytes();
    let response = if body.len() > wire::BODY_BYTES_MAX {
        wire::body_too_large(broker)
    } else {
        wire::respond(broker, Peer::InProcess, &head, &body)
            .await
            .map_err(|cut| ConnectorError::io(cut.into()))?
    };
    let response = response.map(|body| match body {
        Body::Full(bytes) => SdkBody::from(bytes),
        events @ Body::Events(_) => SdkBody::from_body_1_x(events),
    });
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}
