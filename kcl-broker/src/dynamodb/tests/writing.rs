use super::*;

const INVALID: DynamoErrorKind = DynamoErrorKind::Validation;

fn key(key: &str) -> Value {
    json!({"leaseKey": {"S": key}})
}

fn update(key: &str, text: &str, values: &Value) -> Value {
    let mut request = json!({"TableName": "leases", "Key": {"leaseKey": {"S": key}}, "UpdateExpression": text});
    if !values.is_null() {
        request["ExpressionAttributeValues"] = values.clone();
    }
    request
}

#[test]
fn an_item_comes_back_as_it_was_put() {
    let mut world = World::with_leases();
    assert_eq!(
        world.ok("GetItem", &json!({"TableName": "leases", "Key": key("a")})),
        json!({})
    );
    let item = json!({
        "leaseKey": {"S": "a"}, "leaseCounter": {"N": "12345678901234567890123456789012345678"},
        "pendingCheckpointState": {"B": "AAEC/w=="}, "childShardIds": {"SS": ["s1", "s2"]},
        "sts": {"M": {"cpu": {"L": [{"N": "0.25"}, {"NULL": true}]}}}, "done": {"BOOL": true},
    });
    world.put(&item);
    assert_eq!(world.get("a"), item);
    let projected = json!({
        "TableName": "leases", "Key": key("a"), "ProjectionExpression": "#d, sts.cpu[1]",
        "ExpressionAttributeNames": {"#d": "done"},
    });
    assert_eq!(
        world.ok("GetItem", &projected),
        json!({"Item": {"done": {"BOOL": true}, "sts": {"M": {"cpu": {"L": [{"NULL": true}]}}}}})
    );
    let legacy = json!({"TableName": "leases", "Key": key("a"), "AttributesToGet": ["done", "gone"]});
    assert_eq!(world.ok("GetItem", &legacy), json!({"Item": {"done": {"BOOL": true}}}));
    let description = world.ok("DescribeTable", &json!({"TableName": "leases"}))["Table"].clone();
    assert_eq!(description["ItemCount"], 1);
    assert_eq!(description["TableSizeBytes"], 107);
    let deleted = world.ok(
        "DeleteItem",
        &json!({"TableName": "leases", "Key": key("a"), "ReturnValues": "ALL_OLD"}),
    );
    assert_eq!(deleted, json!({"Attributes": item}));
    assert_eq!(world.get("a"), Value::Null);
    let description = world.ok("DescribeTable", &json!({"TableName": "leases"}))["Table"].clone();
    assert_eq!(
        (
            description["ItemCount"].as_u64(),
            description["TableSizeBytes"].as_u64()
        ),
        (Some(0), Some(0))
    );
}

#[test]
fn return_values_are_those_before_or_after() {
    let mut world = World::with_leases();
    let request = |world: &mut World, returned: &str| {
        world.put(&json!({"leaseKey": {"S": "a"}, "n": {"N": "1"}, "m": {"M": {"x": {"N": "1"}, "y": {"N": "2"}}}}));
        let mut request = update("a", "SET n = n + :v, m.x = :v, z = :v", &json!({":v": {"N": "5"}}));
        request["ReturnValues"] = json!(returned);
        world.ok("UpdateItem", &request)
    };
    assert_eq!(request(&mut world, "NONE"), json!({}));
    let old = json!({"leaseKey": {"S": "a"}, "n": {"N": "1"}, "m": {"M": {"x": {"N": "1"}, "y": {"N": "2"}}}});
    assert_eq!(request(&mut world, "ALL_OLD"), json!({"Attributes": old}));
    let touched = json!({"n": {"N": "1"}, "m": {"M": {"x": {"N": "1"}}}});
    assert_eq!(request(&mut world, "UPDATED_OLD"), json!({"Attributes": touched}));
    let new = json!({
        "leaseKey": {"S": "a"}, "n": {"N": "6"}, "m": {"M": {"x": {"N": "5"}, "y": {"N": "2"}}}, "z": {"N": "5"},
    });
    assert_eq!(request(&mut world, "ALL_NEW"), json!({"Attributes": new}));
    let touched = json!({"n": {"N": "6"}, "m": {"M": {"x": {"N": "5"}}}, "z": {"N": "5"}});
    assert_eq!(request(&mut world, "UPDATED_NEW"), json!({"Attributes": touched}));

    let put = json!({"TableName": "leases", "Item": key("a"), "ReturnValues": "ALL_OLD"});
    assert_eq!(world.ok("PutItem", &put), json!({"Attributes": new}));
    assert_eq!(world.ok("PutItem", &put), json!({"Attributes": key("a")}));
    let put = json!({"TableName": "leases", "Item": key("a"), "ReturnValues": "ALL_NEW"});
    world.assert_refused("PutItem", &put, INVALID, "ReturnValues can only be ALL_OLD or NONE");
    let put = json!({"TableName": "leases", "Item": key("a"), "ReturnValues": "SOME"});
    world.assert_refused(
        "PutItem",
        &put,
        INVALID,
        "enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]",
    );
}

