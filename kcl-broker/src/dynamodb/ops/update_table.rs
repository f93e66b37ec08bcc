//! `UpdateTable`.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{
    Operation,
    create::{
        AttributeDefinition, BILLING_MODES, INDEXES_MAX, NewIndex, ProvisionedThroughput, Switch, TABLE_CLASSES,
        attribute_types, on_demand_has_no_units,
    },
};
use crate::dynamodb::{
    Tables,
    error::{DynamoError, DynamoErrorKind},
    index::IndexPhase,
    key::KeySchema,
    request::{choice, index_name, not_built, required, table_name},
    table::{Table, TablePhase},
    throughput::Throughput,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateTable {
    table_name: Option<String>,
    attribute_definitions: Option<Vec<AttributeDefinition>>,
    billing_mode: Option<String>,
    provisioned_throughput: Option<ProvisionedThroughput>,
    global_secondary_index_updates: Option<Vec<IndexUpdate>>,
    deletion_protection_enabled: Option<bool>,
    table_class: Option<String>,
    stream_specification: Option<Switch>,
    #[serde(rename = "SSESpecification")]
    sse_specification: Option<Switch>,
    replica_updates: Option<Vec<IgnoredAny>>,
    multi_region_consistency: Option<IgnoredAny>,
    global_table_witness_updates: Option<IgnoredAny>,
    on_demand_throughput: Option<IgnoredAny>,
    warm_throughput: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IndexUpdate {
    create: Option<NewIndex>,
    update: Option<IndexThroughput>,
    delete: Option<NamedIndex>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IndexThroughput {
    index_name: Option<String>,
    provisioned_throughput: Option<ProvisionedThroughput>,
    on_demand_throughput: Option<IgnoredAny>,
    warm_throughput: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedIndex {
    index_name: Option<String>,
}

impl Operation for UpdateTable {
    const NAME: &'static str = "UpdateTable";
    type Output = Value;

    fn execute(mut self, tables: &mut Tables) -> Result<Value, DynamoError> {
        self.check_not_built()?;
        self.check_some_change()?;
        let name = table_name(self.table_name.take())?;
        let (now, done) = (tables.now, tables.change_done());
        let known = tables.known(&name)?;
        let throughput = self.throughput(known)?;
        let table_class = choice("tableClass", self.table_class.as_deref(), TABLE_CLASSES)?.map(str::to_owned);
        let changes = self.index_changes(known, throughput, IndexPhase::Creating(done))?;
        let growth: usize = changes.iter().map(|change| change.growth(known)).sum();
        tables.check_room(growth)?;

        let table = tables.settled_mut(&name)?;
        if throughput.is_on_demand() && !table.settings.throughput.is_on_demand() {
            table.settings.on_demand_since = Some(now);
        }
        table.settings.throughput = throughput;
        if let Some(protection) = self.deletion_protection_enabled {
            table.settings.deletion_protection = protection;
        }
        if table_class.is_some() {
            table.settings.table_class = table_class;
        }
        for change in changes {
            change.apply(table, done);
        }
        table.phase = TablePhase::Updating(done);
        Ok(json!({"TableDescription": tables.describe(tables.known(&name)?)}))
    }
}

impl UpdateTable {
    fn check_not_built(&self) -> Result<(), DynamoError> {
        let is_on = |switch: &Option<Switch>| switch.as_ref().is_some_and(Switch::is_on).then_some(());
        not_built("StreamSpecification", is_on(&self.stream_specification).as_ref())?;
        not_built("SSESpecification", is_on(&self.sse_specification).as_ref())?;
        not_built("ReplicaUpdates", self.replica_updates.as_ref())?;
        not_built("MultiRegionConsistency", self.multi_region_consistency.as_ref())?;
        not_built("GlobalTableWitnessUpdates", self.global_table_witness_updates.as_ref())?;
        not_built("OnDemandThroughput", self.on_demand_throughput.as_ref())?;
        not_built("WarmThroughput", self.warm_throughput.as_ref())
    }

    fn check_some_change(&self) -> Result<(), DynamoError> {
        let updates = self.global_secondary_index_updates.as_deref().unwrap_or_default();
        if self.provisioned_throughput.is_some()
            || self.billing_mode.is_some()
            || !updates.is_empty()
            || self.deletion_protection_enabled.is_some()
            || self.table_class.is_some()
            || self.stream_specification.is_some()
            || self.sse_specification.is_some()
        {
            return Ok(());
        }
        Err(DynamoError::invalid(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or \
             SSESpecification or ReplicaUpdates is required",
        ))
    }

    /// What the table is billed by afterwards.
    fn throughput(&self, table: &Table) -> Result<Throughput, DynamoError> {
        let current = table.settings.throughput;
        let mode = choice("billingMode", self.billing_mode.as_deref(), BILLING_MODES)?;
        let on_demand = match mode {
            Some(mode) => mode == "PAY_PER_REQUEST",
            None => current.is_on_demand(),
        };
        match self.provisioned_throughput {
            Some(_) if on_demand => Err(on_demand_has_no_units()),
            Some(provisioned) => {
                let wanted = provisioned.checked()?;
                if wanted == current && mode.is_none() {
                    return Err(DynamoError::invalid(
                        "The provisioned throughput for the table will not change. The requested value equals the current value.",
                    ));
                }
                Ok(wanted)
            }
            None if on_demand => Ok(Throughput::OnDemand),
            None if current.is_on_demand() => Err(DynamoError::invalid_value(
                "ProvisionedThroughput must be specified when BillingMode is PROVISIONED",
            )),
            None => Ok(current),
        }
    }

    fn index_changes(
        &mut self,
        table: &Table,
        of_table: Throughput,
        phase: IndexPhase,
    ) -> Result<Vec<IndexChange>, DynamoError> {
        let mut types = attribute_types(self.attribute_definitions.take().unwrap_or_default())?;
        let schemas = std::iter::once(&table.schema).chain(table.indexes().map(|index| &index.schema));
        for attribute in schemas.flat_map(KeySchema::attributes) {
            let kind = types.entry(attribute.name.clone()).or_insert(attribute.kind);
            if *kind != attribute.kind {
                return Err(DynamoError::invalid_value(format_args!(
                    "Attribute {} is part of a key already, with another type",
                    attribute.name
                )));
            }
        }
        let updates = self.global_secondary_index_updates.take().unwrap_or_default();
        let changes = updates
            .into_iter()
            .map(|update| update.checked(table, &types, of_table, phase))
            .collect::<Result<Vec<_>, _>>()?;
        let makes = changes
            .iter()
            .filter(|change| matches!(change, IndexChange::Create(_)))
            .count();
        let online = changes
            .iter()
            .filter(|change| !matches!(change, IndexChange::Update(..)));
        if online.count() > 1 {
            return Err(DynamoError::new(
                DynamoErrorKind::LimitExceeded,
                "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
            ));
        }
        if table.indexes().count() + makes > INDEXES_MAX {
            return Err(DynamoError::new(
                DynamoErrorKind::LimitExceeded,
                "GlobalSecondaryIndex count exceeds the per-table limit of 20",
            ));
        }
        Ok(changes)
    }
}

/// A change to an index that can be made.
enum IndexChange {
    Create(Box<crate::dynamodb::index::Index>),
    Update(String, Throughput),
    Delete(String),
}

impl IndexUpdate {
    fn checked(
        self,
        table: &Table,
        types: &std::collections::BTreeMap<String, crate::dynamodb::key::KeyType>,
        of_table: Throughput,
        phase: IndexPhase,
    ) -> Result<IndexChange, DynamoError> {
        let known = |name: Option<String>| {
            let name = required("indexName", index_name(name)?)?;
            if table.indexes().any(|index| index.name == name) {
                return Ok(name);
            }
            Err(DynamoError::new(
                DynamoErrorKind::ResourceNotFound,
                format!("Requested resource not found: Index: {name} not found"),
            ))
        };
        match self {
            Self {
                create: Some(index),
                update: None,
                delete: None,
            } => {
                let index = index.make(types, of_table, phase)?;
                if table.indexes().any(|other| other.name == index.name) {
                    return Err(DynamoError::invalid(format!(
                        "Attempting to create an index which already exists: {}",
                        index.name
                    )));
                }
                Ok(IndexChange::Create(Box::new(index)))
            }
            Self {
                create: None,
                update: Some(update),
                delete: None,
            } => {
                not_built("OnDemandThroughput", update.on_demand_throughput.as_ref())?;
                not_built("WarmThroughput", update.warm_throughput.as_ref())?;
                let name = known(update.index_name)?;
                let provisioned = required("provisionedThroughput", update.provisioned_throughput)?;
                if of_table.is_on_demand() {
                    return Err(on_demand_has_no_units());
                }
                Ok(IndexChange::Update(name, provisioned.checked()?))
            }
            Self {
                create: None,
                update: None,
                delete: Some(index),
            } => known(index.index_name).map(IndexChange::Delete),
            _ => Err(DynamoError::invalid_value(
                "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, \
                 GlobalSecondaryIndexUpdate.Delete must not be null",
            )),
        }
    }
}

impl IndexChange {
    /// How much the table's footprint grows.
    fn growth(&self, table: &Table) -> usize {
        match self {
            Self::Create(index) => table.index_footprint(index),
            Self::Update(..) | Self::Delete(_) => 0,
        }
    }

    fn apply(self, table: &mut Table, done: kcl_core::Timestamp) {
        match self {
            Self::Create(index) => table.add_index(*index),
            Self::Update(name, throughput) => {
                if let Some(index) = table.index_mut(&name) {
                    index.throughput = throughput;
                }
            }
            Self::Delete(name) => {
                if let Some(index) = table.index_mut(&name) {
                    index.phase = IndexPhase::Deleting(done);
                }
            }
        }
    }
}
