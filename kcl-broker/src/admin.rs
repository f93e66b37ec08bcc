//! What people ask the broker itself: its plan of faults and its log of operations, over the port that it listens at.
//!
//! Only to those on this machine, and to no browser: whatever page somebody looks at could ask too. Requests of AWS's
//! clients are never mistaken for these, since they name their operation in a header.

use std::net::{IpAddr, SocketAddr};

use ::http::{
    HeaderValue, Method, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST, ORIGIN},
    request::Parts,
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::{
    broker::Broker,
    operations_log::OperationFilter,
    trouble::{Fault, FaultId},
};

/// What all paths begin with.
const PREFIX: &str = "/_kcl/";
const FAULTS: &str = "/_kcl/faults";
const OPERATIONS: &str = "/_kcl/operations";
/// The header that requests of AWS's clients have.
const TARGET: &str = "x-amz-target";
/// The most calls of one answer.
const OPERATIONS_MAX: usize = 10_000;

/// A request that is refused, and why.
struct Refusal(StatusCode, String);

/// Whether a request is for the broker itself.
pub(crate) fn is_meant(head: &Parts) -> bool {
    head.uri.path().starts_with(PREFIX) && !head.headers.contains_key(TARGET)
}

/// Answers a request for the broker itself.
pub(crate) fn respond(broker: &Broker, peer: SocketAddr, head: &Parts, body: &[u8]) -> Response<Bytes> {
    let (status, body) = match check(peer, head).and_then(|()| answer(broker, head, body)) {
        Ok(body) => (StatusCode::OK, body),
        Err(Refusal(status, problem)) => (status, json!({ "error": problem }).to_string()),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Refuses whoever is not a program on this machine that means to ask.
fn check(peer: SocketAddr, head: &Parts) -> Result<(), Refusal> {
    let forbidden = |problem: &str| Err(Refusal(StatusCode::FORBIDDEN, problem.to_owned()));
    if !peer.ip().to_canonical().is_loopback() {
        return forbidden("only clients on the broker's own machine may ask this");
    }
    if head.headers.contains_key(ORIGIN) {
        return forbidden("browsers may not ask this");
    }
    // A page whose name was made to lead here asks without an origin, but still by its name.
    let host = head.uri.host().or_else(|| {
        let host = head.headers.get(HOST)?.to_str().ok()?;
        Some(
            host.rsplit_once(':')
                .filter(|(_, port)| is_port(port))
                .map_or(host, |(host, _)| host),
        )
    });
    match host {
        Some(host) if is_this_machine(host) => Ok(()),
        _ => forbidden("the broker is to be asked by a loopback address, such as http://127.0.0.1:4567"),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn answer(broker: &Broker, head: &Parts, body: &[u8]) -> Result<String, Refusal> {
    let wrong = |problem: String| Refusal(StatusCode::BAD_REQUEST, problem);
    let path = head.uri.path();
    let id = path.strip_prefix(FAULTS).and_then(|rest| rest.strip_prefix('/'));
    match (&head.method, path, id) {
        (&Method::GET, FAULTS, _) => json_of(&json!({ "faults": broker.trouble().list() })),
        (&Method::POST, FAULTS, _) => {
            let fault: Fault = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
            let id = broker.trouble().add(fault).map_err(|error| wrong(error.to_string()))?;
            json_of(&json!({ "id": id }))
        }
        (&Method::DELETE, FAULTS, _) => {
            let faults = broker.trouble().list();
            broker.trouble().clear();
            json_of(&json!({ "faults": faults }))
        }
        (&Method::DELETE, _, Some(id)) => {
            let removed = id.parse().ok().and_then(|id| broker.trouble().remove(FaultId(id)));
            let removed = removed.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, format!("there is no fault {id}")))?;
            json_of(&json!({ "faults": [removed] }))
        }
        (&Method::GET, OPERATIONS, _) => {
            let mut filter = filter_of(&head.uri).map_err(wrong)?;
            filter.last = Some(filter.last.unwrap_or(OPERATIONS_MAX).min(OPERATIONS_MAX));
            json_of(&broker.operations().snapshot(&filter))
        }
        (_, FAULTS | OPERATIONS, _) | (_, _, Some(_)) => Err(Refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{} cannot be done to {path}", head.method),
        )),
        _ => Err(Refusal(
            StatusCode::NOT_FOUND,
            format!("there is no {path}; there are {FAULTS} and {OPERATIONS}"),
        )),
    }
}

/// Reads a filter from a query such as `operation=GetRecords&last=10`.
fn filter_of(uri: &Uri) -> Result<OperationFilter, String> {
    serde_urlencoded::from_str(uri.query().unwrap_or_default()).map_err(|error| error.to_string())
}

fn json_of(value: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(value).map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

#[cfg(test)]
mod tests;
