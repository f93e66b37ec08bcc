use super::*;

const NOT_FOUND: DynamoErrorKind = DynamoErrorKind::ResourceNotFound;
const INVALID: DynamoErrorKind = DynamoErrorKind::Validation;

fn named(name: &str) -> Value {
    json!({"TableName": name})
}

#[test]
fn a_table_is_described_as_it_was_made() {
    let mut world = World::new();
    let (kind, message) = world.refused("DescribeTable", &named("leases"));
    assert_eq!(
        (kind, message.as_str()),
        (NOT_FOUND, "Requested resource not found: Table: leases not found")
    );
    let created = world.ok("CreateTable", &lease_table("leases"))["TableDescription"].clone();
    assert_eq!(created["TableStatus"], "CREATING");
    let described = world.ok("DescribeTable", &named("leases"))["Table"].clone();
    let since = 1_357_034_400.25;
    let id = described["TableId"].clone();
    assert_eq!(
        described,
        json!({
            "TableName": "leases",
            "TableArn": "arn:aws:dynamodb:us-east-1:000000000000:table/leases",
            "TableId": id,
            "TableStatus": "ACTIVE",
            "CreationDateTime": since,
            "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
            "ItemCount": 0,
            "TableSizeBytes": 0,
            "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0, "NumberOfDecreasesToday": 0},
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": since},
            "DeletionProtectionEnabled": false,
        })
    );
    let (kind, message) = world.refused("CreateTable", &lease_table("leases"));
    assert_eq!(
        (kind, message.as_str()),
        (DynamoErrorKind::ResourceInUse, "Table already exists: leases")
    );
}

