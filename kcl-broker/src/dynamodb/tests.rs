//! The tables as clients see them: requests and answers in JSON.

mod costs;
mod leases;
mod reading;
mod tables;
mod transactions;
mod writing;

use kcl_core::Timestamp;
use serde_json::{Value, json};

use super::*;

const START_MS: i64 = 1_357_034_400_250;

/// Tables with a clock.
struct World {
    tables: Tables,
    millis: i64,
}

impl World {
    fn new() -> Self {
        Self::with(TablesConfig::default())
    }

    fn with(config: TablesConfig) -> Self {
        Self {
            tables: Tables::new(config),
            millis: START_MS,
        }
    }

    /// A world with the table `leases`, as Java's KCL makes it, and its index of owners.
    fn with_leases() -> Self {
        let mut world = Self::new();
        world.ok("CreateTable", &lease_table("leases"));
        world.ok("UpdateTable", &owner_index("leases"));
        world
    }

    fn call(&mut self, operation: &str, body: &Value) -> Result<Value, DynamoError> {
        let now = Timestamp::from_epoch_millis(self.millis);
        let answer = self.tables.call(now, operation, body.to_string().as_bytes())?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }

    #[track_caller]
    fn ok(&mut self, operation: &str, body: &Value) -> Value {
        self.call(operation, body)
            .unwrap_or_else(|error| panic!("{operation} {body}: {error}"))
    }

    /// The type and the message of the error.
    #[track_caller]
    fn refused(&mut self, operation: &str, body: &Value) -> (DynamoErrorKind, String) {
        match self.call(operation, body) {
            Ok(answer) => panic!("{operation} {body}: {answer}"),
            Err(error) => (error.kind(), error.message().to_owned()),
        }
    }

    /// That the operation is refused with this type and a message that has these words.
    #[track_caller]
    fn assert_refused(&mut self, operation: &str, body: &Value, kind: DynamoErrorKind, words: &str) {
        let (refused, message) = self.refused(operation, body);
        assert_eq!(refused, kind, "{operation} {body}: {message}");
        assert!(message.contains(words), "{operation} {body}: {message}");
    }

    fn put(&mut self, item: &Value) {
        self.ok("PutItem", &json!({"TableName": "leases", "Item": item}));
    }

    fn get(&mut self, key: &str) -> Value {
        let request = json!({"TableName": "leases", "Key": {"leaseKey": {"S": key}}, "ConsistentRead": true});
        self.ok("GetItem", &request)["Item"].clone()
    }

    /// The lease keys of an answer's items.
    fn keys(answer: &Value) -> Vec<String> {
        let items = answer["Items"].as_array().unwrap().iter();
        items
            .map(|item| item["leaseKey"]["S"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn lease_table(name: &str) -> Value {
    json!({
        "TableName": name,
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": false,
    })
}

fn owner_index(name: &str) -> Value {
    json!({
        "TableName": name,
        "AttributeDefinitions": [
            {"AttributeName": "leaseOwner", "AttributeType": "S"},
            {"AttributeName": "leaseKey", "AttributeType": "S"},
        ],
        "GlobalSecondaryIndexUpdates": [{"Create": {
            "IndexName": "LeaseOwnerToLeaseKeyIndex",
            "KeySchema": [
                {"AttributeName": "leaseOwner", "KeyType": "HASH"},
                {"AttributeName": "leaseKey", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }}],
    })
}
