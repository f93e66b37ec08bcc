//! `Query`.

use std::{collections::BTreeMap, ops::Bound};

use serde::Deserialize;

use super::{
    Operation,
    read::{Page, Reading, Shown, attributes_to_get, start_cursor},
};
use crate::dynamodb::{
    Tables,
    error::DynamoError,
    expression::{Comparator, KeyCondition, Placeholders, Purpose, RangeCondition},
    key::{KeyValue, Place, RangePart},
    legacy::{self, Comparison},
    request::{check_not_mixed, index_name, ranged, return_consumed_capacity, table_name},
    table::{Cursor, Span},
    value::RawItem,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Query {
    table_name: Option<String>,
    index_name: Option<String>,
    limit: Option<i64>,
    select: Option<String>,
    exclusive_start_key: Option<RawItem>,
    scan_index_forward: Option<bool>,
    key_condition_expression: Option<String>,
    filter_expression: Option<String>,
    projection_expression: Option<String>,
    expression_attribute_names: Option<BTreeMap<String, String>>,
    expression_attribute_values: Option<RawItem>,
    attributes_to_get: Option<Vec<String>>,
    key_conditions: Option<BTreeMap<String, Comparison>>,
    query_filter: Option<BTreeMap<String, Comparison>>,
    conditional_operator: Option<String>,
    consistent_read: Option<bool>,
    return_consumed_capacity: Option<String>,
}

impl Operation for Query {
    const NAME: &'static str = "Query";
    type Output = Page;

    fn execute(self, tables: &mut Tables) -> Result<Page, DynamoError> {
        check_not_mixed(
            &[
                ("AttributesToGet", self.attributes_to_get.is_some()),
                ("QueryFilter", self.query_filter.is_some()),
                ("ConditionalOperator", self.conditional_operator.is_some()),
                ("KeyConditions", self.key_conditions.is_some()),
            ],
            &[
                ("ProjectionExpression", self.projection_expression.is_some()),
                ("FilterExpression", self.filter_expression.is_some()),
                ("KeyConditionExpression", self.key_condition_expression.is_some()),
            ],
        )?;
        let name = table_name(self.table_name)?;
        let mut placeholders = Placeholders::new(self.expression_attribute_names, self.expression_attribute_values)?;
        let projection = placeholders.projection(self.projection_expression.as_deref())?;
        let filter = placeholders.condition(Purpose::Filter, self.filter_expression.as_deref())?;
        let key_condition = placeholders.key_condition(self.key_condition_expression.as_deref())?;
        placeholders.finish()?;
        let key_condition = match (key_condition, self.key_conditions) {
            (Some(condition), _) => condition,
            (None, Some(conditions)) => KeyCondition::of(legacy::key_conditions(conditions)?)?,
            (None, None) => {
                return Err(DynamoError::invalid(
                    "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
                ));
            }
        };
        let projection = projection.or(attributes_to_get(self.attributes_to_get)?);
        let limit = ranged("limit", self.limit, 1..=i64::from(i32::MAX))?;
        let reading = Reading {
            consistent: self.consistent_read == Some(true),
            limit: limit.map(|limit| limit.unsigned_abs() as usize),
            filter: filter.or(legacy::filter(self.query_filter, self.conditional_operator.as_deref())?),
            shown: Shown::of(self.select.as_deref(), projection, self.index_name.is_some())?,
            capacity: return_consumed_capacity(self.return_consumed_capacity.as_deref())?,
            index: index_name(self.index_name)?,
        };
        let table = tables.table(&name)?;
        let index = reading.index(table, self.select.as_deref())?;
        let schema = index.map_or(&table.schema, |index| &index.schema);
        if let Some(filter) = &reading.filter
            && let Some(key) = schema.attributes().find(|attribute| filter.mentions(&attribute.name))
        {
            return Err(DynamoError::invalid(format!(
                "Filter Expression can only contain non-primary key attributes: Primary key attribute: {}",
                key.name
            )));
        }
        let (hash, range) = key_condition.against(schema)?;
        let start = start_cursor(table, index, self.exclusive_start_key)?;
        let forward = self.scan_index_forward != Some(false);
        let span = span(&hash, range.as_ref(), start, forward)?;
        let (page, units) = reading.page(table, index, span, forward);
        tables.count_read(&name, Self::NAME, &units)?;
        Ok(page)
    }
}

/// The part of an order that a query reads: every condition on a range key holds for one run of its values.
fn span(
    hash: &KeyValue,
    range: Option<&RangeCondition<KeyValue>>,
    start: Option<Cursor>,
    forward: bool,
) -> Result<Span, DynamoError> {
    let at = |part: RangePart| (Place::new(hash.clone(), part), Place::first_of(0));
    let value = |value: &KeyValue| RangePart::Value(value.clone());
    let (first, end) = match range {
        None => (RangePart::Start, RangePart::End),
        Some(RangeCondition::Compare(comparator, other)) => match comparator {
            Comparator::Less => (RangePart::Start, value(other)),
            Comparator::LessOrEqual => (RangePart::Start, RangePart::After(other.clone())),
            Comparator::Greater => (RangePart::After(other.clone()), RangePart::End),
            Comparator::GreaterOrEqual => (value(other), RangePart::End),
            Comparator::Equal | Comparator::NotEqual => (value(other), RangePart::After(other.clone())),
        },
        Some(RangeCondition::Between(low, high)) => (value(low), RangePart::After(high.clone())),
        Some(RangeCondition::BeginsWith(prefix)) => (value(prefix), RangePart::after_prefix(prefix)),
    };
    let (first, end) = (at(first), at(end));
    if let Some(start) = &start
        && (start.0 < first.0 || start.0 >= end.0)
    {
        return Err(DynamoError::invalid(
            "The provided starting key is outside query boundaries based on provided conditions",
        ));
    }
    Ok(match start {
        None => Span {
            from: Bound::Included(first),
            to: Bound::Excluded(end),
        },
        Some(start) if forward => Span {
            from: Bound::Excluded(start),
            to: Bound::Excluded(end),
        },
        Some(start) => Span {
            from: Bound::Included(first),
            to: Bound::Excluded(start),
        },
    })
}
