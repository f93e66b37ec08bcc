//! The broker's own door: its faults and its log of operations, on the port that it listens at.

use aws_smithy_http_client::{Connector, default_connector};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector as _, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    aws::{ConnectionArgs, Endpoint, innermost},
    error::Error,
};

/// The path of the faults.
pub(crate) const FAULTS: &str = "/_kcl/faults";
/// The path of the log of operations.
pub(crate) const OPERATIONS: &str = "/_kcl/operations";

/// A broker that can be asked about itself.
#[derive(Debug)]
pub(crate) struct OwnDoor {
    connector: SharedHttpConnector,
    endpoint: Endpoint,
}

/// A request to the broker itself failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnDoorError {
    #[error("faults and operations are a broker's: give --endpoint or set KCL_ENDPOINT")]
    NoEndpoint,
    #[error("{place} cannot be reached ({cause}); check --endpoint, and whether the broker runs")]
    Unreachable { place: String, cause: String },
    #[error("{0}")]
    Refused(String),
    #[error("{place} does not answer as `kclctl broker` does (status {status}); faults and operations are a broker's")]
    Stranger { place: String, status: u16 },
}

/// What the broker answers when it does not do what it was asked.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl OwnDoor {
    pub(crate) fn at(connection: &ConnectionArgs) -> Result<Self, Error> {
        let endpoint = connection.endpoint()?.ok_or(OwnDoorError::NoEndpoint)?;
        let connector = if endpoint.is_plain() {
            SharedHttpConnector::new(Connector::builder().build_http())
        } else {
            let secure = default_connector(&HttpConnectorSettings::default(), None);
            secure.ok_or_else(|| Error::Usage(format!("{} needs TLS, which this build has not", endpoint.as_str())))?
        };
        Ok(Self { connector, endpoint })
    }

    /// Asks the broker.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, method: &str, path: &str, body: String) -> Result<T, Error> {
        let place = || self.endpoint.as_str().to_owned();
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint.as_str().trim_end_matches('/')))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(SdkBody::from(body))
            .map_err(|error| Error::Usage(error.to_string()))?;
        let request = HttpRequest::try_from(request).map_err(|error| Error::Usage(error.to_string()))?;
        let unreachable = |cause: String| OwnDoorError::Unreachable { place: place(), cause };
        let answer = self
            .connector
            .call(request)
            .await
            .map_err(|error| unreachable(innermost(&error)))?;
        let status = answer.status().as_u16();
        let body = ByteStream::new(answer.into_body())
            .collect()
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let body = body.into_bytes();
        let read = match status {
            200 => serde_json::from_slice(&body).ok(),
            _ => match serde_json::from_slice(&body) {
                Ok(Refusal { error }) => return Err(OwnDoorError::Refused(error).into()),
                Err(_) => None,
            },
        };
        Ok(read.ok_or_else(|| OwnDoorError::Stranger { place: place(), status })?)
    }
}
