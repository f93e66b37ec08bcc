//! The lease table in the words of Java's KCL: parameters from before expressions.

use super::*;

fn request(key: &str, expected: &Value, updates: &Value) -> Value {
    json!({
        "TableName": "leases",
        "Key": {"leaseKey": {"S": key}},
        "Expected": expected,
        "AttributeUpdates": updates,
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    })
}

fn put(value: &Value) -> Value {
    json!({"Value": value, "Action": "PUT"})
}

#[test]
fn leases_are_made_taken_renewed_and_deleted() {
    let mut world = World::with_leases();
    let create = json!({
        "TableName": "leases",
        "Item": {"leaseKey": {"S": "shard"}, "leaseCounter": {"N": "0"}, "checkpoint": {"S": "TRIM_HORIZON"}},
        "Expected": {"leaseKey": {"Exists": false}},
    });
    world.ok("PutItem", &create);
    world.assert_refused(
        "PutItem",
        &create,
        DynamoErrorKind::ConditionalCheckFailed,
        "The conditional request failed",
    );

    let take = request(
        "shard",
        &json!({"leaseCounter": {"Value": {"N": "0"}}}),
        &json!({
            "leaseOwner": put(&json!({"S": "worker"})), "leaseCounter": put(&json!({"N": "1"})),
            "checkpointOwner": {"Action": "DELETE"},
            "ownerSwitchesSinceCheckpoint": {"Value": {"N": "1"}, "Action": "ADD"},
        }),
    );
    let taken = world.ok("UpdateItem", &take)["Attributes"].clone();
    let expected = json!({
        "leaseKey": {"S": "shard"}, "leaseCounter": {"N": "1"}, "checkpoint": {"S": "TRIM_HORIZON"},
        "leaseOwner": {"S": "worker"}, "ownerSwitchesSinceCheckpoint": {"N": "1"},
    });
    assert_eq!(taken, expected);
    let error = world.call("UpdateItem", &take).unwrap_err();
    let body: Value = serde_json::from_slice(&error.body()).unwrap();
    assert_eq!(
        body["__type"],
        "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
    );
    assert_eq!(body["Item"], expected);

    let renew = request(
        "shard",
        &json!({"leaseCounter": {"Value": {"N": "1"}, "Exists": true}, "checkpointOwner": {"Exists": false}}),
        &json!({"leaseCounter": put(&json!({"N": "2"})), "throughputKBps": put(&json!({"N": "0.5"}))}),
    );
    assert_eq!(
        world.ok("UpdateItem", &renew)["Attributes"]["leaseCounter"],
        json!({"N": "2"})
    );

    let evict = request(
        "shard",
        &json!({"leaseOwner": {"Value": {"S": "worker"}}, "leaseKey": {"Value": {"S": "shard"}, "Exists": true}}),
        &json!({"leaseOwner": {"Action": "DELETE"}, "leaseCounter": {"Value": {"N": "1"}, "Action": "ADD"}}),
    );
    let evicted = world.ok("UpdateItem", &evict)["Attributes"].clone();
    assert_eq!(evicted.get("leaseOwner"), None);
    assert_eq!(evicted["leaseCounter"], json!({"N": "3"}));
    let query = json!({
        "TableName": "leases", "IndexName": "LeaseOwnerToLeaseKeyIndex",
        "KeyConditionExpression": "leaseOwner = :leaseOwner",
        "ExpressionAttributeValues": {":leaseOwner": {"S": "worker"}},
    });
    assert_eq!(world.ok("Query", &query)["Count"], 0);
    world.ok(
        "DeleteItem",
        &json!({"TableName": "leases", "Key": {"leaseKey": {"S": "shard"}}}),
    );
    assert_eq!(world.get("shard"), Value::Null);
}

#[test]
fn an_update_that_only_removes_makes_no_item() {
    let mut world = World::with_leases();
    let remove = request("none", &json!({}), &json!({"leaseOwner": {"Action": "DELETE"}}));
    assert_eq!(world.ok("UpdateItem", &remove), json!({}));
    assert_eq!(world.get("none"), Value::Null);
    let add = request(
        "some",
        &json!({}),
        &json!({"n": {"Value": {"N": "1"}, "Action": "ADD"}}),
    );
    assert_eq!(world.ok("UpdateItem", &add)["Attributes"]["n"], json!({"N": "1"}));
}

#[test]
fn sets_grow_and_shrink() {
    let mut world = World::with_leases();
    let change = |action: &str, set: &[&str]| {
        request(
            "a",
            &json!({}),
            &json!({"childShardIds": {"Value": {"SS": set}, "Action": action}}),
        )
    };
    let children = |answer: &Value| answer["Attributes"]["childShardIds"].clone();
    assert_eq!(
        children(&world.ok("UpdateItem", &change("ADD", &["x"]))),
        json!({"SS": ["x"]})
    );
    assert_eq!(
        children(&world.ok("UpdateItem", &change("ADD", &["y"]))),
        json!({"SS": ["x", "y"]})
    );
    assert_eq!(
        children(&world.ok("UpdateItem", &change("DELETE", &["x"]))),
        json!({"SS": ["y"]})
    );
    assert_eq!(
        children(&world.ok("UpdateItem", &change("DELETE", &["y"]))),
        Value::Null
    );
}

