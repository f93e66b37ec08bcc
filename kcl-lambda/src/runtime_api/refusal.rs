//! What the server says when it does not do as it is told, in AWS's statuses and types.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The answer is to no invocation that runs.
    InvalidRequestId,
    /// The process may not say that in the state that is named.
    InvalidState(&'static str),
    /// The body ended before it was whole.
    Truncated,
    /// The answer has more bytes than so many.
    TooLarge(usize),
    /// The way of answering is neither buffered nor streaming.
    InvalidResponseMode,
    /// The request does not come from a function: a browser sent it, or it is meant for another host.
    Foreign,
    NotFound,
    MethodNotAllowed,
}

/// The body of every refusal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    error_message: &'a str,
    error_type: &'a str,
}

impl Refusal {
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let (status, error_type, message) = match self {
            Self::InvalidRequestId => (
                StatusCode::BAD_REQUEST,
                "InvalidRequestID",
                "Invalid request ID".to_owned(),
            ),
            Self::InvalidState(state) => (
                StatusCode::FORBIDDEN,
                "InvalidStateTransition",
                format!("State transition is not allowed: the runtime is in state {state}"),
            ),
            Self::Truncated => (
                StatusCode::BAD_REQUEST,
                "TruncatedHTTPRequest",
                "HTTP request detected as truncated".to_owned(),
            ),
            Self::TooLarge(limit) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!("Exceeded maximum allowed payload size ({limit} bytes)."),
            ),
            Self::InvalidResponseMode => (
                StatusCode::BAD_REQUEST,
                "InvalidFunctionResponseMode",
                "Invalid function response mode".to_owned(),
            ),
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "Forbidden",
                "This is the Runtime API of a function's process, and answers nobody else".to_owned(),
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "NotFound",
                "The Runtime API has no such path".to_owned(),
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "The Runtime API has no such method here".to_owned(),
            ),
        };
        json(
            status,
            &Body {
                error_message: &message,
                error_type,
            },
        )
    }
}

/// The answer to everything that was taken.
pub(super) fn accepted() -> Response<Full<Bytes>> {
    with_json(StatusCode::ACCEPTED, Bytes::from_static(b"{\"status\":\"OK\"}\n"))
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    // Bodies are of strings alone, which always have a JSON form.
    with_json(status, serde_json::to_vec(body).unwrap_or_default().into())
}

pub(super) fn with_json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}