#[test]
fn an_update_makes_the_item_that_is_not_there() {
    let mut world = World::with_leases();
    world.ok(
        "UpdateItem",
        &update("a", "ADD leaseCounter :one", &json!({":one": {"N": "1"}})),
    );
    assert_eq!(
        world.get("a"),
        json!({"leaseKey": {"S": "a"}, "leaseCounter": {"N": "1"}})
    );
    world.ok("UpdateItem", &json!({"TableName": "leases", "Key": key("b")}));
    assert_eq!(world.get("b"), key("b"));
}

#[test]
fn a_condition_that_fails_changes_nothing_and_shows_the_item_if_asked() {
    let mut world = World::with_leases();
    let lease = json!({"leaseKey": {"S": "a"}, "leaseCounter": {"N": "3"}});
    world.put(&lease);
    let mut request = json!({
        "TableName": "leases", "Item": key("a"), "ConditionExpression": "leaseCounter = :n",
        "ExpressionAttributeValues": {":n": {"N": "2"}},
    });
    let error = world.call("PutItem", &request).unwrap_err();
    assert_eq!(
        serde_json::from_slice::<Value>(&error.body()).unwrap(),
        json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "message": "The conditional request failed",
        })
    );
    request["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
    let error = world.call("PutItem", &request).unwrap_err();
    assert_eq!(serde_json::from_slice::<Value>(&error.body()).unwrap()["Item"], lease);
    assert_eq!(world.get("a"), lease);
    request["Item"] = key("new");
    let error = world.call("PutItem", &request).unwrap_err();
    assert_eq!(
        serde_json::from_slice::<Value>(&error.body()).unwrap().get("Item"),
        None
    );
    assert_eq!(world.get("new"), Value::Null);

    let delete = json!({
        "TableName": "leases", "Key": key("a"), "ConditionExpression": "attribute_not_exists(leaseCounter)",
    });
    world.assert_refused(
        "DeleteItem",
        &delete,
        DynamoErrorKind::ConditionalCheckFailed,
        "The conditional request failed",
    );
    assert_eq!(world.get("a"), lease);
}

#[test]
fn a_failed_update_changes_nothing() {
    let mut world = World::with_leases();
    let lease = json!({"leaseKey": {"S": "a"}, "s": {"S": "x"}, "n": {"N": "1"}});
    world.put(&lease);
    let request = update("a", "SET n = :v ADD s :v", &json!({":v": {"N": "2"}}));
    world.assert_refused("UpdateItem", &request, INVALID, "incorrect data type");
    assert_eq!(world.get("a"), lease);
}

