//! From an HTTP request to an HTTP response, without a socket: both fronts call [`respond`].

mod error;
mod json;
mod request_id;
mod routes;
mod shape;

use std::net::SocketAddr;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName},
    request::Parts,
};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::request_id::RequestIds;
use self::{error::Refusal, routes::Route};
use crate::{
    api::{ApiError, ErrorKind, GetRecordsOutput},
    broker::Broker,
};

/// The largest body that is read: 10 MiB of data in base64, with room for the rest.
pub(crate) const BODY_BYTES_MAX: usize = 32 << 20;

const JSON: &str = "application/x-amz-json-1.1";
const PLAIN_JSON: &str = "application/json";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const EXTENDED_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
const SERVICE_PREFIX: &str = "Kinesis_20131202.";

/// What bodies are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// AWS JSON 1.1.
    Json,
}

impl Format {
    /// Reads a request.
    fn decode<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, ApiError> {
        match self {
            Self::Json => json::decode(body),
        }
    }

    /// Writes an output of modest size.
    fn encode(self, output: &impl Serialize) -> Vec<u8> {
        match self {
            Self::Json => json::encode(output),
        }
    }

    /// Writes records, which are most of what the broker ever writes.
    fn encode_records(self, output: &GetRecordsOutput) -> Vec<u8> {
        match self {
            Self::Json => json::encode_records(output),
        }
    }
}

/// Who a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A client in this process.
    InProcess,
    /// A client at the other end of a connection.
    Remote(SocketAddr),
}

/// There is to be no answer: the connection is cut, or under HTTP/2 the stream.
#[derive(Debug, thiserror::Error)]
#[error("the broker cuts the connection without an answer")]
pub(crate) struct Cut;

/// Answers one request, or says that there is no answer. Whatever it is signed with is accepted, and the path does not
/// count.
pub(crate) async fn respond(broker: &Broker, peer: Peer, head: &Parts, body: &[u8]) -> Result<Response<Bytes>, Cut> {
    let answered = answer(broker, peer, head, body).await;
    let (status, content_type, body) = match answered {
        Ok(body) => (StatusCode::OK, Some(JSON), body),
        Err(refusal) => refusal.into_parts()?,
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    stamp(broker, headers);
    Ok(response)
}

/// Answers a request whose body is longer than [`BODY_BYTES_MAX`].
pub(crate) fn body_too_large(broker: &Broker) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    stamp(broker, response.headers_mut());
    response
}

/// Puts the ids of the response into its headers.
fn stamp(broker: &Broker, headers: &mut HeaderMap) {
    let (request_id, extended_id) = broker.request_ids().next();
    headers.insert(REQUEST_ID, request_id);
    headers.insert(EXTENDED_ID, extended_id);
}

/// The checks, in the order in which the service makes them.
async fn answer(broker: &Broker, peer: Peer, head: &Parts, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let headers = &head.headers;
    if head.method != Method::POST {
        return Err(Refusal::UnknownService);
    }
    let target = text_of(headers, &TARGET);
    let operation = target.strip_prefix(SERVICE_PREFIX).and_then(Route::named);
    let unknown = || Refusal::Api(ApiError::bare(ErrorKind::UnknownOperation));
    if body.is_empty() {
        return Err(match operation {
            Some(_) => Refusal::Api(ApiError::bare(ErrorKind::Serialization)),
            None => unknown(),
        });
    }
    let content_type = text_of(headers, &CONTENT_TYPE);
    let content_type = content_type
        .split_once(';')
        .map_or(content_type, |(kind, _)| kind)
        .trim();
    match content_type {
        JSON => {
            operation
                .ok_or_else(unknown)?
                .call(broker, peer, Format::Json, body)
                .await
        }
        PLAIN_JSON if json::is_well_formed(body) => Err(Refusal::WrongDialect),
        PLAIN_JSON => Err(Refusal::Api(ApiError::bare(ErrorKind::Serialization))),
        _ if target.is_empty() => Err(Refusal::UnknownService),
        _ => Err(Refusal::UnknownContentType),
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
