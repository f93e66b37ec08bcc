use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const INVALID: DynamoErrorKind = DynamoErrorKind::Validation;

/// A world with a table that has a range key, and in it the readings of three sensors at ten times.
fn readings() -> World {
    let mut world = World::new();
    world.ok(
        "CreateTable",
        &json!({
            "TableName": "readings",
            "KeySchema": [
                {"AttributeName": "sensor", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"},
            ],
            "AttributeDefinitions": [
                {"AttributeName": "sensor", "AttributeType": "S"}, {"AttributeName": "at", "AttributeType": "N"},
                {"AttributeName": "label", "AttributeType": "S"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
            "GlobalSecondaryIndexes": [{
                "IndexName": "ByLabel",
                "KeySchema": [{"AttributeName": "label", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["v"]},
            }],
        }),
    );
    for sensor in ["a", "b", "c"] {
        for at in 0..10 {
            let label = format!("label{}", at % 2);
            let item = json!({
                "sensor": {"S": sensor}, "at": {"N": (at * 5).to_string()}, "label": {"S": label},
                "v": {"N": at.to_string()}, "hush": {"S": "h"},
            });
            world.ok("PutItem", &json!({"TableName": "readings", "Item": item}));
        }
    }
    world
}

fn times(answer: &Value) -> Vec<i64> {
    let items = answer["Items"].as_array().unwrap().iter();
    items
        .map(|item| item["at"]["N"].as_str().unwrap().parse().unwrap())
        .collect()
}

fn query(condition: &str, values: &Value) -> Value {
    json!({
        "TableName": "readings", "KeyConditionExpression": condition, "ExpressionAttributeValues": values,
        "ExpressionAttributeNames": {"#t": "at"},
    })
}

/// All pages of a read, one after the other.
fn pages(world: &mut World, operation: &str, mut request: Value) -> Vec<Value> {
    let mut pages = Vec::new();
    loop {
        let page = world.ok(operation, &request);
        let next = page.get("LastEvaluatedKey").cloned();
        pages.push(page);
        match next {
            Some(key) => request["ExclusiveStartKey"] = key,
            None => return pages,
        }
    }
}

#[test]
fn a_query_reads_a_run_of_the_range_key_in_order() {
    let mut world = readings();
    for (condition, values, expected) in [
        ("#t = :x", json!({":x": {"N": "15"}}), vec![15]),
        ("#t < :x", json!({":x": {"N": "15"}}), vec![0, 5, 10]),
        ("#t <= :x", json!({":x": {"N": "15.0"}}), vec![0, 5, 10, 15]),
        ("#t > :x", json!({":x": {"N": "30"}}), vec![35, 40, 45]),
        (":x > #t", json!({":x": {"N": "6"}}), vec![0, 5]),
        ("#t >= :x", json!({":x": {"N": "38"}}), vec![40, 45]),
        (
            "#t BETWEEN :x AND :y",
            json!({":x": {"N": "-5"}, ":y": {"N": "5"}}),
            vec![0, 5],
        ),
        (
            "(#t between :x and :y)",
            json!({":x": {"N": "6"}, ":y": {"N": "9"}}),
            vec![],
        ),
    ] {
        let mut values = values;
        values[":s"] = json!({"S": "b"});
        let mut request = query(&format!("sensor = :s AND {condition}"), &values);
        let answer = world.ok("Query", &request);
        assert_eq!(times(&answer), expected, "{condition}");
        assert_eq!(answer["ScannedCount"], expected.len());
        request["ScanIndexForward"] = json!(false);
        let reversed: Vec<_> = expected.iter().rev().copied().collect();
        assert_eq!(times(&world.ok("Query", &request)), reversed, "{condition}");
        request["Limit"] = json!(1);
        let paged: Vec<_> = pages(&mut world, "Query", request).iter().flat_map(times).collect();
        assert_eq!(paged, reversed, "{condition} page by page");
    }
    let all = json!({
        "TableName": "readings", "KeyConditionExpression": "sensor = :s", "ExpressionAttributeValues": {":s": {"S": "a"}},
    });
    assert_eq!(times(&world.ok("Query", &all)).len(), 10);
}

#[test]
fn texts_that_begin_alike_are_found() {
    let mut world = World::new();
    let mut table = lease_table("texts");
    table["KeySchema"] =
        json!([{"AttributeName": "leaseKey", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}]);
    table["AttributeDefinitions"] =
        json!([{"AttributeName": "leaseKey", "AttributeType": "S"}, {"AttributeName": "r", "AttributeType": "S"}]);
    world.ok("CreateTable", &table);
    let all = ["a", "ab", "ab\u{10ffff}", "ab\u{10ffff}x", "ac", "b"];
    for r in all {
        let item = json!({"leaseKey": {"S": "k"}, "r": {"S": r}});
        world.ok("PutItem", &json!({"TableName": "texts", "Item": item}));
    }
    for prefix in ["a", "ab", "ab\u{10ffff}", "\u{10ffff}", "b", "bb"] {
        let request = json!({
            "TableName": "texts", "KeyConditionExpression": "leaseKey = :k and begins_with(r, :p)",
            "ExpressionAttributeValues": {":k": {"S": "k"}, ":p": {"S": prefix}},
        });
        let answer = world.ok("Query", &request);
        let found: Vec<_> = answer["Items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| &item["r"]["S"])
            .collect();
        let expected: Vec<_> = all.into_iter().filter(|r| r.starts_with(prefix)).collect();
        assert_eq!(found, expected, "{prefix:?}");
    }
}

#[test]
fn an_index_shows_what_it_projects() {
    let mut world = readings();
    let request = json!({
        "TableName": "readings", "IndexName": "ByLabel", "KeyConditionExpression": "label = :l",
        "ExpressionAttributeValues": {":l": {"S": "label1"}},
    });
    let answer = world.ok("Query", &request);
    assert_eq!(answer["Count"], 15);
    for item in answer["Items"].as_array().unwrap() {
        let names: Vec<_> = item.as_object().unwrap().keys().collect();
        assert_eq!(names, ["at", "label", "sensor", "v"]);
    }
    for forward in [true, false] {
        let mut paged = request.clone();
        paged["Limit"] = json!(4);
        paged["ScanIndexForward"] = json!(forward);
        let pages = pages(&mut world, "Query", paged);
        assert_eq!(pages.len(), 4);
        let key = pages[0]["LastEvaluatedKey"].as_object().unwrap();
        assert_eq!(key.keys().collect::<Vec<_>>(), ["at", "label", "sensor"]);
        let mut items: Vec<_> = pages
            .iter()
            .flat_map(|page| page["Items"].as_array().unwrap().clone())
            .collect();
        if !forward {
            items.reverse();
        }
        assert_eq!(Value::from(items), answer["Items"]);
    }
    let refuse = |world: &mut World, member: &str, value: Value, words: &str| {
        let mut request = request.clone();
        request[member] = value;
        world.assert_refused("Query", &request, INVALID, words);
    };
    refuse(
        &mut world,
        "ConsistentRead",
        json!(true),
        "Consistent reads are not supported",
    );
    refuse(
        &mut world,
        "Select",
        json!("ALL_ATTRIBUTES"),
        "its projection type is not ALL",
    );
    refuse(
        &mut world,
        "ProjectionExpression",
        json!("hush"),
        "does not project [hush]",
    );
    refuse(
        &mut world,
        "IndexName",
        json!("Other"),
        "does not have the specified index: Other",
    );
    refuse(
        &mut world,
        "FilterExpression",
        json!("label = :l"),
        "Primary key attribute: label",
    );
    let scan = world.ok(
        "Scan",
        &json!({"TableName": "readings", "IndexName": "ByLabel", "Limit": 7}),
    );
    assert_eq!(scan["Count"], 7);
}

#[test]
fn filters_count_what_was_scanned() {
    let mut world = readings();
    let request = json!({
        "TableName": "readings", "FilterExpression": "v > :v", "ExpressionAttributeValues": {":v": {"N": "7"}},
        "ProjectionExpression": "v",
    });
    let answer = world.ok("Scan", &request);
    assert_eq!(
        (answer["Count"].as_u64(), answer["ScannedCount"].as_u64()),
        (Some(6), Some(30))
    );
    assert!(
        answer["Items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item.as_object().unwrap().len() == 1)
    );
    let mut count = request.clone();
    count.as_object_mut().unwrap().remove("ProjectionExpression");
    count["Select"] = json!("COUNT");
    assert_eq!(world.ok("Scan", &count), json!({"Count": 6, "ScannedCount": 30}));
    count["Select"] = json!("SPECIFIC_ATTRIBUTES");
    world.assert_refused(
        "Scan",
        &count,
        INVALID,
        "Must specify the AttributesToGet or ProjectionExpression",
    );
    let mut all = request;
    all["Select"] = json!("ALL_ATTRIBUTES");
    world.assert_refused("Scan", &all, INVALID, "when choosing to get ALL_ATTRIBUTES");
}

#[test]
fn a_page_has_a_limit_and_says_whether_there_is_more() {
    let mut world = World::with_leases();
    let empty = world.ok("Scan", &json!({"TableName": "leases", "Limit": 1}));
    assert_eq!(empty, json!({"Items": [], "Count": 0, "ScannedCount": 0}));
    for key in ["a", "b", "c"] {
        world.put(&json!({"leaseKey": {"S": key}}));
    }
    let pages = pages(&mut world, "Scan", json!({"TableName": "leases", "Limit": 1}));
    assert_eq!(pages.len(), 3);
    let keys: BTreeSet<_> = pages.iter().flat_map(World::keys).collect();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    let exact = world.ok("Scan", &json!({"TableName": "leases", "Limit": 3}));
    assert_eq!(exact.get("LastEvaluatedKey"), None);
    world.assert_refused(
        "Scan",
        &json!({"TableName": "leases", "Limit": 0}),
        INVALID,
        "greater than or equal to 1",
    );
    for (key, words) in [
        (json!({"other": {"S": "a"}}), "The provided starting key is invalid"),
        (
            json!({"leaseKey": {"S": "a"}, "other": {"S": "a"}}),
            "does not match the schema",
        ),
        (json!({"leaseKey": {"N": "1"}}), "The provided starting key is invalid"),
    ] {
        world.assert_refused(
            "Scan",
            &json!({"TableName": "leases", "ExclusiveStartKey": key}),
            INVALID,
            words,
        );
    }
}

#[test]
fn a_page_ends_after_a_mebibyte() {
    let mut world = World::with_leases();
    for i in 0..30 {
        world.put(&json!({"leaseKey": {"S": i.to_string()}, "data": {"S": "x".repeat(100 << 10)}}));
    }
    let pages = pages(&mut world, "Scan", json!({"TableName": "leases"}));
    let counts: Vec<_> = pages.iter().map(|page| page["Count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [11, 11, 8]);
}

#[test]
fn segments_are_checked() {
    let mut world = World::with_leases();
    let scan =
        |segment: Value, total: Value| json!({"TableName": "leases", "Segment": segment, "TotalSegments": total});
    world.assert_refused(
        "Scan",
        &scan(json!(0), Value::Null),
        INVALID,
        "TotalSegments parameter is required",
    );
    world.assert_refused(
        "Scan",
        &scan(Value::Null, json!(1)),
        INVALID,
        "Segment parameter is required",
    );
    world.assert_refused(
        "Scan",
        &scan(json!(3), json!(3)),
        INVALID,
        "Segment: 3 is not less than TotalSegments: 3",
    );
    for key in 0..20 {
        world.put(&json!({"leaseKey": {"S": key.to_string()}}));
    }
    let first = World::keys(&world.ok("Scan", &scan(json!(0), json!(2))));
    let mut second = scan(json!(1), json!(2));
    second["ExclusiveStartKey"] = json!({"leaseKey": {"S": first[0]}});
    world.assert_refused(
        "Scan",
        &second,
        INVALID,
        "Please use ExclusiveStartKey with correct Segment",
    );
}

#[test]
fn key_conditions_must_be_ones() {
    let mut world = readings();
    let values = json!({":s": {"S": "a"}, ":t": {"N": "1"}});
    for (condition, words) in [
        ("#t = :t AND sensor > :s", "Query key condition not supported"),
        (
            "#t = :t AND #t = :t AND sensor = :s",
            "only contain one condition per key",
        ),
        (
            "sensor = :s AND v = :t AND attribute_exists(#t)",
            "Invalid operator used in KeyConditionExpression: attribute_exists",
        ),
        (
            "sensor = :s AND v = :t AND #t = :t",
            "Conditions can be of length 1 or 2 only",
        ),
        (
            "sensor = :s OR #t = :t",
            "Invalid operator used in KeyConditionExpression: OR",
        ),
        (
            "sensor = :s AND #t <> :t",
            "Invalid operator used in KeyConditionExpression: <>",
        ),
        (
            "sensor = :s AND NOT #t = :t",
            "Invalid operator used in KeyConditionExpression: NOT",
        ),
        (
            "#t = :t AND v = :s",
            "Query condition missed key schema element: sensor",
        ),
        (
            "sensor = :t AND #t = :s",
            "Condition parameter type does not match schema type",
        ),
        (
            "sensor = #t AND :s = :t",
            "Multiple attribute names used in one condition",
        ),
        ("sensor.x = :s AND #t = :t", "conditions on nested attributes"),
        ("size(sensor) = :t AND #t = :s", "cannot contain nested operations"),
    ] {
        world.assert_refused("Query", &query(condition, &values), INVALID, words);
    }
    world.assert_refused(
        "Query",
        &json!({"TableName": "readings"}),
        INVALID,
        "Either the KeyConditions",
    );
    let mut outside = query("sensor = :s AND #t > :t", &values);
    outside["ExclusiveStartKey"] = json!({"sensor": {"S": "b"}, "at": {"N": "5"}});
    world.assert_refused("Query", &outside, INVALID, "outside query boundaries");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn segments_and_pages_have_every_item_once(
        keys in prop::collection::btree_set("[a-z]{1,3}", 0..60), segments in 1_usize..9, limit in 1_usize..20,
    ) {
        let mut world = World::with_leases();
        for key in &keys {
            world.put(&json!({"leaseKey": {"S": key}}));
        }
        let mut found = Vec::new();
        for segment in 0..segments {
            let request = json!({
                "TableName": "leases", "Segment": segment, "TotalSegments": segments, "Limit": limit,
            });
            found.extend(pages(&mut world, "Scan", request).iter().flat_map(World::keys));
        }
        found.sort_unstable();
        prop_assert_eq!(found, keys.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn an_index_is_what_its_table_says(
        writes in prop::collection::vec((0..6_u8, prop::option::of(0..3_u8), 0..4_u8), 0..80),
    ) {
        let mut world = World::with_leases();
        let mut model = BTreeMap::new();
        for (key, owner, how) in writes {
            let key = format!("k{key}");
            let mut item = json!({"leaseKey": {"S": key}});
            if let Some(owner) = owner {
                item["leaseOwner"] = json!({"S": format!("w{owner}")});
            }
            let key_only = json!({"leaseKey": {"S": key}});
            match (how, owner) {
                (0, _) => {
                    world.ok("DeleteItem", &json!({"TableName": "leases", "Key": key_only}));
                    model.remove(&key);
                    continue;
                }
                (1, Some(_)) => {
                    let values = json!({":o": item["leaseOwner"]});
                    let set = json!({
                        "TableName": "leases", "Key": key_only, "UpdateExpression": "SET leaseOwner = :o",
                        "ExpressionAttributeValues": values,
                    });
                    world.ok("UpdateItem", &set);
                }
                (1, None) => {
                    let remove =
                        json!({"TableName": "leases", "Key": key_only, "UpdateExpression": "REMOVE leaseOwner"});
                    world.ok("UpdateItem", &remove);
                }
                (2, _) => {
                    let put = json!({"TableName": "leases", "Item": item});
                    world.ok("TransactWriteItems", &json!({"TransactItems": [{"Put": put}]}));
                }
                _ => world.put(&item),
            }
            model.insert(key, owner);
        }
        for owner in 0..3_u8 {
            let query = json!({
                "TableName": "leases", "IndexName": "LeaseOwnerToLeaseKeyIndex",
                "KeyConditionExpression": "leaseOwner = :o",
                "ExpressionAttributeValues": {":o": {"S": format!("w{owner}")}},
            });
            let owned: Vec<_> = model.iter().filter(|(_, of)| **of == Some(owner)).map(|(key, _)| key.clone()).collect();
            prop_assert_eq!(World::keys(&world.ok("Query", &query)), owned);
        }
        // An index that is made now, from the items, takes the room that the one kept all along takes.
        let before = world.tables.stored_bytes();
        let delete = json!({"Delete": {"IndexName": "LeaseOwnerToLeaseKeyIndex"}});
        world.ok("UpdateTable", &json!({"TableName": "leases", "GlobalSecondaryIndexUpdates": [delete]}));
        world.ok("UpdateTable", &owner_index("leases"));
        prop_assert_eq!(world.tables.stored_bytes(), before);
        for key in model.keys() {
            world.ok("DeleteItem", &json!({"TableName": "leases", "Key": {"leaseKey": {"S": key}}}));
        }
        prop_assert_eq!(world.tables.stored_bytes(), 0);
    }
}
