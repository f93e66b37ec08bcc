//! How tables and indexes are described.

use std::collections::BTreeMap;

use kcl_core::Timestamp;
use serde_json::{Value, json};

use crate::dynamodb::{
    Tables,
    index::{Index, IndexPhase, Projected},
    item::size_of,
    key::{KeySchema, KeyType},
    table::{Table, TablePhase},
    throughput::Throughput,
};

/// Seconds since the epoch, with a fraction.
pub(super) fn epoch_seconds(at: Timestamp) -> f64 {
    // Milliseconds fit the 53 bits of an f64 for 285,000 years.
    at.epoch_millis() as f64 / 1000.0
}

impl Tables {
    /// `TableDescription`, as several operations answer it.
    pub(super) fn describe(&self, table: &Table) -> Value {
        let arn = self.arn(&table.name);
        let status = match table.phase {
            TablePhase::Creating(_) => "CREATING",
            TablePhase::Active => "ACTIVE",
            TablePhase::Updating(_) => "UPDATING",
            TablePhase::Deleting(_) => "DELETING",
        };
        let mut description = json!({
            "TableName": table.name,
            "TableArn": arn,
            "TableId": table_id(&arn, table.created_at),
            "TableStatus": status,
            "CreationDateTime": epoch_seconds(table.created_at),
            "KeySchema": key_schema(&table.schema),
            "AttributeDefinitions": attribute_definitions(table),
            "ItemCount": table.len(),
            "TableSizeBytes": table.item_bytes(),
            "ProvisionedThroughput": throughput(table.settings.throughput),
            "DeletionProtectionEnabled": table.settings.deletion_protection,
        });
        if let Some(since) = table.settings.on_demand_since {
            let mode = billing_mode(table.settings.throughput);
            description["BillingModeSummary"] =
                json!({"BillingMode": mode, "LastUpdateToPayPerRequestDateTime": epoch_seconds(since)});
        }
        if let Some(class) = &table.settings.table_class {
            description["TableClassSummary"] = json!({"TableClass": class});
        }
        let indexes: Vec<_> = table
            .indexes()
            .map(|index| describe_index(table, index, &arn))
            .collect();
        if !indexes.is_empty() {
            description["GlobalSecondaryIndexes"] = Value::from(indexes);
        }
        description
    }
}

fn describe_index(table: &Table, index: &Index, table_arn: &str) -> Value {
    let status = match index.phase {
        IndexPhase::Creating(_) => "CREATING",
        IndexPhase::Active => "ACTIVE",
        IndexPhase::Deleting(_) => "DELETING",
    };
    let projection = match &index.projected {
        Projected::All => json!({"ProjectionType": "ALL"}),
        Projected::KeysOnly => json!({"ProjectionType": "KEYS_ONLY"}),
        Projected::Include(names) => json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": names}),
    };
    let bytes: usize = index
        .entries()
        .iter()
        .filter_map(|(_, place)| table.item(place))
        .map(|item| size_of(&index.shown(&table.schema, item)))
        .sum();
    let mut description = json!({
        "IndexName": index.name,
        "IndexArn": format!("{table_arn}/index/{}", index.name),
        "IndexStatus": status,
        "KeySchema": key_schema(&index.schema),
        "Projection": projection,
        "ProvisionedThroughput": throughput(index.throughput),
        "IndexSizeBytes": bytes,
        "ItemCount": index.entries().len(),
    });
    if status == "CREATING" {
        description["Backfilling"] = Value::from(false);
    }
    description
}

fn throughput(throughput: Throughput) -> Value {
    let (read, write) = throughput.units();
    json!({"ReadCapacityUnits": read, "WriteCapacityUnits": write, "NumberOfDecreasesToday": 0})
}

const fn billing_mode(throughput: Throughput) -> &'static str {
    if throughput.is_on_demand() {
        "PAY_PER_REQUEST"
    } else {
        "PROVISIONED"
    }
}

fn key_schema(schema: &KeySchema) -> Value {
    let hash = json!({"AttributeName": schema.hash.name, "KeyType": "HASH"});
    let range = schema.range.iter();
    let range = range.map(|attribute| json!({"AttributeName": attribute.name, "KeyType": "RANGE"}));
    std::iter::once(hash).chain(range).collect()
}

fn attribute_definitions(table: &Table) -> Value {
    let schemas = std::iter::once(&table.schema).chain(table.indexes().map(|index| &index.schema));
    let types: BTreeMap<&str, KeyType> = schemas
        .flat_map(KeySchema::attributes)
        .map(|attribute| (attribute.name.as_str(), attribute.kind))
        .collect();
    types
        .into_iter()
        .map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind.as_str()}))
        .collect()
}

/// Another id for every life of a table, but in every run the same.
fn table_id(arn: &str, created_at: Timestamp) -> String {
    use md5::{Digest, Md5};
    let digest = Md5::digest(format!("{arn} {}", created_at.epoch_millis()));
    uuid::Builder::from_random_bytes(digest.into()).into_uuid().to_string()
}