#[test]
fn keys_are_checked() {
    let mut world = World::with_leases();
    let put = |item: Value| json!({"TableName": "leases", "Item": item});
    for (item, words) in [
        (json!({}), "Missing the key leaseKey in the item"),
        (
            json!({"leaseKey": {"N": "1"}}),
            "Type mismatch for key leaseKey expected: S actual: N",
        ),
        (
            json!({"leaseKey": {"S": ""}}),
            "cannot contain an empty string value. Key: leaseKey",
        ),
        (
            json!({"leaseKey": {"S": "x".repeat(2049)}}),
            "Size of hashkey has exceeded the maximum size limit",
        ),
        (
            json!({"leaseKey": {"S": "a"}, "leaseOwner": {"NULL": true}}),
            "Type mismatch for Index Key leaseOwner Expected: S Actual: NULL IndexName: LeaseOwnerToLeaseKeyIndex",
        ),
        (
            json!({"leaseKey": {"S": "a"}, "leaseOwner": {"S": ""}}),
            "IndexKey: leaseOwner",
        ),
    ] {
        world.assert_refused("PutItem", &put(item), INVALID, words);
    }
    world.ok("PutItem", &put(json!({"leaseKey": {"S": "x".repeat(2048)}})));
    for key in [
        json!({}),
        json!({"leaseKey": {"N": "1"}}),
        json!({"other": {"S": "a"}}),
        json!({"leaseKey": {"S": "a"}, "other": {"S": "a"}}),
    ] {
        let get = json!({"TableName": "leases", "Key": key});
        world.assert_refused(
            "GetItem",
            &get,
            INVALID,
            "The provided key element does not match the schema",
        );
    }
    let request = update("a", "SET leaseKey = :k", &json!({":k": {"S": "b"}}));
    world.assert_refused(
        "UpdateItem",
        &request,
        INVALID,
        "Cannot update attribute leaseKey. This attribute is part of the key",
    );
    let get = json!({"TableName": "none", "Key": key("a")});
    let (kind, message) = world.refused("GetItem", &get);
    assert_eq!(
        (kind, message.as_str()),
        (DynamoErrorKind::ResourceNotFound, "Requested resource not found")
    );
}

#[test]
fn an_item_has_at_most_400_kib() {
    let mut world = World::with_leases();
    let item = |bytes: usize| json!({"leaseKey": {"S": "a"}, "data": {"S": "x".repeat(bytes)}});
    let most = (400 << 10) - "leaseKey".len() - "a".len() - "data".len();
    world.put(&item(most));
    let request = json!({"TableName": "leases", "Item": item(most + 1)});
    world.assert_refused(
        "PutItem",
        &request,
        INVALID,
        "Item size has exceeded the maximum allowed size",
    );
    let request = update("a", "SET x = :v", &json!({":v": {"S": ""}}));
    world.assert_refused("UpdateItem", &request, INVALID, "exceeded the maximum allowed size");
}

#[test]
fn batches_write_and_read_many_items() {
    let mut world = World::with_leases();
    let puts: Vec<_> = (0..25)
        .map(|i| json!({"PutRequest": {"Item": {"leaseKey": {"S": i.to_string()}, "n": {"N": i.to_string()}}}}))
        .collect();
    assert_eq!(
        world.ok("BatchWriteItem", &json!({"RequestItems": {"leases": puts}})),
        json!({"UnprocessedItems": {}})
    );
    let write = json!([{"DeleteRequest": {"Key": key("0")}}, {"PutRequest": {"Item": key("1")}}]);
    world.ok("BatchWriteItem", &json!({"RequestItems": {"leases": write}}));
    let keys: Vec<_> = ["0", "1", "2"].map(key).into();
    let read = json!({"RequestItems": {"leases": {"Keys": keys, "ProjectionExpression": "leaseKey, n"}}});
    let read = world.ok("BatchGetItem", &read);
    assert_eq!(read["UnprocessedKeys"], json!({}));
    let items = json!([{"leaseKey": {"S": "1"}}, {"leaseKey": {"S": "2"}, "n": {"N": "2"}}]);
    assert_eq!(read["Responses"]["leases"], items);

    let twice =
        json!({"RequestItems": {"leases": [{"DeleteRequest": {"Key": key("1")}}, {"PutRequest": {"Item": key("1")}}]}});
    world.assert_refused("BatchWriteItem", &twice, INVALID, "contains duplicates");
    let mut puts = puts;
    puts.push(json!({"PutRequest": {"Item": key("x")}}));
    world.assert_refused(
        "BatchWriteItem",
        &json!({"RequestItems": {"leases": puts}}),
        INVALID,
        "Too many items requested for the BatchWriteItem call",
    );
    let missing = json!({"RequestItems": {"leases": [{"DeleteRequest": {"Key": key("1")}}], "none": [{"DeleteRequest": {"Key": key("1")}}]}});
    world.assert_refused(
        "BatchWriteItem",
        &missing,
        DynamoErrorKind::ResourceNotFound,
        "Requested resource not found",
    );
    assert_eq!(world.get("1"), key("1"));
}

