//! How errors look on the wire.

use http::StatusCode;
use serde_json::json;

use super::{Cut, JSON};
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
    WrongDialect,
    /// There is to be no answer at all.
    #[expect(dead_code, reason = "the fault plan, which comes next, loses answers")]
    Cut,
}

impl Refusal {
    /// The status, the content type and the body of the answer, if there is to be one.
    pub(super) fn into_parts(self) -> Result<(StatusCode, Option<&'static str>, Vec<u8>), Cut> {
        Ok(match self {
            Self::Api(error) => (StatusCode::BAD_REQUEST, Some(JSON), body_of(&error)),
            Self::UnknownService => {
                let body = "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be \
                            authorized</Message>\n</AccessDeniedException>\n";
                (StatusCode::FORBIDDEN, None, body.into())
            }
            Self::UnknownContentType => (StatusCode::NOT_FOUND, None, b"<UnknownOperationException/>\n".into()),
            Self::WrongDialect => {
                let kind = "com.amazon.coral.service#UnknownOperationException";
                let body = json!({"Output": {"__type": kind}, "Version": "1.0"});
                (
                    StatusCode::NOT_FOUND,
                    Some(super::PLAIN_JSON),
                    body.to_string().into_bytes(),
                )
            }
            Self::Cut => return Err(Cut),
        })
    }
}

fn body_of(error: &ApiError) -> Vec<u8> {
    let kind = error.kind();
    let body = match error.message() {
        None => json!({"__type": kind.as_str()}),
        // The service has the capital letter for values of the wrong type, and only there.
        Some(message) if kind == ErrorKind::Serialization => json!({"__type": kind.as_str(), "Message": message}),
        Some(message) => json!({"__type": kind.as_str(), "message": message}),
    };
    body.to_string().into_bytes()
}
