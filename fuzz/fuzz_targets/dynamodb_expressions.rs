//! Expressions of DynamoDB: the first byte picks where the expression stands.

#![no_main]

use kcl_fuzz::World;
use serde_json::{Value, json};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((first, expression)) = input.split_first() else {
        return;
    };
    let Ok(expression) = str::from_utf8(expression) else {
        return;
    };
    let mut body = json!({
        "TableName": "leases",
        "ExpressionAttributeNames": {"#n": "leaseCounter", "#m": "map"},
        "ExpressionAttributeValues": {":v": {"N": "7"}, ":s": {"S": "a"}, ":l": {"L": []}, ":x": {"SS": ["x"]}},
    });
    let key = json!({"leaseKey": {"S": "a"}});
    let (operation, member, with_key) = match first % 6 {
        0 => ("UpdateItem", "ConditionExpression", true),
        1 => ("UpdateItem", "UpdateExpression", true),
        2 => ("Scan", "FilterExpression", false),
        3 => ("Query", "KeyConditionExpression", false),
        4 => ("GetItem", "ProjectionExpression", true),
        _ => ("DeleteItem", "ConditionExpression", true),
    };
    body[member] = Value::from(expression);
    if with_key {
        body["Key"] = key;
    }
    if operation == "GetItem" {
        body.as_object_mut()
            .expect("an object")
            .remove("ExpressionAttributeValues");
    }
    let world = World::new().with_table();
    let (status, answer) = world.dynamodb(operation, body.to_string().as_bytes());
    assert!(matches!(status, 200 | 400), "{operation} was answered {status}");
    serde_json::from_slice::<Value>(&answer).expect("every answer is JSON");
});
