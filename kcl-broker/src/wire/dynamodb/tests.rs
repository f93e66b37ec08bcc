use std::time::Duration;

use http::Request;
use kcl_core::Timestamp;
use serde_json::Value;

use super::*;
use crate::{
    operations_log::{OperationFilter, Outcome},
    trouble::Fault,
};

const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=any/20130101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
const TABLE: &str = r#"{"TableName": "leases", "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}]}"#;
const ADD: &str = r#"{"TableName": "leases", "Key": {"leaseKey": {"S": "a"}}, "UpdateExpression": "ADD n :n",
    "ExpressionAttributeValues": {":n": {"N": "1"}}, "ReturnValues": "ALL_NEW"}"#;

fn broker() -> Broker {
    Broker::builder()
        .clock(std::sync::Arc::new(|| Timestamp::from_epoch_millis(1_357_034_400_250)))
        .build()
}

fn head(operation: &str, signed: bool) -> Parts {
    let mut request = Request::post("/")
        .header(TARGET, format!("{PREFIX}{operation}"))
        .header(CONTENT_TYPE, JSON);
    if signed {
        request = request
            .header("authorization", SIGNED)
            .header("x-amz-date", "20130101T100000Z");
    }
    request.body(()).unwrap().into_parts().0
}

async fn call(broker: &Broker, operation: &str, body: &str) -> Result<(StatusCode, Value), Cut> {
    let response = crate::wire::respond(broker, Peer::InProcess, &head(operation, true), body.as_bytes()).await?;
    let (parts, body) = response.into_parts();
    let Body::Full(body) = body else { panic!("events") };
    assert_eq!(parts.headers[CONTENT_TYPE], JSON);
    assert_eq!(
        parts.headers[CRC32].to_str().unwrap(),
        crc32fast::hash(&body).to_string()
    );
    assert!(uuid::Uuid::parse_str(parts.headers[REQUEST_ID].to_str().unwrap()).is_ok());
    Ok((parts.status, serde_json::from_slice(&body).unwrap()))
}

#[tokio::test]
async fn every_named_operation_is_one_and_no_other_is() {
    let broker = broker();
    for name in NAMES {
        let operation = name.strip_prefix("DynamoDB.").unwrap();
        let (_, answer) = call(&broker, operation, "{}").await.unwrap();
        assert_ne!(
            answer["__type"], "com.amazon.coral.service#UnknownOperationException",
            "{name}"
        );
    }
    let (status, answer) = call(&broker, "DescribeLimits", "{}").await.unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer,
        json!({"__type": "com.amazon.coral.service#UnknownOperationException"})
    );
}

#[tokio::test]
async fn requests_that_are_not_signed_are_refused() {
    let broker = broker();
    let response = crate::wire::respond(&broker, Peer::InProcess, &head("ListTables", false), b"{}")
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let Body::Full(body) = response.into_body() else {
        panic!("events")
    };
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        json!({
            "__type": "com.amazon.coral.service#MissingAuthenticationTokenException",
            "message": "Missing Authentication Token",
        })
    );
}

#[tokio::test]
async fn calls_are_logged_with_their_table_and_outcome() {
    let broker = broker();
    call(&broker, "CreateTable", TABLE).await.unwrap();
    call(&broker, "CreateTable", TABLE).await.unwrap();
    broker.call_dynamodb("UpdateItem", ADD.as_bytes()).unwrap();
    call(&broker, "ListTables", "{}").await.unwrap();
    call(&broker, "DescribeLimits", "{}").await.unwrap();
    let entries = broker.operations().entries(&OperationFilter::default());
    let logged: Vec<_> = entries
        .iter()
        .map(|entry| (&*entry.operation, entry.table.as_deref(), entry.outcome.clone()))
        .collect();
    assert_eq!(
        logged,
        [
            ("DynamoDB.CreateTable", Some("leases"), Outcome::Ok),
            (
                "DynamoDB.CreateTable",
                Some("leases"),
                Outcome::error("ResourceInUseException")
            ),
            ("DynamoDB.UpdateItem", Some("leases"), Outcome::Ok),
            ("DynamoDB.ListTables", None, Outcome::Ok),
            (
                "DynamoDB.DescribeLimits",
                None,
                Outcome::error("UnknownOperationException")
            ),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn tables_meet_the_trouble_that_is_planned_for_them() {
    let broker = broker();
    call(&broker, "CreateTable", TABLE).await.unwrap();
    let on_leases = |fault: Fault| fault.on("DynamoDB.UpdateItem").table("leases").times(1);
    for fault in [
        Fault::throttle(),
        Fault::internal_error(),
        Fault::unavailable(),
        Fault::drop_request(),
    ] {
        broker.trouble().add(on_leases(fault)).unwrap();
    }
    broker.trouble().add(on_leases(Fault::drop_answer())).unwrap();
    broker.trouble().add(Fault::throttle().table("other")).unwrap();
    for (status, kind) in [
        (
            400,
            "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        ),
        (500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
        (503, "com.amazon.coral.service#ServiceUnavailableException"),
    ] {
        let (answered, body) = call(&broker, "UpdateItem", ADD).await.unwrap();
        assert_eq!((answered.as_u16(), &body["__type"]), (status, &json!(kind)));
    }
    call(&broker, "UpdateItem", ADD).await.unwrap_err();
    call(&broker, "UpdateItem", ADD).await.unwrap_err();
    let (_, answer) = call(&broker, "UpdateItem", ADD).await.unwrap();
    assert_eq!(
        answer["Attributes"]["n"]["N"], "2",
        "only the call whose answer was dropped was carried out"
    );

    broker
        .trouble()
        .add(on_leases(Fault::latency(Duration::from_secs(3))))
        .unwrap();
    let late = tokio::time::timeout(Duration::from_millis(2_999), call(&broker, "UpdateItem", ADD)).await;
    assert!(late.is_err());
    assert_eq!(broker.table_costs("leases").unwrap().of("UpdateItem").requests, 2);
}
