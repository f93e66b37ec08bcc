//! What each path does.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;

use super::{
    Shared,
    body::{self, Whole},
    extensions, function_error,
    refusal::{Refusal, accepted, with_json},
    state::{ConnectionId, Served, too_large},
};
use crate::{
    invoke::{FunctionError, FunctionErrorKind},
    wall::wall,
};

const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";
/// The form of an answer to a web request: a prelude of JSON, eight NULs, and the answer.
const HTTP_INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";
const PRELUDE_END: &[u8] = &[0; 8];

pub(super) async fn respond(
    shared: &Shared,
    connection: ConnectionId,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    if is_foreign(shared, &head.headers) {
        return Refusal::Foreign.response();
    }
    let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
    let get = head.method == Method::GET;
    let post = head.method == Method::POST;
    match path.as_slice() {
        ["2018-06-01", "runtime", "invocation", "next"] if get => next(shared, connection).await,
        ["2018-06-01", "runtime", "invocation", id, "response"] if post => {
            settle(answer(shared, id, &head.headers, body).await)
        }
        ["2018-06-01", "runtime", "invocation", id, "error"] if post => {
            settle(fail(shared, id, &head.headers, body).await)
        }
        ["2018-06-01", "runtime", "init" | "restore", "error"] if post => {
            settle(fail_init(shared, &head.headers, body).await)
        }
        // Nothing is ever frozen here, so that whoever asks has been restored.
        ["2018-06-01", "runtime", "restore", "next"] if get => with_json(StatusCode::OK, Bytes::new()),
        ["2018-06-01", "runtime", "invocation", "next"]
        | ["2018-06-01", "runtime", "restore", "next"]
        | ["2018-06-01", "runtime", "invocation", _, "response" | "error"]
        | ["2018-06-01", "runtime", "init" | "restore", "error"] => Refusal::MethodNotAllowed.response(),
        _ => extensions::respond(shared, &head, &path).await,
    }
}

/// Whether the request comes from a browser, which any page can make send it, or is meant for another name.
fn is_foreign(shared: &Shared, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let meant_for_us = host.is_none_or(|host| {
        let port = shared.address.port();
        host == shared.address.to_string().as_bytes() || host == format!("localhost:{port}").as_bytes()
    });
    !meant_for_us || headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

fn settle(settled: Result<(), Refusal>) -> Response<Full<Bytes>> {
    settled.map_or_else(Refusal::response, |()| accepted())
}

/// Waits until there is an invocation, for ever.
async fn next(shared: &Shared, connection: ConnectionId) -> Response<Full<Bytes>> {
    let mut changes = shared.state.subscribe();
    loop {
        let mut served = None;
        shared.state.send_if_modified(|state| {
            let starting = state.started().is_none();
            served = state.next(connection, wall());
            starting || served.is_some()
        });
        if let Some(served) = served {
            return give(served);
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn give(served: Served) -> Response<Full<Bytes>> {
    let Served { invocation, deadline } = served;
    let id = invocation.request_id.to_string();
    let mut response = with_json(StatusCode::OK, invocation.event);
    let mut set = |name: &'static str, value: &str| match HeaderValue::from_str(value) {
        Ok(value) => drop(response.headers_mut().insert(name, value)),
        Err(_) => tracing::warn!(header = name, "a header of an invocation cannot be sent"),
    };
    set("lambda-runtime-aws-request-id", &id);
    // The newest client for Python knows the invocation by this name too.
    set("lambda-runtime-invocation-id", &id);
    set("lambda-runtime-deadline-ms", &deadline.epoch_millis().to_string());
    set("lambda-runtime-invoked-function-arn", &invocation.function_arn);
    if let Some(trace) = &invocation.trace_id {
        set("lambda-runtime-trace-id", trace);
    }
    response
}

async fn answer(shared: &Shared, id: &str, headers: &HeaderMap, body: Incoming) -> Result<(), Refusal> {
    let bytes_max = shared.config.response_bytes_max;
    let whole = body::read(body, bytes_max).await?;
    let mode = headers.get(RESPONSE_MODE).map(HeaderValue::as_bytes);
    let streaming = match mode {
        None => false,
        Some(mode) if mode.eq_ignore_ascii_case(b"buffered") => false,
        Some(mode) if mode.eq_ignore_ascii_case(b"streaming") => true,
        Some(_) => {
            let message = "the function answered neither buffered nor streaming";
            let error = FunctionError::new(
                FunctionErrorKind::Unhandled,
                "Runtime.InvalidResponseModeHeader",
                message,
            );
            take(shared, id, Err(error))?;
            return Err(Refusal::InvalidResponseMode);
        }
    };
    match whole {
        Whole::TooLarge => {
            take(shared, id, Err(too_large(bytes_max)))?;
            Err(Refusal::TooLarge(bytes_max))
        }
        Whole::Taken { bytes, trailers } => {
            let in_trailers = trailers.as_ref().and_then(function_error::in_trailers);
            let in_body = || function_error::at_the_end(&bytes).filter(|_| streaming);
            match in_trailers.or_else(in_body) {
                Some(error) => take(shared, id, Err(error)),
                None => take(shared, id, Ok(without_prelude(headers, bytes))),
            }
        }
    }
}

/// The answer itself, where it is dressed as that to a web request.
fn without_prelude(headers: &HeaderMap, bytes: Bytes) -> Bytes {
    let dressed = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(HTTP_INTEGRATION.as_bytes()));
    let end = bytes
        .windows(PRELUDE_END.len())
        .position(|window| window == PRELUDE_END)
        .filter(|_| dressed);
    match end {
        Some(end) => bytes.slice(end + PRELUDE_END.len()..),
        None => bytes,
    }
}

async fn fail(shared: &Shared, id: &str, headers: &HeaderMap, body: Incoming) -> Result<(), Refusal> {
    match read_error(shared, headers, body).await? {
        Ok(error) => take(shared, id, Err(error)),
        // It failed all the same.
        Err(refusal) => {
            take(
                shared,
                id,
                Err(function_error::reported(headers, b"the error was too large to be read")),
            )?;
            Err(refusal)
        }
    }
}

async fn fail_init(shared: &Shared, headers: &HeaderMap, body: Incoming) -> Result<(), Refusal> {
    let error = read_error(shared, headers, body).await??;
    change(shared, |state| state.fail_init(error))
}

/// The error that a request tells of; or, inside, that it is too large.
async fn read_error(
    shared: &Shared,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Result<FunctionError, Refusal>, Refusal> {
    let bytes_max = shared.config.response_bytes_max;
    Ok(match body::read(body, bytes_max).await? {
        Whole::Taken { bytes, .. } => Ok(function_error::reported(headers, &bytes)),
        Whole::TooLarge => Err(Refusal::TooLarge(bytes_max)),
    })
}

fn take(shared: &Shared, id: &str, answer: Result<Bytes, FunctionError>) -> Result<(), Refusal> {
    change(shared, |state| state.answer(id, answer))
}

fn change(shared: &Shared, make: impl FnOnce(&mut super::state::State) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let mut made = Ok(());
    shared.state.send_if_modified(|state| {
        made = make(state);
        made.is_ok()
    });
    made
}