#[test]
fn provisioned_tables_have_units_and_no_billing_mode() {
    let mut world = World::new();
    let mut request = lease_table("shards");
    request.as_object_mut().unwrap().remove("BillingMode");
    world.assert_refused(
        "CreateTable",
        &request,
        INVALID,
        "must both be specified when BillingMode is PROVISIONED",
    );
    request["ProvisionedThroughput"] = json!({"ReadCapacityUnits": 10, "WriteCapacityUnits": 5});
    world.ok("CreateTable", &request);
    let described = world.ok("DescribeTable", &named("shards"))["Table"].clone();
    assert_eq!(described["ProvisionedThroughput"]["WriteCapacityUnits"], 5);
    assert_eq!(described.get("BillingModeSummary"), None);
    request["BillingMode"] = json!("PAY_PER_REQUEST");
    world.assert_refused("CreateTable", &request, INVALID, "when BillingMode is PAY_PER_REQUEST");
    let on_demand = json!({"TableName": "shards", "BillingMode": "PAY_PER_REQUEST"});
    let updated = world.ok("UpdateTable", &on_demand)["TableDescription"].clone();
    assert_eq!(updated["TableStatus"], "UPDATING");
    assert_eq!(updated["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
}

#[test]
fn an_index_is_added_with_the_items_that_have_its_key() {
    let mut world = World::new();
    world.ok("CreateTable", &lease_table("leases"));
    world.put(&json!({"leaseKey": {"S": "a"}, "leaseOwner": {"S": "w"}}));
    world.put(&json!({"leaseKey": {"S": "b"}}));
    let updated = world.ok("UpdateTable", &owner_index("leases"))["TableDescription"].clone();
    assert_eq!(updated["GlobalSecondaryIndexes"][0]["IndexStatus"], "CREATING");
    let described = world.ok("DescribeTable", &named("leases"))["Table"].clone();
    assert_eq!(
        described["GlobalSecondaryIndexes"],
        json!([{
            "IndexName": "LeaseOwnerToLeaseKeyIndex",
            "IndexArn": "arn:aws:dynamodb:us-east-1:000000000000:table/leases/index/LeaseOwnerToLeaseKeyIndex",
            "IndexStatus": "ACTIVE",
            "KeySchema": [
                {"AttributeName": "leaseOwner", "KeyType": "HASH"},
                {"AttributeName": "leaseKey", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
            "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0, "NumberOfDecreasesToday": 0},
            "IndexSizeBytes": 20,
            "ItemCount": 1,
        }])
    );
    assert_eq!(described["AttributeDefinitions"].as_array().unwrap().len(), 2);
    let again = world.refused("UpdateTable", &owner_index("leases"));
    assert!(again.1.contains("already exists"), "{}", again.1);

    let stored = world.tables.stored_bytes();
    let delete = json!({"Delete": {"IndexName": "LeaseOwnerToLeaseKeyIndex"}});
    let delete = json!({"TableName": "leases", "GlobalSecondaryIndexUpdates": [delete]});
    world.ok("UpdateTable", &delete);
    let described = world.ok("DescribeTable", &named("leases"))["Table"].clone();
    assert_eq!(described.get("GlobalSecondaryIndexes"), None);
    assert_eq!(described["AttributeDefinitions"].as_array().unwrap().len(), 1);
    assert!(world.tables.stored_bytes() < stored);
    world.assert_refused(
        "UpdateTable",
        &delete,
        NOT_FOUND,
        "Index: LeaseOwnerToLeaseKeyIndex not found",
    );
}

#[test]
fn states_take_the_time_that_they_are_given() {
    let mut world = World::with(TablesConfig {
        transition: Duration::from_secs(5),
        ..TablesConfig::default()
    });
    let status = |world: &mut World| world.ok("DescribeTable", &named("leases"))["Table"]["TableStatus"].clone();
    let get = json!({"TableName": "leases", "Key": {"leaseKey": {"S": "a"}}});
    let query = json!({
        "TableName": "leases", "IndexName": "LeaseOwnerToLeaseKeyIndex",
        "KeyConditionExpression": "leaseOwner = :o", "ExpressionAttributeValues": {":o": {"S": "w"}},
    });
    world.ok("CreateTable", &lease_table("leases"));
    world.millis += 4_999;
    assert_eq!(status(&mut world), "CREATING");
    world.assert_refused("GetItem", &get, NOT_FOUND, "Requested resource not found");
    world.assert_refused(
        "UpdateTable",
        &owner_index("leases"),
        DynamoErrorKind::ResourceInUse,
        "being created",
    );
    world.millis += 1;
    assert_eq!(status(&mut world), "ACTIVE");
    world.ok("UpdateTable", &owner_index("leases"));
    assert_eq!(status(&mut world), "UPDATING");
    world.ok("GetItem", &get);
    world.assert_refused("Query", &query, INVALID, "backfilling");
    world.millis += 5_000;
    world.ok("Query", &query);
    world.ok("DeleteTable", &named("leases"));
    assert_eq!(status(&mut world), "DELETING");
    world.assert_refused("GetItem", &get, NOT_FOUND, "Requested resource not found");
    world.assert_refused(
        "CreateTable",
        &lease_table("leases"),
        DynamoErrorKind::ResourceInUse,
        "already exists",
    );
    world.millis += 5_000;
    world.assert_refused("DescribeTable", &named("leases"), NOT_FOUND, "Table: leases not found");
}

#[test]
fn a_deleted_table_takes_its_items_and_its_room_with_it() {
    let mut world = World::with_leases();
    world.put(&json!({"leaseKey": {"S": "a"}, "leaseOwner": {"S": "w"}}));
    assert!(world.tables.stored_bytes() > 0);
    let deleted = world.ok("DeleteTable", &named("leases"))["TableDescription"].clone();
    assert_eq!(deleted["TableStatus"], "DELETING");
    world.assert_refused("DeleteTable", &named("leases"), NOT_FOUND, "Table: leases not found");
    assert_eq!(world.tables.stored_bytes(), 0);
    world.ok("CreateTable", &lease_table("leases"));
    assert_eq!(world.get("a"), Value::Null);
}

#[test]
fn a_protected_table_is_not_deleted() {
    let mut world = World::new();
    let mut request = lease_table("leases");
    request["DeletionProtectionEnabled"] = json!(true);
    world.ok("CreateTable", &request);
    world.assert_refused("DeleteTable", &named("leases"), INVALID, "protected against deletion");
    world.ok(
        "UpdateTable",
        &json!({"TableName": "leases", "DeletionProtectionEnabled": false}),
    );
    world.ok("DeleteTable", &named("leases"));
}

#[test]
fn tables_are_listed_page_by_page() {
    let mut world = World::new();
    for name in ["ccc", "aaa", "bbb"] {
        world.ok("CreateTable", &lease_table(name));
    }
    assert_eq!(
        world.ok("ListTables", &json!({})),
        json!({"TableNames": ["aaa", "bbb", "ccc"]})
    );
    let first = world.ok("ListTables", &json!({"Limit": 2}));
    assert_eq!(
        first,
        json!({"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"})
    );
    let rest = world.ok("ListTables", &json!({"Limit": 2, "ExclusiveStartTableName": "bbb"}));
    assert_eq!(rest, json!({"TableNames": ["ccc"]}));
    world.assert_refused(
        "ListTables",
        &json!({"Limit": 101}),
        INVALID,
        "less than or equal to 100",
    );
}

#[test]
fn tags_and_backups_are_remembered() {
    let mut world = World::new();
    let mut request = lease_table("leases");
    request["Tags"] = json!([{"Key": "team", "Value": "data"}]);
    let arn = world.ok("CreateTable", &request)["TableDescription"]["TableArn"].clone();
    let more: Vec<_> = (0..10)
        .map(|i| json!({"Key": format!("tag{i}"), "Value": ""}))
        .collect();
    world.ok("TagResource", &json!({"ResourceArn": arn, "Tags": more}));
    let first = world.ok("ListTagsOfResource", &json!({"ResourceArn": arn}));
    assert_eq!(first["Tags"].as_array().unwrap().len(), 10);
    let next = json!({"ResourceArn": arn, "NextToken": first["NextToken"]});
    assert_eq!(
        world.ok("ListTagsOfResource", &next),
        json!({"Tags": [{"Key": "team", "Value": "data"}]})
    );
    world.ok("UntagResource", &json!({"ResourceArn": arn, "TagKeys": ["team"]}));
    assert_eq!(world.ok("ListTagsOfResource", &next), json!({"Tags": []}));

    let status = |answer: &Value| {
        let description = &answer["ContinuousBackupsDescription"];
        assert_eq!(description["ContinuousBackupsStatus"], "ENABLED");
        description["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"].clone()
    };
    assert_eq!(
        status(&world.ok("DescribeContinuousBackups", &named("leases"))),
        "DISABLED"
    );
    let on = json!({"TableName": "leases", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true}});
    assert_eq!(status(&world.ok("UpdateContinuousBackups", &on)), "ENABLED");
    assert_eq!(
        status(&world.ok("DescribeContinuousBackups", &named("leases"))),
        "ENABLED"
    );
    let off = json!({"TableName": "leases", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": false}});
    assert_eq!(status(&world.ok("UpdateContinuousBackups", &off)), "DISABLED");
}

#[test]
fn what_is_not_built_is_refused() {
    let mut world = World::new();
    for (member, value) in [
        ("LocalSecondaryIndexes", json!([{}])),
        (
            "StreamSpecification",
            json!({"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}),
        ),
        ("SSESpecification", json!({"Enabled": true})),
        ("WarmThroughput", json!({"ReadUnitsPerSecond": 1})),
    ] {
        let mut request = lease_table("leases");
        request[member] = value;
        world.assert_refused(
            "CreateTable",
            &request,
            INVALID,
            &format!("{member} is not built in this broker"),
        );
    }
    let mut request = lease_table("leases");
    request["StreamSpecification"] = json!({"StreamEnabled": false});
    world.ok("CreateTable", &request);
    let (kind, _) = world.refused("ExecuteStatement", &json!({"Statement": "SELECT * FROM leases"}));
    assert_eq!(kind, DynamoErrorKind::UnknownOperation);
}

#[test]
fn keys_must_fit_together() {
    let mut world = World::new();
    let hash = |name: &str| json!({"AttributeName": name, "KeyType": "HASH"});
    let range = |name: &str| json!({"AttributeName": name, "KeyType": "RANGE"});
    for (keys, words) in [
        (json!([]), "greater than or equal to 1"),
        (json!([range("leaseKey")]), "first KeySchemaElement is not a HASH"),
        (
            json!([hash("leaseKey"), hash("other")]),
            "not defined in AttributeDefinitions",
        ),
        (json!([hash("leaseKey"), range("leaseKey")]), "have the same name"),
        (
            json!([hash("other")]),
            "not defined in AttributeDefinitions. Keys: [other]",
        ),
    ] {
        let mut request = lease_table("leases");
        request["KeySchema"] = keys;
        world.assert_refused("CreateTable", &request, INVALID, words);
    }
    let mut request = lease_table("leases");
    request["AttributeDefinitions"] = json!([
        {"AttributeName": "leaseKey", "AttributeType": "S"}, {"AttributeName": "unused", "AttributeType": "N"},
    ]);
    world.assert_refused("CreateTable", &request, INVALID, "Number of attributes in KeySchema");
    for (name, words) in [
        ("ab", "at least 3 characters"),
        ("a b", "regular expression pattern"),
        ("", "pattern"),
    ] {
        world.assert_refused("CreateTable", &lease_table(name), INVALID, words);
    }
    world.assert_refused("CreateTable", &json!({}), INVALID, "Value null at 'tableName'");
}