#[test]
fn a_batch_leaves_what_exceeds_16_mib_for_another_request() {
    let mut world = World::with_leases();
    let data = "x".repeat(399 << 10);
    for i in 0..45 {
        world.put(&json!({"leaseKey": {"S": format!("{i:02}")}, "data": {"S": data}}));
    }
    let keys: Vec<_> = (0..45).map(|i| key(&format!("{i:02}"))).collect();
    let mut request = json!({"RequestItems": {"leases": {"Keys": keys, "ConsistentRead": true}}});
    let mut read = 0;
    let mut requests = 0;
    while request["RequestItems"] != json!({}) {
        let answer = world.ok("BatchGetItem", &request);
        read += answer["Responses"]["leases"].as_array().unwrap().len();
        request = json!({"RequestItems": answer["UnprocessedKeys"]});
        requests += 1;
    }
    assert_eq!((read, requests), (45, 2));
}

#[test]
fn requests_that_cannot_be_read_are_told_apart_from_those_that_are_wrong() {
    let mut world = World::with_leases();
    let now = Timestamp::from_epoch_millis(START_MS);
    for body in [
        "",
        "{",
        "[]",
        r#"{"TableName": 5}"#,
        r#"{"TableName": "leases", "Key": {"leaseKey": "a"}}"#,
    ] {
        let error = world.tables.call(now, "GetItem", body.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), DynamoErrorKind::Serialization, "{body}");
        let body: Value = serde_json::from_slice(&error.body()).unwrap();
        assert_eq!(body["__type"], "com.amazon.coral.service#SerializationException");
    }
    let deep = format!(
        "{}{}",
        r#"{"TableName": "leases", "Key": {"leaseKey": "#,
        r#"{"L":["#.repeat(100_000)
    );
    assert_eq!(
        world.tables.call(now, "GetItem", deep.as_bytes()).unwrap_err().kind(),
        DynamoErrorKind::Serialization
    );
    let error = world.tables.call(now, "GetItem", b"{}").unwrap_err();
    let body: Value = serde_json::from_slice(&error.body()).unwrap();
    assert_eq!(
        body,
        json!({
            "__type": "com.amazon.coral.validate#ValidationException",
            "message": "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not \
                        be null",
        })
    );
}

#[test]
fn a_full_store_says_so_and_goes_on_when_there_is_room() {
    let mut world = World::with(TablesConfig {
        stored_bytes_max: 10_000,
        ..TablesConfig::default()
    });
    world.ok("CreateTable", &lease_table("leases"));
    world.put(&json!({"leaseKey": {"S": "a"}, "data": {"S": "x".repeat(9_000)}}));
    let more = json!({"TableName": "leases", "Item": {"leaseKey": {"S": "b"}, "data": {"S": "x".repeat(1_000)}}});
    world.assert_refused(
        "PutItem",
        &more,
        DynamoErrorKind::LimitExceeded,
        "would exceed its limit of 10000",
    );
    let grow = update("a", "SET b = :v", &json!({":v": {"S": "x".repeat(1_000)}}));
    world.assert_refused(
        "UpdateItem",
        &grow,
        DynamoErrorKind::LimitExceeded,
        "would exceed its limit",
    );
    let batch = json!({"RequestItems": {"leases": [{"PutRequest": {"Item": more["Item"]}}]}});
    world.assert_refused(
        "BatchWriteItem",
        &batch,
        DynamoErrorKind::LimitExceeded,
        "would exceed its limit",
    );
    let transaction = json!({"TransactItems": [{"Put": more}]});
    world.assert_refused(
        "TransactWriteItems",
        &transaction,
        DynamoErrorKind::LimitExceeded,
        "would exceed its limit",
    );
    world.ok("UpdateItem", &update("a", "REMOVE b", &Value::Null));
    world.ok("DeleteItem", &json!({"TableName": "leases", "Key": key("a")}));
    assert_eq!(world.tables.stored_bytes(), 0);
    world.ok("PutItem", &more);
}
