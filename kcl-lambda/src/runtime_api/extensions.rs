//! What runtimes touch of the Extensions API 2020-01-01 and of the APIs for logs: enough that none of them fails.
//!
//! Extensions are registered and hear of nothing: what they are told on AWS, the end of an environment, comes as SIGTERM.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, request::Parts};
use http_body_util::Full;
use serde::Serialize;

use super::{
    Shared,
    refusal::{Refusal, accepted, json},
};

const IDENTIFIER: &str = "lambda-extension-identifier";
/// Every extension of a process is told the same: nothing depends on which one asks.
const IDENTITY: HeaderValue = HeaderValue::from_static("00000000-0000-4000-8000-000000000001");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registered<'a> {
    function_name: &'a str,
    function_version: &'a str,
    handler: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotSupported<'a> {
    error_message: &'a str,
    error_type: &'a str,
}

pub(super) async fn respond(shared: &Shared, head: &Parts, path: &[&str]) -> Response<Full<Bytes>> {
    let post = head.method == Method::POST;
    match path {
        ["2020-01-01", "extension", "register"] if post => {
            let mut response = json(
                StatusCode::OK,
                &Registered {
                    function_name: &shared.config.function_name,
                    function_version: &shared.config.function_version,
                    handler: &shared.config.handler,
                },
            );
            response.headers_mut().insert(IDENTIFIER, IDENTITY);
            response
        }
        ["2020-01-01", "extension", "event", "next"] if head.method == Method::GET => std::future::pending().await,
        ["2020-01-01", "extension", "init" | "exit", "error"] if post => accepted(),
        ["2020-08-15", "logs"] if head.method == Method::PUT => not_supported("Logs"),
        ["2022-07-01", "telemetry"] if head.method == Method::PUT => not_supported("Telemetry"),
        _ => Refusal::NotFound.response(),
    }
}

/// Taken, and nothing comes of it: extensions that want logs do without.
fn not_supported(api: &str) -> Response<Full<Bytes>> {
    json(
        StatusCode::ACCEPTED,
        &NotSupported {
            error_message: &format!("{api} API is not supported"),
            error_type: &format!("{api}.NotSupported"),
        },
    )
}
