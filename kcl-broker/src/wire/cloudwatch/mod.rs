//! CloudWatch over HTTP, in the three protocols that its clients have: forms answered in XML, AWS JSON 1.0, and CBOR.
//!
//! Requests of all three become one JSON value, and outputs are written from one [`Node`].

mod cbor;
mod form;
mod inflate;
mod json;
mod xml;

#[cfg(test)]
mod tests;

use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName},
    request::Parts,
};
use serde_json::Value;

use super::{Body, Cut, Peer, REQUEST_ID, TARGET, auth, client::Client, content_type_of, cors, text_of};
use crate::{
    attempt::{self, Attempt},
    broker::Broker,
    cloudwatch::{MetricsError, MetricsErrorKind, Node},
    services::metrics_outcome,
};

const PREFIX: &str = "GraniteServiceVersion20100801.";
const PATH: &str = "/service/GraniteServiceVersion20100801/operation/";
const FORM: &str = "application/x-www-form-urlencoded";
const PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// The names of all operations.
pub(super) const NAMES: &[&str] = &[
    "CloudWatch.GetMetricStatistics",
    "CloudWatch.ListMetrics",
    "CloudWatch.PutMetricData",
];

/// How a client of CloudWatch speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Forms, answered in XML.
    Query,
    /// AWS JSON 1.0.
    Json,
    /// Smithy's RPC v2 in CBOR.
    Cbor,
}

/// The protocol of a request for CloudWatch, if it is one.
pub(super) fn protocol(head: &Parts) -> Option<Protocol> {
    if head.method != Method::POST {
        None
    } else if text_of(&head.headers, &TARGET).starts_with(PREFIX) {
        Some(Protocol::Json)
    } else if head.uri.path().contains(PATH) {
        Some(Protocol::Cbor)
    } else if content_type_of(&head.headers) == FORM {
        Some(Protocol::Query)
    } else {
        None
    }
}

/// What a client asks for.
struct Asked {
    operation: String,
    request: Value,
}

impl Protocol {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Query => "text/xml",
            Self::Json => "application/x-amz-json-1.0",
            Self::Cbor => "application/cbor",
        }
    }

    fn read(self, head: &Parts, body: &[u8]) -> Result<Asked, MetricsError> {
        let malformed = |why: &str| MetricsError::new(MetricsErrorKind::Malformed, why);
        let body = inflate::inflated(head, body)?;
        match self {
            Self::Query => {
                let mut request = form::read(&body).ok_or_else(|| malformed("the body is no form of this API"))?;
                let action = request.get_mut("Action").map(Value::take);
                let Some(Value::String(operation)) = action else {
                    let message = "The action or operation requested is missing: there is no Action";
                    return Err(MetricsError::new(MetricsErrorKind::InvalidAction, message));
                };
                Ok(Asked { operation, request })
            }
            Self::Json => Ok(Asked {
                operation: text_of(&head.headers, &TARGET).trim_start_matches(PREFIX).to_owned(),
                request: serde_json::from_slice(&body).map_err(|error| malformed(&error.to_string()))?,
            }),
            Self::Cbor => Ok(Asked {
                operation: head.uri.path().rsplit('/').next().unwrap_or_default().to_owned(),
                // An operation without members may come without a body.
                request: if body.is_empty() {
                    Value::Object(serde_json::Map::new())
                } else {
                    super::cbor::value_of(&body).ok_or_else(|| malformed("the body is not CBOR"))?
                },
            }),
        }
    }

    fn write(self, operation: &str, request_id: &str, output: Option<&Node>) -> Vec<u8> {
        match (self, output) {
            (Self::Query, output) => xml::response(operation, request_id, output),
            (_, None) => Vec::new(),
            (Self::Json, Some(output)) => json::write(output),
            (Self::Cbor, Some(output)) => cbor::write(output),
        }
    }

    fn write_error(self, request_id: &str, error: &MetricsError) -> Vec<u8> {
        let shape = || {
            Node::Structure(vec![
                (
                    "__type",
                    Node::Text(format!("com.amazonaws.cloudwatch#{}", error.kind().as_str())),
                ),
                ("message", Node::Text(error.message().to_owned())),
            ])
        };
        match self {
            Self::Query => xml::error(request_id, error),
            Self::Json => json::write(&shape()),
            Self::Cbor => cbor::write(&shape()),
        }
    }
}

/// Answers a request, or says that there is no answer.
pub(super) async fn respond(
    broker: &Broker,
    peer: Peer,
    head: &Parts,
    protocol: Protocol,
    body: &[u8],
) -> Result<Response<Body>, Cut> {
    let client = Client {
        peer,
        headers: &head.headers,
    };
    let id = broker.request_ids().next().0;
    let id_text = id.to_str().unwrap_or_default();
    let (status, body, error) = match answer(broker, client, head, protocol, body).await? {
        Ok((operation, output)) => (
            StatusCode::OK,
            protocol.write(&operation, id_text, output.as_ref()),
            None,
        ),
        Err(error) => (
            StatusCode::from_u16(error.kind().status()).unwrap_or(StatusCode::BAD_REQUEST),
            protocol.write_error(id_text, &error),
            Some(error),
        ),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(protocol.content_type()));
    headers.insert(REQUEST_ID, id);
    if protocol == Protocol::Cbor {
        headers.insert(PROTOCOL, HeaderValue::from_static("rpc-v2-cbor"));
    }
    if let Some(error) = error.filter(|_| protocol != Protocol::Query) {
        let fault = if error.kind().status() == 400 {
            "Sender"
        } else {
            "Receiver"
        };
        let text = format!("{};{fault}", error.kind().code());
        headers.extend(HeaderValue::try_from(text).ok().map(|value| (QUERY_ERROR, value)));
    }
    cors::allow(head, headers);
    Ok(response)
}

async fn answer(
    broker: &Broker,
    client: Client<'_>,
    head: &Parts,
    protocol: Protocol,
    body: &[u8],
) -> Result<Result<(String, Option<Node>), MetricsError>, Cut> {
    let asked = protocol.read(head, body).and_then(|asked| match auth::check(head) {
        Ok(()) => Ok(asked),
        Err(error) => Err(MetricsError::new(
            MetricsErrorKind::MissingAuthentication,
            error.message().unwrap_or_default(),
        )),
    });
    let refused = |operation: &str, error: &MetricsError| {
        let name = format!("CloudWatch.{operation}").into();
        attempt::refused(broker, || client.caller(), name, error.kind().as_str());
    };
    let Asked { operation, request } = match asked {
        Ok(asked) => asked,
        Err(error) => {
            refused("?", &error);
            return Ok(Err(error));
        }
    };
    let name = NAMES
        .iter()
        .find(|name| name.strip_prefix("CloudWatch.") == Some(&operation));
    let Some(name) = name else {
        let answer = broker.execute_metrics(&operation, request, None).1;
        if let Err(error) = &answer {
            refused(&operation, error);
        }
        return Ok(answer.map(|output| (operation, output)));
    };
    let attempt = Attempt::other(
        broker,
        || client.caller(),
        true,
        || attempt::Arrival {
            operation: name,
            ..attempt::Arrival::default()
        },
    );
    let run = |quirk| broker.execute_metrics(&operation, request, quirk);
    let answer = attempt.answer_with(run, metrics_outcome).await?;
    Ok(answer.map(|output| (operation, output)))
}
