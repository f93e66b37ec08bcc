use super::*;

const CANCELED: DynamoErrorKind = DynamoErrorKind::TransactionCanceled;
const INVALID: DynamoErrorKind = DynamoErrorKind::Validation;

fn key(key: &str) -> Value {
    json!({"leaseKey": {"S": key}})
}

fn put(key: &str, condition: Option<&str>) -> Value {
    let mut put = json!({"TableName": "leases", "Item": {"leaseKey": {"S": key}, "new": {"BOOL": true}}});
    if let Some(condition) = condition {
        put["ConditionExpression"] = json!(condition);
    }
    json!({"Put": put})
}

#[test]
fn all_of_a_transaction_is_done_or_nothing() {
    let mut world = World::with_leases();
    let owned = json!({"leaseKey": {"S": "lock"}, "ownerName": {"S": "me"}});
    world.put(&owned);
    world.put(&json!({"leaseKey": {"S": "old"}}));
    let check = |owner: &str| {
        json!({"ConditionCheck": {
            "TableName": "leases", "Key": key("lock"), "ConditionExpression": "ownerName = :owner",
            "ExpressionAttributeValues": {":owner": {"S": owner}}, "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }})
    };
    let update = json!({"Update": {
        "TableName": "leases", "Key": key("counter"), "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }});
    let delete = json!({"Delete": {"TableName": "leases", "Key": key("old")}});
    let items = |owner: &str| json!({"TransactItems": [check(owner), put("new", Some("attribute_not_exists(leaseKey)")), update, delete]});
    let error = world.call("TransactWriteItems", &items("other")).unwrap_err();
    assert_eq!(
        serde_json::from_slice::<Value>(&error.body()).unwrap(),
        json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons \
                        [ConditionalCheckFailed, None, None, None]",
            "CancellationReasons": [
                {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": owned},
                {"Code": "None"}, {"Code": "None"}, {"Code": "None"},
            ],
        })
    );
    assert_eq!(world.get("new"), Value::Null);
    assert_eq!(world.get("old"), key("old"));
    assert_eq!(world.ok("TransactWriteItems", &items("me")), json!({}));
    assert_eq!(world.get("new")["new"], json!({"BOOL": true}));
    assert_eq!(world.get("old"), Value::Null);
    assert_eq!(world.get("counter")["n"], json!({"N": "1"}));
    assert_eq!(world.get("lock"), owned);
    world.assert_refused(
        "TransactWriteItems",
        &items("me"),
        CANCELED,
        "[None, ConditionalCheckFailed, None, None]",
    );
}

#[test]
fn a_write_that_cannot_be_done_cancels_the_transaction() {
    let mut world = World::with_leases();
    world.put(&json!({"leaseKey": {"S": "a"}, "s": {"S": "text"}}));
    let update = json!({"Update": {
        "TableName": "leases", "Key": key("a"), "UpdateExpression": "ADD s :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }});
    let transaction = json!({"TransactItems": [put("b", None), update]});
    world.assert_refused("TransactWriteItems", &transaction, CANCELED, "[None, ValidationError]");
    assert_eq!(world.get("b"), Value::Null);
}

#[test]
fn a_transaction_is_checked_before_anything_is_done() {
    let mut world = World::with_leases();
    let twice = json!({"TransactItems": [put("a", None), {"Delete": {"TableName": "leases", "Key": key("a")}}]});
    world.assert_refused(
        "TransactWriteItems",
        &twice,
        INVALID,
        "cannot include multiple operations on one item",
    );
    let both =
        json!({"TransactItems": [{"Put": put("a", None)["Put"], "Delete": {"TableName": "leases", "Key": key("b")}}]});
    world.assert_refused(
        "TransactWriteItems",
        &both,
        INVALID,
        "can only contain one of Check, Put, Update or Delete",
    );
    world.assert_refused(
        "TransactWriteItems",
        &json!({"TransactItems": []}),
        INVALID,
        "greater than or equal to 1",
    );
    let many: Vec<_> = (0..101).map(|i| put(&i.to_string(), None)).collect();
    world.assert_refused(
        "TransactWriteItems",
        &json!({"TransactItems": many}),
        INVALID,
        "less than or equal to 100",
    );
    let check = json!({"TransactItems": [{"ConditionCheck": {"TableName": "leases", "Key": key("a")}}]});
    world.assert_refused("TransactWriteItems", &check, INVALID, "conditionExpression");
    let other = json!({"TransactItems": [{"Delete": {"TableName": "none", "Key": key("a")}}]});
    world.assert_refused(
        "TransactWriteItems",
        &other,
        DynamoErrorKind::ResourceNotFound,
        "Requested resource not found",
    );
    let large: Vec<_> = (0..11)
        .map(|i| {
            let item = json!({"leaseKey": {"S": i.to_string()}, "data": {"S": "x".repeat(399 << 10)}});
            json!({"Put": {"TableName": "leases", "Item": item}})
        })
        .collect();
    world.assert_refused(
        "TransactWriteItems",
        &json!({"TransactItems": large}),
        INVALID,
        "at most 4 MB",
    );
    assert_eq!(world.ok("Scan", &json!({"TableName": "leases"}))["Count"], 0);
}

#[test]
fn a_transaction_that_is_sent_again_is_not_done_again() {
    let mut world = World::with_leases();
    let add = |n: &str| {
        json!({
            "ClientRequestToken": "token", "TransactItems": [{"Update": {
                "TableName": "leases", "Key": key("a"), "UpdateExpression": "ADD n :n",
                "ExpressionAttributeValues": {":n": {"N": n}},
            }}],
        })
    };
    world.ok("TransactWriteItems", &add("1"));
    world.ok("TransactWriteItems", &add("1"));
    assert_eq!(world.get("a")["n"], json!({"N": "1"}));
    let mismatch = DynamoErrorKind::IdempotentParameterMismatch;
    world.assert_refused("TransactWriteItems", &add("2"), mismatch, "used before");
    world.millis += 600_000;
    world.ok("TransactWriteItems", &add("1"));
    assert_eq!(world.get("a")["n"], json!({"N": "1"}));
    world.millis += 1;
    world.ok("TransactWriteItems", &add("1"));
    assert_eq!(world.get("a")["n"], json!({"N": "2"}));
}

#[test]
fn a_refused_transaction_may_be_sent_again() {
    let mut world = World::with_leases();
    let mut transaction = json!({"TransactItems": [put("a", Some("attribute_exists(leaseKey)"))]});
    transaction["ClientRequestToken"] = json!("token");
    world.assert_refused("TransactWriteItems", &transaction, CANCELED, "ConditionalCheckFailed");
    world.put(&key("a"));
    world.ok("TransactWriteItems", &transaction);
    assert_eq!(world.get("a")["new"], json!({"BOOL": true}));
}

#[test]
fn items_are_read_together() {
    let mut world = World::with_leases();
    world.put(&json!({"leaseKey": {"S": "a"}, "n": {"N": "1"}, "m": {"N": "2"}}));
    let get = |name: &str| json!({"Get": {"TableName": "leases", "Key": key(name), "ProjectionExpression": "n"}});
    let read = world.ok("TransactGetItems", &json!({"TransactItems": [get("a"), get("b")]}));
    assert_eq!(read, json!({"Responses": [{"Item": {"n": {"N": "1"}}}, {}]}));
    world.assert_refused(
        "TransactGetItems",
        &json!({"TransactItems": [get("a"), get("a")]}),
        INVALID,
        "multiple operations on one item",
    );
}
