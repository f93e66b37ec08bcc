use super::*;

fn costs(world: &World) -> (u64, f64, f64) {
    let total = world.tables.costs("leases").unwrap().total();
    (total.requests, total.read_units, total.write_units)
}

/// What one call costs: requests, read units, write units.
fn cost_of(world: &mut World, operation: &str, request: &Value) -> (u64, f64, f64) {
    let before = costs(world);
    // Whether it is refused does not matter here.
    drop(world.call(operation, request));
    let after = costs(world);
    (after.0 - before.0, after.1 - before.1, after.2 - before.2)
}

fn put(key: &str, bytes: usize, owner: Option<&str>) -> Value {
    let mut item = json!({"leaseKey": {"S": key}, "data": {"S": "x".repeat(bytes)}});
    if let Some(owner) = owner {
        item["leaseOwner"] = json!({"S": owner});
    }
    json!({"TableName": "leases", "Item": item})
}

#[test]
fn operations_cost_what_they_cost_on_aws() {
    let mut world = World::with_leases();
    assert_eq!(cost_of(&mut world, "PutItem", &put("a", 100, None)), (1, 0.0, 1.0));
    assert_eq!(cost_of(&mut world, "PutItem", &put("b", 9_000, None)), (1, 0.0, 9.0));
    let mut get = json!({"TableName": "leases", "Key": {"leaseKey": {"S": "b"}}});
    assert_eq!(cost_of(&mut world, "GetItem", &get), (1, 1.5, 0.0));
    get["ConsistentRead"] = json!(true);
    assert_eq!(cost_of(&mut world, "GetItem", &get), (1, 3.0, 0.0));
    get["Key"] = json!({"leaseKey": {"S": "none"}});
    assert_eq!(cost_of(&mut world, "GetItem", &get), (1, 1.0, 0.0));
    assert_eq!(
        cost_of(&mut world, "Scan", &json!({"TableName": "leases"})),
        (1, 1.5, 0.0)
    );
    let shrink = put("b", 10, None);
    assert_eq!(
        cost_of(&mut world, "PutItem", &shrink),
        (1, 0.0, 9.0),
        "the larger of both counts"
    );

    let mut refused = put("b", 5_000, None);
    refused["ConditionExpression"] = json!("attribute_not_exists(leaseKey)");
    assert_eq!(
        cost_of(&mut world, "PutItem", &refused),
        (1, 0.0, 1.0),
        "a failed condition costs"
    );
    let transaction = json!({"TransactItems": [{"Put": put("c", 10, None)}, {"Put": put("d", 10, None)}]});
    assert_eq!(cost_of(&mut world, "TransactWriteItems", &transaction), (1, 0.0, 4.0));
    let read = json!({"TransactItems": [{"Get": {"TableName": "leases", "Key": {"leaseKey": {"S": "c"}}}}]});
    assert_eq!(cost_of(&mut world, "TransactGetItems", &read), (1, 2.0, 0.0));
    let by_operation = world.tables.costs("leases").unwrap();
    assert_eq!(by_operation.of("PutItem").requests, 4);
    assert_eq!(by_operation.of("DeleteItem"), OperationCost::default());
    let operations: Vec<_> = by_operation.operations().map(|(operation, _)| operation).collect();
    assert_eq!(
        operations,
        ["GetItem", "PutItem", "Scan", "TransactGetItems", "TransactWriteItems"]
    );
    assert_eq!(world.tables.costs("none"), None);
}

#[test]
fn an_index_costs_when_its_entries_change() {
    let mut world = World::with_leases();
    let mut cost = |bytes, owner| cost_of(&mut world, "PutItem", &put("a", bytes, owner)).2;
    assert_eq!(cost(10, None), 1.0, "no entry");
    assert_eq!(cost(10, Some("w1")), 2.0, "a new entry");
    assert_eq!(cost(20, Some("w1")), 1.0, "the entry shows nothing new");
    assert_eq!(cost(20, Some("w2")), 3.0, "one entry for another");
    assert_eq!(cost(20, None), 2.0, "the entry goes");
}

#[test]
fn answers_tell_the_cost_if_asked() {
    let mut world = World::with_leases();
    let mut request = put("a", 10, Some("w"));
    request["ReturnConsumedCapacity"] = json!("TOTAL");
    assert_eq!(
        world.ok("PutItem", &request),
        json!({"ConsumedCapacity": {"TableName": "leases", "CapacityUnits": 2.0}})
    );
    request["Item"]["leaseOwner"] = json!({"S": "v"});
    request["ReturnConsumedCapacity"] = json!("INDEXES");
    assert_eq!(
        world.ok("PutItem", &request),
        json!({"ConsumedCapacity": {
            "TableName": "leases", "CapacityUnits": 3.0, "Table": {"CapacityUnits": 1.0},
            "GlobalSecondaryIndexes": {"LeaseOwnerToLeaseKeyIndex": {"CapacityUnits": 2.0}},
        }})
    );
    let query = json!({
        "TableName": "leases", "IndexName": "LeaseOwnerToLeaseKeyIndex", "KeyConditionExpression": "leaseOwner = :o",
        "ExpressionAttributeValues": {":o": {"S": "v"}}, "ReturnConsumedCapacity": "INDEXES",
    });
    assert_eq!(
        world.ok("Query", &query)["ConsumedCapacity"],
        json!({
            "TableName": "leases", "CapacityUnits": 0.5, "Table": {"CapacityUnits": 0.0},
            "GlobalSecondaryIndexes": {"LeaseOwnerToLeaseKeyIndex": {"CapacityUnits": 0.5}},
        })
    );
    let transaction = json!({"TransactItems": [{"Put": put("b", 10, None)}], "ReturnConsumedCapacity": "TOTAL"});
    assert_eq!(
        world.ok("TransactWriteItems", &transaction)["ConsumedCapacity"],
        json!([{"TableName": "leases", "CapacityUnits": 2.0, "WriteCapacityUnits": 2.0}])
    );
    let batch = json!({
        "RequestItems": {"leases": {"Keys": [{"leaseKey": {"S": "a"}}, {"leaseKey": {"S": "b"}}]}},
        "ReturnConsumedCapacity": "TOTAL",
    });
    assert_eq!(
        world.ok("BatchGetItem", &batch)["ConsumedCapacity"],
        json!([{"TableName": "leases", "CapacityUnits": 1.0}])
    );
    let mut wrong = put("a", 10, None);
    wrong["ReturnConsumedCapacity"] = json!("ALL");
    world.assert_refused(
        "PutItem",
        &wrong,
        DynamoErrorKind::Validation,
        "enum value set: [INDEXES, TOTAL, NONE]",
    );
}
