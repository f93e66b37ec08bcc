//! `CreateTable`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{Operation, settings::Tag};
use crate::dynamodb::{
    Tables,
    error::{DynamoError, DynamoErrorKind},
    index::{Index, IndexPhase, Projected},
    key::{KeyAttribute, KeySchema, KeyType},
    request::{check_len, choice, index_name, listed, not_built, required, table_name},
    table::{Settings, Table, TablePhase},
    throughput::Throughput,
};

/// The most tables and, for each, the most indexes that the service allows by default.
const TABLES_MAX: usize = 2500;
pub(super) const INDEXES_MAX: usize = 20;
const NON_KEY_ATTRIBUTES_MAX: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateTable {
    table_name: Option<String>,
    key_schema: Option<Vec<KeySchemaElement>>,
    attribute_definitions: Option<Vec<AttributeDefinition>>,
    billing_mode: Option<String>,
    provisioned_throughput: Option<ProvisionedThroughput>,
    global_secondary_indexes: Option<Vec<NewIndex>>,
    deletion_protection_enabled: Option<bool>,
    table_class: Option<String>,
    tags: Option<Vec<Tag>>,
    local_secondary_indexes: Option<Vec<IgnoredAny>>,
    stream_specification: Option<Switch>,
    #[serde(rename = "SSESpecification")]
    sse_specification: Option<Switch>,
    resource_policy: Option<IgnoredAny>,
    on_demand_throughput: Option<IgnoredAny>,
    warm_throughput: Option<IgnoredAny>,
}

/// A feature that can be said to be off.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Switch {
    #[serde(alias = "StreamEnabled")]
    enabled: Option<bool>,
}

