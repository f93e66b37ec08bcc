//! From an HTTP request to an HTTP response, without a socket: both fronts call [`respond`].

mod auth;
mod body;
mod cbor;
mod client;
mod cloudwatch;
mod cors;
mod dynamodb;
mod error;
mod eventstream;
mod format;
mod json;
mod request_id;
mod routes;
mod shape;

use std::{borrow::Cow, net::SocketAddr};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName},
    request::Parts,
};

pub(crate) use self::{body::Body, dynamodb::full_name as dynamodb_name, request_id::RequestIds};
use self::{
    client::Client,
    error::Refusal,
    eventstream::EVENT_STREAM,
    format::Format,
    routes::{Answered, Route},
};
use crate::{
    admin,
    api::{ApiError, ErrorKind},
    attempt,
    broker::Broker,
};

/// The largest body that is read: 10 MiB of data in base64, with room for the rest.
pub(crate) const BODY_BYTES_MAX: usize = 32 << 20;

const PLAIN_JSON: &str = "application/json";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const EXTENDED_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
const SERVICE_PREFIX: &str = "Kinesis_20131202.";

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
pub(crate) async fn respond(broker: &Broker, peer: Peer, head: &Parts, body: &[u8]) -> Result<Response<Body>, Cut> {
    if let Peer::Remote(address) = peer
        && admin::is_meant(head)
    {
        return Ok(admin::respond(broker, address, head, body).map(Body::Full));
    }
    if let Some(operation) = dynamodb::operation(head) {
        return dynamodb::respond(broker, peer, head, operation, body).await;
    }
    if let Some(protocol) = cloudwatch::protocol(head) {
        return cloudwatch::respond(broker, peer, head, protocol, body).await;
    }
    let content_type = content_type_of(&head.headers);
    let format = Format::of_content_type(content_type);
    let answered = if cors::is_preflight(head) {
        Err(Refusal::Preflight)
    } else {
        answer(broker, peer, head, content_type, format, body).await
    };
    // Whoever asks for no format that there is and still gets a structure gets CBOR.
    let format = format.unwrap_or(Format::Cbor);
    let (status, content_type, body) = match answered {
        Ok(Answered::Output(body)) => (StatusCode::OK, Some(format.content_type()), Body::from(body)),
        Ok(Answered::Events(subscription)) => (StatusCode::OK, Some(EVENT_STREAM), Body::events(subscription)),
        Err(refusal) => {
            let (status, content_type, body) = refusal.into_parts(format)?;
            (status, content_type, Body::from(body))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    cors::allow(head, headers);
    stamp(broker, headers);
    if cors::is_preflight(head) {
        headers.remove(EXTENDED_ID);
    }
    Ok(response)
}

/// Answers a request whose body is longer than [`BODY_BYTES_MAX`].
pub(crate) fn body_too_large(broker: &Broker) -> Response<Body> {
    bare(broker, StatusCode::PAYLOAD_TOO_LARGE)
}

/// Answers a request when too many answers wait for clients to read them. All of AWS's clients try again.
pub(crate) fn too_much_unread(broker: &Broker) -> Response<Body> {
    bare(broker, StatusCode::SERVICE_UNAVAILABLE)
}

fn bare(broker: &Broker, status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from(Vec::new()));
    *response.status_mut() = status;
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
async fn answer(
    broker: &Broker,
    peer: Peer,
    head: &Parts,
    content_type: &str,
    format: Option<Format>,
    body: &[u8],
) -> Result<Answered, Refusal> {
    if head.method != Method::POST {
        return Err(Refusal::UnknownService);
    }
    let target = text_of(&head.headers, &TARGET);
    let route = target
        .strip_prefix(SERVICE_PREFIX)
        .and_then(Route::named)
        .ok_or_else(|| ApiError::bare(ErrorKind::UnknownOperation));
    let unreadable = || ApiError::bare(ErrorKind::Serialization);
    if body.is_empty() {
        return Err(Refusal::Api(route.err().unwrap_or_else(unreadable)));
    }
    let Some(format) = format else {
        return Err(match content_type {
            PLAIN_JSON if json::is_well_formed(body) => Refusal::WrongDialect(ErrorKind::UnknownOperation),
            PLAIN_JSON => Refusal::WrongDialect(ErrorKind::Serialization),
            _ if names_operation(target) => Refusal::UnknownContentType,
            _ => Refusal::UnknownService,
        });
    };
    let client = Client {
        peer,
        headers: &head.headers,
    };
    let error = match (route, auth::check(head)) {
        (Ok(route), Ok(())) => return route.call(broker, client, format, body).await,
        // The service reads bodies before it asks what they are for; here that is the rare case.
        _ if !format.is_well_formed(body) => unreadable(),
        (Err(error), _) | (Ok(_), Err(error)) => error,
    };
    attempt::refused(broker, || client.caller(), named(target), error.kind().as_str());
    Err(Refusal::Api(error))
}

/// The operation that a target names, in the words of the client if there is none.
fn named(target: &str) -> Cow<'static, str> {
    let operation = target.strip_prefix(SERVICE_PREFIX);
    match operation.and_then(Route::named) {
        Some(route) => Cow::Borrowed(route.name()),
        None => Cow::Owned(operation.unwrap_or(target).to_owned()),
    }
}

/// The names of all operations; those of other services than Kinesis have the service's name in front.
pub(crate) fn operations() -> impl Iterator<Item = &'static str> {
    let others = dynamodb::NAMES.iter().chain(cloudwatch::NAMES);
    routes::NAMES.iter().chain(others).copied()
}

/// Whether a target has the names of a service and of an operation, whichever.
fn names_operation(target: &str) -> bool {
    target.split_once('.').is_some_and(|(service, rest)| {
        !service.is_empty() && rest.split('.').next().is_some_and(|operation| !operation.is_empty())
    })
}

/// The content type of a request, without its parameters.
fn content_type_of(headers: &HeaderMap) -> &str {
    text_of(headers, &CONTENT_TYPE)
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
