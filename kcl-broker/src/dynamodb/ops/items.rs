//! `GetItem`, `PutItem`, `UpdateItem` and `DeleteItem`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Operation,
    read::attributes_to_get,
    write::{Change, Write, check_no_key, shows_item},
};
use crate::dynamodb::{
    Tables,
    capacity::{ConsumedCapacity, Units},
    error::DynamoError,
    expression::{Condition, Placeholders, Projection, Purpose, Update},
    item::{Item, size_of},
    legacy::{self, AttributeUpdate, Expectation},
    request::{check_not_mixed, choice, required, return_consumed_capacity, table_name},
    value::{RawItem, checked},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetItem {
    table_name: Option<String>,
    key: Option<RawItem>,
    consistent_read: Option<bool>,
    projection_expression: Option<String>,
    expression_attribute_names: Option<BTreeMap<String, String>>,
    attributes_to_get: Option<Vec<String>>,
    return_consumed_capacity: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetItemOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

impl Operation for GetItem {
    const NAME: &'static str = "GetItem";
    type Output = GetItemOutput;

    fn execute(self, tables: &mut Tables) -> Result<GetItemOutput, DynamoError> {
        let name = table_name(self.table_name)?;
        let key = checked(required("key", self.key)?)?;
        let capacity = return_consumed_capacity(self.return_consumed_capacity.as_deref())?;
        check_not_mixed(
            &[("AttributesToGet", self.attributes_to_get.is_some())],
            &[("ProjectionExpression", self.projection_expression.is_some())],
        )?;
        let mut placeholders = Placeholders::new(self.expression_attribute_names, None)?;
        let projection = placeholders.projection(self.projection_expression.as_deref())?;
        placeholders.finish()?;
        let projection = projection.or(attributes_to_get(self.attributes_to_get)?);
        let table = tables.table_mut(&name)?;
        let place = table.schema.place_of_key(&key)?;
        let item = table.item(&place);
        let units = Units::read(None, item.map_or(0, size_of), self.consistent_read == Some(true));
        let item = item.map(|item| projected(projection.as_ref(), item));
        table.costs.add(Self::NAME, &units);
        Ok(GetItemOutput {
            item,
            consumed_capacity: capacity.of(&name, &units),
        })
    }
}

pub(super) fn projected(projection: Option<&Projection>, item: &Item) -> Item {
    match projection {
        Some(projection) => projection.apply(item),
        None => item.clone(),
    }
}

/// What `PutItem`, `UpdateItem` and `DeleteItem` answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WriteOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

/// What a write says about its condition.
struct Conditions {
    expression: Option<String>,
    expected: Option<BTreeMap<String, Expectation>>,
    operator: Option<String>,
}

impl Conditions {
    /// Refuses a request with members from before expressions beside expressions.
    fn check_not_mixed(&self, legacy_update: bool, update: bool) -> Result<(), DynamoError> {
        check_not_mixed(
            &[
                ("AttributeUpdates", legacy_update),
                ("Expected", self.expected.is_some()),
                ("ConditionalOperator", self.operator.is_some()),
            ],
            &[
                ("UpdateExpression", update),
                ("ConditionExpression", self.expression.is_some()),
            ],
        )
    }

    fn read(self, placeholders: &mut Placeholders) -> Result<Option<Condition>, DynamoError> {
        let condition = placeholders.condition(Purpose::Condition, self.expression.as_deref())?;
        Ok(condition.or(legacy::expected(self.expected, self.operator.as_deref())?))
    }
}

/// Refuses a wish for metrics that only tables with local indexes have, if it is none that the service knows.
pub(super) fn check_metrics(given: Option<&str>) -> Result<(), DynamoError> {
    choice("returnItemCollectionMetrics", given, &["SIZE", "NONE"]).map(drop)
}

/// Whether a put or a delete gives back the item that was there.
fn returns_old(given: Option<&str>) -> Result<bool, DynamoError> {
    match choice("returnValues", given, RETURN_VALUES)? {
        None | Some("NONE") => Ok(false),
        Some("ALL_OLD") => Ok(true),
        Some(_) => Err(DynamoError::invalid("ReturnValues can only be ALL_OLD or NONE")),
    }
}

const RETURN_VALUES: &[&str] = &["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutItem {
    table_name: Option<String>,
    item: Option<RawItem>,
    condition_expression: Option<String>,
    expected: Option<BTreeMap<String, Expectation>>,
    conditional_operator: Option<String>,
    expression_attribute_names: Option<BTreeMap<String, String>>,
    expression_attribute_values: Option<RawItem>,
    return_values: Option<String>,
    return_values_on_condition_check_failure: Option<String>,
    return_consumed_capacity: Option<String>,
    return_item_collection_metrics: Option<String>,
}

impl Operation for PutItem {
    const NAME: &'static str = "PutItem";
    type Output = WriteOutput;

    fn execute(self, tables: &mut Tables) -> Result<WriteOutput, DynamoError> {
        let name = table_name(self.table_name)?;
        let item = checked(required("item", self.item)?)?;
        let capacity = return_consumed_capacity(self.return_consumed_capacity.as_deref())?;
        check_metrics(self.return_item_collection_metrics.as_deref())?;
        let returns_old = returns_old(self.return_values.as_deref())?;
        let shows_item = shows_item(self.return_values_on_condition_check_failure.as_deref())?;
        let conditions = Conditions {
            expression: self.condition_expression,
            expected: self.expected,
            operator: self.conditional_operator,
        };
        conditions.check_not_mixed(false, false)?;
        let mut placeholders = Placeholders::new(self.expression_attribute_names, self.expression_attribute_values)?;
        let condition = conditions.read(&mut placeholders)?;
        placeholders.finish()?;
        let write = Write {
            place: tables.table(&name)?.schema.place_of_item(&item)?,
            condition,
            change: Change::Put(item),
            shows_item,
        };
        let (units, old) = tables.write(&name, Self::NAME, write)?;
        Ok(WriteOutput {
            attributes: old.filter(|_| returns_old),
            consumed_capacity: capacity.of(&name, &units),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteItem {
    table_name: Option<String>,
    key: Option<RawItem>,
    condition_expression: Option<String>,
    expected: Option<BTreeMap<String, Expectation>>,
    conditional_operator: Option<String>,
    expression_attribute_names: Option<BTreeMap<String, String>>,
    expression_attribute_values: Option<RawItem>,
    return_values: Option<String>,
    return_values_on_condition_check_failure: Option<String>,
    return_consumed_capacity: Option<String>,
    return_item_collection_metrics: Option<String>,
}

impl Operation for DeleteItem {
    const NAME: &'static str = "DeleteItem";
    type Output = WriteOutput;

    fn execute(self, tables: &mut Tables) -> Result<WriteOutput, DynamoError> {
        let name = table_name(self.table_name)?;
        let key = checked(required("key", self.key)?)?;
        let capacity = return_consumed_capacity(self.return_consumed_capacity.as_deref())?;
        check_metrics(self.return_item_collection_metrics.as_deref())?;
        let returns_old = returns_old(self.return_values.as_deref())?;
        let shows_item = shows_item(self.return_values_on_condition_check_failure.as_deref())?;
        let conditions = Conditions {
            expression: self.condition_expression,
            expected: self.expected,
            operator: self.conditional_operator,
        };
        conditions.check_not_mixed(false, false)?;
        let mut placeholders = Placeholders::new(self.expression_attribute_names, self.expression_attribute_values)?;
        let condition = conditions.read(&mut placeholders)?;
        placeholders.finish()?;
        let write = Write {
            place: tables.table(&name)?.schema.place_of_key(&key)?,
            condition,
            change: Change::Delete,
            shows_item,
        };
        let (units, old) = tables.write(&name, Self::NAME, write)?;
        Ok(WriteOutput {
            attributes: old.filter(|_| returns_old),
            consumed_capacity: capacity.of(&name, &units),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateItem {
    table_name: Option<String>,
    key: Option<RawItem>,
    update_expression: Option<String>,
    attribute_updates: Option<BTreeMap<String, AttributeUpdate>>,
    condition_expression: Option<String>,
    expected: Option<BTreeMap<String, Expectation>>,
    conditional_operator: Option<String>,
    expression_attribute_names: Option<BTreeMap<String, String>>,
    expression_attribute_values: Option<RawItem>,
    return_values: Option<String>,
    return_values_on_condition_check_failure: Option<String>,
    return_consumed_capacity: Option<String>,
    return_item_collection_metrics: Option<String>,
}

impl Operation for UpdateItem {
    const NAME: &'static str = "UpdateItem";
    type Output = WriteOutput;

    fn execute(self, tables: &mut Tables) -> Result<WriteOutput, DynamoError> {
        let name = table_name(self.table_name)?;
        let key = checked(required("key", self.key)?)?;
        let capacity = return_consumed_capacity(self.return_consumed_capacity.as_deref())?;
        check_metrics(self.return_item_collection_metrics.as_deref())?;
        let return_values = choice("returnValues", self.return_values.as_deref(), RETURN_VALUES)?;
        let shows_item = shows_item(self.return_values_on_condition_check_failure.as_deref())?;
        let conditions = Conditions {
            expression: self.condition_expression,
            expected: self.expected,
            operator: self.conditional_operator,
        };
        conditions.check_not_mixed(self.attribute_updates.is_some(), self.update_expression.is_some())?;
        let mut placeholders = Placeholders::new(self.expression_attribute_names, self.expression_attribute_values)?;
        let update = placeholders.update(self.update_expression.as_deref())?;
        let condition = conditions.read(&mut placeholders)?;
        placeholders.finish()?;
        let update = match (update, self.attribute_updates) {
            (Some(update), _) => update,
            (None, Some(updates)) => legacy::updates(updates)?,
            (None, None) => Update::default(),
        };
        let schema = &tables.table(&name)?.schema;
        let place = schema.place_of_key(&key)?;
        check_no_key(&update, schema)?;
        let write = Write {
            place: place.clone(),
            condition,
            change: Change::Update(update.clone(), key),
            shows_item,
        };
        let (units, old) = tables.write(&name, Self::NAME, write)?;
        let new = tables.table(&name)?.item(&place);
        let attributes = match return_values {
            Some("ALL_OLD") => old,
            Some("UPDATED_OLD") => old.map(|old| update.touched(&old)),
            Some("ALL_NEW") => new.cloned(),
            Some("UPDATED_NEW") => new.map(|new| update.touched(new)),
            _ => None,
        };
        Ok(WriteOutput {
            attributes: attributes.filter(|attributes| !attributes.is_empty()),
            consumed_capacity: capacity.of(&name, &units),
        })
    }
}
