//! How errors look on the wire.

use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::{Cut, format::Format};
use crate::api::{ApiError, ErrorKind};

/// Why a request gets no output.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The operation was refused, or is none.
    Api(ApiError),
    /// Nothing tells which service is meant.
    UnknownService,
    /// The service does not speak this content type.
    UnknownContentType,
    /// The content type is JSON, but not the service's.
    WrongDialect(ErrorKind),
    /// A browser asks what it may ask: not an error, but no output either.
    Preflight,
    /// There is to be no answer at all.
    Cut,
}

impl From<Cut> for Refusal {
    fn from(_: Cut) -> Self {
        Self::Cut
    }
}

impl Refusal {
    /// The status, the content type and the body of the answer, if there is to be one.
    pub(super) fn into_parts(self, format: Format) -> Result<(StatusCode, Option<&'static str>, Vec<u8>), Cut> {
        Ok(match self {
            Self::Api(error) => (
                match error.kind() {
                    ErrorKind::InternalFailure => StatusCode::INTERNAL_SERVER_ERROR,
                    ErrorKind::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::BAD_REQUEST,
                },
                Some(format.content_type()),
                format.encode(&ErrorShape::of(&error)),
            ),
            Self::Preflight => (StatusCode::OK, None, Vec::new()),
            Self::UnknownService => {
                let body = "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be \
                            authorized</Message>\n</AccessDeniedException>\n";
                (StatusCode::FORBIDDEN, None, body.into())
            }
            Self::UnknownContentType => (StatusCode::NOT_FOUND, None, b"<UnknownOperationException/>\n".into()),
            Self::WrongDialect(kind) => {
                let status = match kind {
                    ErrorKind::UnknownOperation => StatusCode::NOT_FOUND,
                    _ => StatusCode::BAD_REQUEST,
                };
                let kind = format!("com.amazon.coral.service#{kind}");
                let body = json!({"Output": {"__type": kind}, "Version": "1.0"});
                (status, Some(super::PLAIN_JSON), body.to_string().into_bytes())
            }
            Self::Cut => return Err(Cut),
        })
    }
}

/// How clients see an error.
#[derive(Serialize)]
struct ErrorShape<'a> {
    #[serde(rename = "__type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(rename = "Message", skip_serializing_if = "Option::is_none")]
    capital_message: Option<&'a str>,
}

impl<'a> ErrorShape<'a> {
    fn of(error: &'a ApiError) -> Self {
        // The service has the capital letter for values of the wrong type, and only there.
        let (message, capital_message) = match error.kind() {
            ErrorKind::Serialization => (None, error.message()),
            _ => (error.message(), None),
        };
        Self {
            kind: error.kind().as_str(),
            message,
            capital_message,
        }
    }
}