#[test]
fn comparison_operators_mean_what_their_expressions_mean() {
    let mut world = World::with_leases();
    world.put(&json!({"leaseKey": {"S": "a"}, "n": {"N": "5"}, "s": {"S": "middle"}, "set": {"SS": ["x"]}}));
    let n = |value: &str| json!({"N": value});
    for (attribute, operator, values, expected) in [
        ("n", "EQ", vec![n("5")], true),
        ("n", "NE", vec![n("5")], false),
        ("gone", "NE", vec![n("5")], true),
        ("n", "LT", vec![n("6")], true),
        ("n", "LE", vec![n("4")], false),
        ("n", "GT", vec![n("4")], true),
        ("n", "GE", vec![n("6")], false),
        ("n", "BETWEEN", vec![n("5"), n("6")], true),
        ("n", "IN", vec![n("1"), n("5")], true),
        ("n", "NOT_NULL", vec![], true),
        ("n", "NULL", vec![], false),
        ("gone", "NULL", vec![], true),
        ("s", "BEGINS_WITH", vec![json!({"S": "mid"})], true),
        ("s", "CONTAINS", vec![json!({"S": "dd"})], true),
        ("set", "CONTAINS", vec![json!({"S": "y"})], false),
        ("set", "NOT_CONTAINS", vec![json!({"S": "y"})], true),
    ] {
        let condition = json!({"ComparisonOperator": operator, "AttributeValueList": values});
        let scan = json!({"TableName": "leases", "ScanFilter": {attribute: condition}});
        assert_eq!(
            world.ok("Scan", &scan)["Count"] == 1,
            expected,
            "scan {attribute} {operator}"
        );
        let put = json!({"TableName": "leases", "Key": {"leaseKey": {"S": "a"}}, "Expected": {attribute: condition}});
        assert_eq!(
            world.call("UpdateItem", &put).is_ok(),
            expected,
            "expected {attribute} {operator}"
        );
    }
    let either = json!({
        "TableName": "leases", "ConditionalOperator": "OR",
        "ScanFilter": {
            "n": {"ComparisonOperator": "EQ", "AttributeValueList": [n("1")]},
            "s": {"ComparisonOperator": "NOT_NULL"},
        },
    });
    assert_eq!(world.ok("Scan", &either)["Count"], 1);
    let query = json!({
        "TableName": "leases",
        "KeyConditions": {"leaseKey": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}},
        "QueryFilter": {"n": {"ComparisonOperator": "GT", "AttributeValueList": [n("4")]}},
    });
    assert_eq!(world.ok("Query", &query)["Count"], 1);
}

#[test]
fn both_kinds_of_parameters_are_not_mixed() {
    let mut world = World::with_leases();
    let mut mixed = request("a", &json!({"n": {"Exists": false}}), &json!({}));
    mixed["UpdateExpression"] = json!("REMOVE n");
    let words = "Non-expression parameters: {AttributeUpdates, Expected} Expression parameters: {UpdateExpression}";
    world.assert_refused("UpdateItem", &mixed, DynamoErrorKind::Validation, words);
    for (expected, words) in [
        (
            json!({"n": {}}),
            "Value must be provided when Exists is null for Attribute: n",
        ),
        (
            json!({"n": {"Exists": true}}),
            "Value must be provided when Exists is true",
        ),
        (
            json!({"n": {"Exists": false, "Value": {"N": "1"}}}),
            "Value cannot be used when Exists is false",
        ),
        (
            json!({"n": {"Exists": false, "ComparisonOperator": "NULL"}}),
            "cannot be used together",
        ),
        (
            json!({"n": {"ComparisonOperator": "EQ"}}),
            "Invalid number of argument(s) for the EQ",
        ),
        (
            json!({"n": {"ComparisonOperator": "LIKE", "Value": {"N": "1"}}}),
            "enum value set",
        ),
    ] {
        world.assert_refused(
            "UpdateItem",
            &request("a", &expected, &json!({})),
            DynamoErrorKind::Validation,
            words,
        );
    }
    for (update, words) in [
        (json!({"n": {"Action": "PUT"}}), "Only DELETE action is allowed"),
        (
            json!({"n": {"Action": "ADD", "Value": {"S": "x"}}}),
            "ADD action is not supported for the type S",
        ),
        (
            json!({"n": {"Action": "DELETE", "Value": {"S": "x"}}}),
            "not supported for the type S",
        ),
        (
            json!({"leaseKey": {"Value": {"S": "x"}}}),
            "This attribute is part of the key",
        ),
    ] {
        world.assert_refused(
            "UpdateItem",
            &request("a", &json!({}), &update),
            DynamoErrorKind::Validation,
            words,
        );
    }
}
