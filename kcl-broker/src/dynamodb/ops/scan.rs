//! `Scan`.

use std::{collections::BTreeMap, ops::Bound};

use serde::Deserialize;

use super::{
    Operation,
    read::{Page, Reading, Shown, attributes_to_get, start_cursor},
};
use crate::dynamodb::{
    Tables,
    error::DynamoError,
    expression::{Placeholders, Purpose},
    key::Place,
    legacy::{self, Comparison},
    request::{check_not_mixed, index_name, ranged, return_consumed_capacity, table_name},
    table::{Cursor, Span},
    value::RawItem,
};

const SEGMENTS_MAX: i64 = 1_000_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Scan {
    table_name: Option<String>,
    index_name: Option<String>,
    limit: Option<i64>,
    select: Option<String>,
    exclusive_start_key: Option<RawItem>,
    segment: Option<i64>,
    total_segments: Option<i64>,
    filter_expression: Option<String>,
    projection_expression: Option<String>,
    expression_attribute_names: Option<BTreeMap<String, String>>,
    expression_attribute_values: Option<RawItem>,
    attributes_to_get: Option<Vec<String>>,
    scan_filter: Option<BTreeMap<String, Comparison>>,
    conditional_operator: Option<String>,
    consistent_read: Option<bool>,
    return_consumed_capacity: Option<String>,
}

impl Operation for Scan {
    const NAME: &'static str = "Scan";
    type Output = Page;

    fn execute(self, tables: &mut Tables) -> Result<Page, DynamoError> {
        check_not_mixed(
            &[
                ("AttributesToGet", self.attributes_to_get.is_some()),
                ("ScanFilter", self.scan_filter.is_some()),
                ("ConditionalOperator", self.conditional_operator.is_some()),
            ],
            &[
                ("ProjectionExpression", self.projection_expression.is_some()),
                ("FilterExpression", self.filter_expression.is_some()),
            ],
        )?;
        let name = table_name(self.table_name)?;
        let segment = Segment::of(self.segment, self.total_segments)?;
        let mut placeholders = Placeholders::new(self.expression_attribute_names, self.expression_attribute_values)?;
        let projection = placeholders.projection(self.projection_expression.as_deref())?;
        let filter = placeholders.condition(Purpose::Filter, self.filter_expression.as_deref())?;
        placeholders.finish()?;
        let projection = projection.or(attributes_to_get(self.attributes_to_get)?);
        let limit = ranged("limit", self.limit, 1..=i64::from(i32::MAX))?;
        let reading = Reading {
            consistent: self.consistent_read == Some(true),
            limit: limit.map(|limit| limit.unsigned_abs() as usize),
            filter: filter.or(legacy::filter(self.scan_filter, self.conditional_operator.as_deref())?),
            shown: Shown::of(self.select.as_deref(), projection, self.index_name.is_some())?,
            capacity: return_consumed_capacity(self.return_consumed_capacity.as_deref())?,
            index: index_name(self.index_name)?,
        };
        let table = tables.table(&name)?;
        let index = reading.index(table, self.select.as_deref())?;
        let start = start_cursor(table, index, self.exclusive_start_key)?;
        let span = segment.span(start)?;
        let (page, units) = reading.page(table, index, span, true);
        tables.count_read(&name, Self::NAME, &units)?;
        Ok(page)
    }
}

/// One of several parts of all buckets.
#[derive(Clone, Copy, Debug)]
struct Segment {
    number: i64,
    total: i64,
}

impl Segment {
    fn of(number: Option<i64>, total: Option<i64>) -> Result<Self, DynamoError> {
        let number = ranged("segment", number, 0..=SEGMENTS_MAX - 1)?;
        let total = ranged("totalSegments", total, 1..=SEGMENTS_MAX)?;
        let missing = |missing: &str, present: &str| {
            DynamoError::invalid(format!(
                "The {missing} parameter is required but was not present in the request when {present} parameter is present"
            ))
        };
        match (number, total) {
            (None, None) => Ok(Self { number: 0, total: 1 }),
            (Some(_), None) => Err(missing("TotalSegments", "Segment")),
            (None, Some(_)) => Err(missing("Segment", "TotalSegments")),
            (Some(number), Some(total)) if number >= total => Err(DynamoError::invalid(format!(
                "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {number} is not \
                 less than TotalSegments: {total}"
            ))),
            (Some(number), Some(total)) => Ok(Self { number, total }),
        }
    }

    /// The first bucket of the segment of this number; none after the last.
    fn first_bucket(self, number: i64) -> Option<u64> {
        let buckets = u128::from(u64::MAX) + 1;
        let first = (buckets * u128::from(number.unsigned_abs())).div_ceil(u128::from(self.total.unsigned_abs()));
        u64::try_from(first).ok()
    }

    /// The part of the order that is read, after `start` if it says where to go on.
    fn span(self, start: Option<Cursor>) -> Result<Span, DynamoError> {
        let first = self.first_bucket(self.number).unwrap_or(u64::MAX);
        let end = self.first_bucket(self.number + 1);
        let cursor = |bucket| (Place::first_of(bucket), Place::first_of(0));
        if let Some((place, _)) = &start
            && (place.bucket < first || end.is_some_and(|end| place.bucket >= end))
        {
            return Err(DynamoError::invalid(format!(
                "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct \
                 Segment. TotalSegments: {} Segment: {}",
                self.total, self.number
            )));
        }
        Ok(Span {
            from: start.map_or_else(|| Bound::Included(cursor(first)), Bound::Excluded),
            to: end.map_or(Bound::Unbounded, |end| Bound::Excluded(cursor(end))),
        })
    }
}
