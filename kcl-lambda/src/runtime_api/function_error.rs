//! What functions say of their errors, as each client puts it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderMap;
use serde_json::Value;

use crate::invoke::{FunctionError, FunctionErrorKind};

pub(super) const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";
/// The type of an error that does not say.
const UNKNOWN: &str = "Runtime.Unknown";
/// What the client for Rust calls every error in the header; the body says more.
const UNHANDLED: &str = "unhandled";

/// The error of a request to `/error` or `/init/error`: what the body says, else the header.
pub(super) fn reported(headers: &HeaderMap, body: &[u8]) -> FunctionError {
    let said = serde_json::from_slice(body).unwrap_or(Value::Null);
    let error_type = text(&said, "errorType").or_else(|| {
        let header = headers.get(ERROR_TYPE)?.to_str().ok()?;
        (!header.is_empty() && header != UNHANDLED).then(|| header.to_owned())
    });
    let message = match text(&said, "errorMessage") {
        Some(message) => message,
        // Whatever it is, it is all that there is.
        None if said.is_null() => String::from_utf8_lossy(body).into_owned(),
        None => said.to_string(),
    };
    FunctionError::new(
        FunctionErrorKind::Unhandled,
        error_type.unwrap_or_else(|| UNKNOWN.to_owned()),
        message,
    )
    .with_stack_trace(frames(&said))
}

/// The error in the trailers of an answer that was begun and could not be ended.
pub(super) fn in_trailers(trailers: &HeaderMap) -> Option<FunctionError> {
    let error_type = trailers.get(ERROR_TYPE)?;
    let body = trailers.get(ERROR_BODY).map(|body| body.as_bytes()).unwrap_or_default();
    Some(streamed(&String::from_utf8_lossy(error_type.as_bytes()), body))
}

/// The same, from the end of the body: the client for Rust writes its trailers there, as data.
pub(super) fn at_the_end(body: &[u8]) -> Option<FunctionError> {
    const TYPE: &str = "Lambda-Runtime-Function-Error-Type: ";
    const BODY: &str = "\r\nLambda-Runtime-Function-Error-Body: ";
    let body = body.strip_suffix(b"\r\n")?;
    let at = body.windows(TYPE.len()).rposition(|window| window == TYPE.as_bytes())?;
    let trailers = std::str::from_utf8(&body[at + TYPE.len()..]).ok()?;
    let (error_type, said) = trailers.split_once(BODY)?;
    Some(streamed(error_type, said.as_bytes()))
}

fn streamed(error_type: &str, body: &[u8]) -> FunctionError {
    let said = BASE64_STANDARD.decode(body).unwrap_or_else(|_| body.to_vec());
    let mut error = reported(&HeaderMap::new(), &said);
    if error.error_type == UNKNOWN {
        error_type.clone_into(&mut error.error_type);
    }
    error
}

fn text(said: &Value, field: &str) -> Option<String> {
    match said.get(field)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The frames of a stack: Python's and Node's clients give lines, others lists of parts.
fn frames(said: &Value) -> Vec<String> {
    let line = |frame: &Value| frame.as_str().map_or_else(|| frame.to_string(), str::to_owned);
    match said.get("stackTrace").or_else(|| said.get("trace")) {
        Some(Value::Array(frames)) => frames.iter().map(line).collect(),
        Some(Value::String(trace)) => trace.lines().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
