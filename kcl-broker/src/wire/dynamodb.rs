//! DynamoDB over HTTP: AWS JSON 1.0, told from Kinesis by the target.

use http::{HeaderValue, Method, Response, StatusCode, header::CONTENT_TYPE, request::Parts};
use serde_json::json;

use super::{Body, Cut, Peer, REQUEST_ID, TARGET, auth, client::Client, cors, text_of};
use crate::{
    api::ApiError,
    attempt::{self, Attempt},
    broker::Broker,
    dynamodb::DynamoError,
};

const PREFIX: &str = "DynamoDB_20120810.";
const JSON: &str = "application/x-amz-json-1.0";
const CRC32: &str = "x-amz-crc32";

/// Lists the operations, whose names in logs and faults have the service's in front.
macro_rules! operations {
    ($($name:literal),+ $(,)?) => {
        /// The names of all operations.
        pub(super) const NAMES: &[&str] = &[$(concat!("DynamoDB.", $name),)+];

        /// The operation's name with the service's in front, if there is such an operation.
        pub(crate) fn full_name(operation: &str) -> Option<&'static str> {
            match operation {
                $($name => Some(concat!("DynamoDB.", $name)),)+
                _ => None,
            }
        }
    };
}

operations! {
    "BatchGetItem",
    "BatchWriteItem",
    "CreateTable",
    "DeleteItem",
    "DeleteTable",
    "DescribeContinuousBackups",
    "DescribeTable",
    "GetItem",
    "ListTables",
    "ListTagsOfResource",
    "PutItem",
    "Query",
    "Scan",
    "TagResource",
    "TransactGetItems",
    "TransactWriteItems",
    "UntagResource",
    "UpdateContinuousBackups",
    "UpdateItem",
    "UpdateTable",
}

/// The operation that a request names, if it is for DynamoDB.
pub(super) fn operation(head: &Parts) -> Option<&str> {
    text_of(&head.headers, &TARGET)
        .strip_prefix(PREFIX)
        .filter(|_| head.method == Method::POST)
}

/// Answers a request for `operation`, or says that there is no answer.
pub(super) async fn respond(
    broker: &Broker,
    peer: Peer,
    head: &Parts,
    operation: &str,
    body: &[u8],
) -> Result<Response<Body>, Cut> {
    let client = Client {
        peer,
        headers: &head.headers,
    };
    let (status, body) = match answer(broker, client, head, operation, body).await? {
        Ok(body) => (StatusCode::OK, body),
        Err(Refusal::Api(error)) => (StatusCode::BAD_REQUEST, unsigned(&error)),
        Err(Refusal::Dynamo(error)) => (
            StatusCode::from_u16(error.kind().status()).unwrap_or(StatusCode::BAD_REQUEST),
            error.body(),
        ),
    };
    let checksum = HeaderValue::from(crc32fast::hash(&body));
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CRC32, checksum);
    headers.insert(REQUEST_ID, broker.request_ids().next().0);
    cors::allow(head, headers);
    Ok(response)
}

/// Why a request gets no output.
enum Refusal {
    /// It is not signed.
    Api(ApiError),
    Dynamo(DynamoError),
}

async fn answer(
    broker: &Broker,
    client: Client<'_>,
    head: &Parts,
    operation: &str,
    body: &[u8],
) -> Result<Result<Vec<u8>, Refusal>, Cut> {
    let name = full_name(operation);
    if let Err(error) = auth::check(head) {
        let name = name.map_or_else(|| format!("DynamoDB.{operation}").into(), Into::into);
        attempt::refused(broker, || client.caller(), name, error.kind().as_str());
        return Ok(Err(Refusal::Api(error)));
    }
    let answer = match name {
        Some(name) => {
            let attempt = Attempt::other(broker, || client.caller(), true, || broker.dynamodb_arrival(name, body));
            let run = |quirk| broker.execute_dynamodb(operation, body, quirk);
            attempt.answer_with(run, crate::services::dynamodb_outcome).await?
        }
        None => {
            let answer = broker.execute_dynamodb(operation, body, None).1;
            if let Err(error) = &answer {
                let name = format!("DynamoDB.{operation}").into();
                attempt::refused(broker, || client.caller(), name, error.kind().as_str());
            }
            answer
        }
    };
    Ok(answer.map_err(Refusal::Dynamo))
}

fn unsigned(error: &ApiError) -> Vec<u8> {
    let kind = format!("com.amazon.coral.service#{}", error.kind());
    json!({"__type": kind, "message": error.message()})
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests;