impl Switch {
    pub(super) fn is_on(&self) -> bool {
        self.enabled == Some(true)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeySchemaElement {
    attribute_name: Option<String>,
    key_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributeDefinition {
    attribute_name: Option<String>,
    attribute_type: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProvisionedThroughput {
    read_capacity_units: Option<i64>,
    write_capacity_units: Option<i64>,
}

impl ProvisionedThroughput {
    pub(super) fn checked(self) -> Result<Throughput, DynamoError> {
        Throughput::provisioned(
            required("provisionedThroughput.readCapacityUnits", self.read_capacity_units)?,
            required("provisionedThroughput.writeCapacityUnits", self.write_capacity_units)?,
        )
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewIndex {
    index_name: Option<String>,
    key_schema: Option<Vec<KeySchemaElement>>,
    projection: Option<Projection>,
    provisioned_throughput: Option<ProvisionedThroughput>,
    on_demand_throughput: Option<IgnoredAny>,
    warm_throughput: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Projection {
    projection_type: Option<String>,
    non_key_attributes: Option<BTreeSet<String>>,
}

impl Operation for CreateTable {
    const NAME: &'static str = "CreateTable";
    type Output = Value;

    fn execute(self, tables: &mut Tables) -> Result<Value, DynamoError> {
        self.check_not_built()?;
        let name = table_name(self.table_name)?;
        let types = attribute_types(required("attributeDefinitions", self.attribute_definitions)?)?;
        let schema = key_schema(self.key_schema, &types)?;
        let throughput = throughput(self.billing_mode.as_deref(), self.provisioned_throughput)?;
        let table_class = choice("tableClass", self.table_class.as_deref(), TABLE_CLASSES)?.map(str::to_owned);
        let done = tables.change_done();
        let indexes = self
            .global_secondary_indexes
            .map(|indexes| indexes_of(indexes, &types, throughput, IndexPhase::Creating(done)))
            .transpose()?
            .unwrap_or_default();
        check_all_used(&types, &schema, &indexes)?;
        let mut tags = BTreeMap::new();
        super::settings::add_tags(&mut tags, self.tags.unwrap_or_default())?;
        if tables.tables.contains_key(&name) {
            return Err(DynamoError::new(
                DynamoErrorKind::ResourceInUse,
                format!("Table already exists: {name}"),
            ));
        }
        if tables.tables.len() >= TABLES_MAX {
            return Err(DynamoError::new(
                DynamoErrorKind::LimitExceeded,
                format!("Subscriber limit exceeded: the maximum number of tables is {TABLES_MAX}"),
            ));
        }
        let settings = Settings {
            throughput,
            on_demand_since: throughput.is_on_demand().then_some(tables.now),
            deletion_protection: self.deletion_protection_enabled == Some(true),
            table_class,
            tags,
            recovery_days: None,
        };
        let mut table = Table::new(name.clone(), schema, settings, tables.now, TablePhase::Creating(done));
        for index in indexes {
            table.add_index(index);
        }
        let description = tables.describe(&table);
        tables.tables.insert(name, table);
        Ok(json!({"TableDescription": description}))
    }
}

impl CreateTable {
    fn check_not_built(&self) -> Result<(), DynamoError> {
        let is_on = |switch: &Option<Switch>| switch.as_ref().is_some_and(Switch::is_on).then_some(());
        not_built("LocalSecondaryIndexes", self.local_secondary_indexes.as_ref())?;
        not_built("StreamSpecification", is_on(&self.stream_specification).as_ref())?;
        not_built("SSESpecification", is_on(&self.sse_specification).as_ref())?;
        not_built("ResourcePolicy", self.resource_policy.as_ref())?;
        not_built("OnDemandThroughput", self.on_demand_throughput.as_ref())?;
        not_built("WarmThroughput", self.warm_throughput.as_ref())
    }
}

pub(super) const TABLE_CLASSES: &[&str] = &["STANDARD", "STANDARD_INFREQUENT_ACCESS"];

/// The types of the attributes that keys are made of.
pub(super) fn attribute_types(definitions: Vec<AttributeDefinition>) -> Result<BTreeMap<String, KeyType>, DynamoError> {
    let mut types = BTreeMap::new();
    for definition in definitions {
        let name = required("attributeDefinitions.member.attributeName", definition.attribute_name)?;
        let path = "attributeDefinitions.member.attributeType";
        let kind = required(
            path,
            choice(path, definition.attribute_type.as_deref(), &["B", "N", "S"])?,
        )?;
        let kind = required(path, KeyType::named(kind))?;
        if types.insert(name, kind).is_some_and(|other| other != kind) {
            return Err(DynamoError::invalid_value(
                "Cannot redefine an attribute with another type",
            ));
        }
    }
    Ok(types)
}

fn key_schema(
    elements: Option<Vec<KeySchemaElement>>,
    types: &BTreeMap<String, KeyType>,
) -> Result<KeySchema, DynamoError> {
    let elements = listed("keySchema", elements, 2)?;
    let mut parts = Vec::new();
    for element in elements {
        let name = required("keySchema.member.attributeName", element.attribute_name)?;
        let path = "keySchema.member.keyType";
        let key_type = required(path, choice(path, element.key_type.as_deref(), &["HASH", "RANGE"])?)?.to_owned();
        let Some(kind) = types.get(&name).copied() else {
            let defined: Vec<_> = types.keys().map(String::as_str).collect();
            return Err(DynamoError::invalid_value(format_args!(
                "Some index key attributes are not defined in AttributeDefinitions. Keys: [{name}], \
                 AttributeDefinitions: [{}]",
                defined.join(", ")
            )));
        };
        parts.push((KeyAttribute { name, kind }, key_type));
    }
    let mut parts = parts.into_iter();
    let hash = match parts.next() {
        Some((hash, key_type)) if key_type == "HASH" => hash,
        _ => {
            return Err(DynamoError::invalid(
                "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
            ));
        }
    };
    let range = match parts.next() {
        None => None,
        Some((range, _)) if range.name == hash.name => {
            return Err(DynamoError::invalid(
                "Both the Hash Key and the Range Key element in the KeySchema have the same name",
            ));
        }
        Some((range, key_type)) if key_type == "RANGE" => Some(range),
        Some(_) => {
            return Err(DynamoError::invalid(
                "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
            ));
        }
    };
    Ok(KeySchema { hash, range })
}

/// What a table is billed by.
pub(super) fn throughput(
    billing_mode: Option<&str>,
    provisioned: Option<ProvisionedThroughput>,
) -> Result<Throughput, DynamoError> {
    match (choice("billingMode", billing_mode, BILLING_MODES)?, provisioned) {
        (Some("PAY_PER_REQUEST"), None) => Ok(Throughput::OnDemand),
        (Some("PAY_PER_REQUEST"), Some(_)) => Err(on_demand_has_no_units()),
        (_, Some(provisioned)) => provisioned.checked(),
        (_, None) => Err(DynamoError::invalid_value(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        )),
    }
}

pub(super) const BILLING_MODES: &[&str] = &["PROVISIONED", "PAY_PER_REQUEST"];

pub(super) fn on_demand_has_no_units() -> DynamoError {
    DynamoError::invalid_value(
        "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
    )
}

fn indexes_of(
    indexes: Vec<NewIndex>,
    types: &BTreeMap<String, KeyType>,
    of_table: Throughput,
    phase: IndexPhase,
) -> Result<Vec<Index>, DynamoError> {
    check_len("globalSecondaryIndexes", indexes.len(), INDEXES_MAX)?;
    let mut names = BTreeSet::new();
    let mut made = Vec::new();
    for index in indexes {
        let index = index.make(types, of_table, phase)?;
        if !names.insert(index.name.clone()) {
            return Err(DynamoError::invalid_value(format_args!(
                "Duplicate index name: {}",
                index.name
            )));
        }
        made.push(index);
    }
    Ok(made)
}

impl NewIndex {
    pub(super) fn make(
        self,
        types: &BTreeMap<String, KeyType>,
        of_table: Throughput,
        phase: IndexPhase,
    ) -> Result<Index, DynamoError> {
        not_built("OnDemandThroughput", self.on_demand_throughput.as_ref())?;
        not_built("WarmThroughput", self.warm_throughput.as_ref())?;
        let name = required("indexName", index_name(self.index_name)?)?;
        let schema = key_schema(self.key_schema, types)?;
        let projected = required("projection", self.projection)?.checked()?;
        let throughput = match (of_table, self.provisioned_throughput) {
            (Throughput::OnDemand, None) => Throughput::OnDemand,
            (Throughput::OnDemand, Some(_)) => {
                return Err(DynamoError::invalid_value(format_args!(
                    "ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
                )));
            }
            (Throughput::Provisioned { .. }, Some(provisioned)) => provisioned.checked()?,
            (Throughput::Provisioned { .. }, None) => {
                return Err(DynamoError::invalid_value(format_args!(
                    "ProvisionedThroughput must be specified for index: {name}"
                )));
            }
        };
        Ok(Index::new(name, schema, projected, throughput, phase))
    }
}

impl Projection {
    fn checked(self) -> Result<Projected, DynamoError> {
        let words = ["ALL", "INCLUDE", "KEYS_ONLY"];
        let kind = choice("projection.projectionType", self.projection_type.as_deref(), &words)?;
        match (kind, self.non_key_attributes) {
            (None, _) => Err(DynamoError::invalid_value("Unknown ProjectionType: null")),
            (Some("INCLUDE"), names) => {
                let names = required("projection.nonKeyAttributes", names)?;
                check_len("projection.nonKeyAttributes", names.len(), NON_KEY_ATTRIBUTES_MAX)?;
                Ok(Projected::Include(names))
            }
            (Some(kind), Some(_)) => Err(DynamoError::invalid_value(format_args!(
                "ProjectionType is {kind}, but NonKeyAttributes is specified"
            ))),
            (Some("ALL"), None) => Ok(Projected::All),
            (Some(_), None) => Ok(Projected::KeysOnly),
        }
    }
}

/// Refuses attributes that are defined but in no key.
fn check_all_used(types: &BTreeMap<String, KeyType>, schema: &KeySchema, indexes: &[Index]) -> Result<(), DynamoError> {
    let in_key = |name: &String| schema.contains(name) || indexes.iter().any(|index| index.schema.contains(name));
    if types.keys().all(in_key) {
        return Ok(());
    }
    Err(DynamoError::invalid_value(
        "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
    ))
}
