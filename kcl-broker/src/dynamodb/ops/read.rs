//! Pages of items: what scans and queries have in common.

use serde::Serialize;

use super::items::projected;
use crate::dynamodb::{
    Tables,
    capacity::{ConsumedCapacity, ReturnConsumedCapacity, Units},
    error::DynamoError,
    expression::{Condition, Projection},
    index::{Index, Projected},
    item::{Item, size_of},
    request::choice,
    table::{Cursor, Span, Table},
    value::{RawItem, checked},
};

/// The bytes after which a page ends.
const PAGE_BYTES: usize = 1 << 20;
const ATTRIBUTES_MAX: usize = 255;

/// What a page shows of the items that it has.
#[derive(Debug)]
pub(super) enum Shown {
    Items(Option<Projection>),
    Count,
}

/// What a scan or a query says about its page.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) index: Option<String>,
    pub(super) consistent: bool,
    pub(super) limit: Option<usize>,
    pub(super) filter: Option<Condition>,
    pub(super) shown: Shown,
    pub(super) capacity: ReturnConsumedCapacity,
}

/// One page of items.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Page {
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Item>>,
    count: usize,
    scanned_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_key: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

/// `AttributesToGet`.
pub(super) fn attributes_to_get(names: Option<Vec<String>>) -> Result<Option<Projection>, DynamoError> {
    let Some(names) = names else { return Ok(None) };
    crate::dynamodb::request::check_len("attributesToGet", names.len(), ATTRIBUTES_MAX)?;
    let mut sorted = names.clone();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(DynamoError::invalid_value(format_args!(
            "Duplicate value in attribute name: {}",
            pair[0]
        )));
    }
    Ok(Some(Projection::of_attributes(names)))
}

impl Shown {
    /// What a request shows that says this with `Select`.
    pub(super) fn of(
        select: Option<&str>,
        projection: Option<Projection>,
        of_index: bool,
    ) -> Result<Self, DynamoError> {
        let words = [
            "ALL_ATTRIBUTES",
            "ALL_PROJECTED_ATTRIBUTES",
            "COUNT",
            "SPECIFIC_ATTRIBUTES",
        ];
        match (choice("select", select, &words)?, projection) {
            (None, projection) => Ok(Self::Items(projection)),
            (Some("SPECIFIC_ATTRIBUTES"), Some(projection)) => Ok(Self::Items(Some(projection))),
            (Some("SPECIFIC_ATTRIBUTES"), None) => Err(DynamoError::invalid(
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
            )),
            (Some(select), Some(_)) => Err(DynamoError::invalid(format!(
                "Cannot specify the AttributesToGet or ProjectionExpression when choosing to get {select}"
            ))),
            (Some("ALL_PROJECTED_ATTRIBUTES"), None) if !of_index => Err(DynamoError::invalid(
                "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
            )),
            (Some("COUNT"), None) => Ok(Self::Count),
            (Some(_), None) => Ok(Self::Items(None)),
        }
    }
}

impl Reading {
    /// The index that is read, if it can show what is wanted of it.
    pub(super) fn index<'a>(&self, table: &'a Table, select: Option<&str>) -> Result<Option<&'a Index>, DynamoError> {
        let Some(name) = &self.index else { return Ok(None) };
        let index = table.readable_index(name)?;
        if self.consistent {
            return Err(DynamoError::invalid(
                "Consistent reads are not supported on global secondary indexes",
            ));
        }
        if select == Some("ALL_ATTRIBUTES") && index.projected != Projected::All {
            return Err(DynamoError::invalid_value(format_args!(
                "Select type ALL_ATTRIBUTES is not supported for global secondary index {name} because its projection type \
                 is not ALL"
            )));
        }
        if let Shown::Items(Some(projection)) = &self.shown {
            let hidden = projection
                .attributes()
                .find(|attribute| !index.shows(&table.schema, attribute));
            if let Some(attribute) = hidden {
                return Err(DynamoError::invalid_value(format_args!(
                    "Global secondary index {name} does not project [{attribute}]"
                )));
            }
        }
        Ok(Some(index))
    }

    /// Reads a page from a part of an order, and tells what it costs.
    pub(super) fn page(&self, table: &Table, index: Option<&Index>, span: Span, forward: bool) -> (Page, Units) {
        let mut walk = table.walk(index, span);
        let mut next = || if forward { walk.next() } else { walk.next_back() };
        let mut items = Vec::new();
        let (mut count, mut scanned_count, mut bytes) = (0, 0, 0);
        let mut last = None;
        let mut ended = false;
        while self.limit.is_none_or(|limit| scanned_count < limit) && bytes < PAGE_BYTES {
            let Some(item) = next() else {
                ended = true;
                break;
            };
            let of_index = index.map(|index| index.shown(&table.schema, item));
            let item = of_index.as_ref().unwrap_or(item);
            scanned_count += 1;
            bytes += size_of(item);
            last = Some(start_key(table, index, item));
            if self.filter.as_ref().is_none_or(|filter| filter.holds(item)) {
                count += 1;
                if let Shown::Items(projection) = &self.shown {
                    items.push(projected(projection.as_ref(), item));
                }
            }
        }
        let goes_on = !ended && next().is_some();
        let units = Units::read(self.index.as_deref(), bytes, self.consistent);
        let page = Page {
            items: matches!(self.shown, Shown::Items(_)).then_some(items),
            count,
            scanned_count,
            last_evaluated_key: last.filter(|_| goes_on),
            consumed_capacity: self.capacity.of(&table.name, &units),
        };
        (page, units)
    }
}

/// The key after which a next page begins.
fn start_key(table: &Table, index: Option<&Index>, item: &Item) -> Item {
    let mut key = table.schema.key_of(item);
    key.extend(index.map(|index| index.schema.key_of(item)).unwrap_or_default());
    key
}

/// The place that `ExclusiveStartKey` names.
pub(super) fn start_cursor(
    table: &Table,
    index: Option<&Index>,
    key: Option<RawItem>,
) -> Result<Option<Cursor>, DynamoError> {
    let Some(key) = key else { return Ok(None) };
    let unfit = |why: &str| DynamoError::invalid(format!("The provided starting key is invalid{why}"));
    let key = checked(key)?;
    let own = table.schema.key_of(&key);
    let place = table
        .schema
        .place_of_key(&own)
        .map_err(|error| unfit(&format!(": {}", error.message())))?;
    let expected = start_key(table, index, &key);
    if expected.len() != key.len() {
        return Err(unfit(": The provided key element does not match the schema"));
    }
    match index {
        None => Ok(Some((place.clone(), place))),
        Some(index) => {
            let at = index.schema.place_of(&key).ok_or_else(|| unfit(""))?;
            Ok(Some((at, place)))
        }
    }
}

impl Tables {
    /// Counts what a page cost.
    pub(super) fn count_read(&mut self, name: &str, operation: &'static str, units: &Units) -> Result<(), DynamoError> {
        self.table_mut(name)?.costs.add(operation, units);
        Ok(())
    }
}
