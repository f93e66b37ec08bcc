//! `BatchGetItem` and `BatchWriteItem`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Operation,
    items::projected,
    read::attributes_to_get,
    write::{Change, Planned, Write},
};
use crate::dynamodb::{
    Tables,
    capacity::{ConsumedCapacity, Kind, Units},
    error::DynamoError,
    expression::{Placeholders, Projection},
    item::{Item, size_of},
    key::Place,
    request::{check_len, check_not_mixed, required, return_consumed_capacity, table_name},
    value::{RawItem, checked},
};

const GET_KEYS_MAX: usize = 100;
const WRITES_MAX: usize = 25;
/// The bytes of items after which the rest is left for another request.
const ANSWER_BYTES_MAX: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchGetItem {
    request_items: Option<BTreeMap<String, KeysAndAttributes>>,
    return_consumed_capacity: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeysAndAttributes {
    keys: Option<Vec<RawItem>>,
    consistent_read: Option<bool>,
    projection_expression: Option<String>,
    expression_attribute_names: Option<BTreeMap<String, String>>,
    attributes_to_get: Option<Vec<String>>,
}

/// What is left of a [`KeysAndAttributes`].
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Unprocessed {
    keys: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistent_read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    projection_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression_attribute_names: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes_to_get: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchGetItemOutput {
    responses: BTreeMap<String, Vec<Item>>,
    unprocessed_keys: BTreeMap<String, Unprocessed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumed_capacity: Vec<ConsumedCapacity>,
}

/// The keys that are read of one table, and how.
struct Wanted {
    name: String,
    /// The table's name as the request has it.
    given_name: String,
    keys: Vec<(Place, Item)>,
    projection: Option<Projection>,
    consistent: bool,
    rest: Unprocessed,
}

impl Operation for BatchGetItem {
    const NAME: &'static str = "BatchGetItem";
    type Output = BatchGetItemOutput;

    fn execute(self, tables: &mut Tables) -> Result<BatchGetItemOutput, DynamoError> {
        let capacity = return_consumed_capacity(self.return_consumed_capacity.as_deref())?;
        let requested = required("requestItems", self.request_items)?;
        check_len("requestItems", requested.len(), GET_KEYS_MAX)?;
        let wanted = requested
            .into_iter()
            .map(|(name, keys)| keys.checked(name, tables))
            .collect::<Result<Vec<_>, _>>()?;
        if wanted.iter().map(|wanted| wanted.keys.len()).sum::<usize>() > GET_KEYS_MAX {
            return Err(DynamoError::invalid(
                "Too many items requested for the BatchGetItem call",
            ));
        }
        let mut output = BatchGetItemOutput {
            responses: BTreeMap::new(),
            unprocessed_keys: BTreeMap::new(),
            consumed_capacity: Vec::new(),
        };
        let mut bytes = 0;
        for mut wanted in wanted {
            let table = tables.table_mut(&wanted.name)?;
            let mut units = Units::none(Kind::Read);
            let items = output.responses.entry(wanted.given_name.clone()).or_default();
            for (place, key) in wanted.keys {
                if bytes >= ANSWER_BYTES_MAX {
                    wanted.rest.keys.push(key);
                    continue;
                }
                let item = table.item(&place);
                let size = item.map_or(0, size_of);
                bytes += size;
                units.add(&Units::read(None, size, wanted.consistent));
                items.extend(item.map(|item| projected(wanted.projection.as_ref(), item)));
            }
            table.costs.add(Self::NAME, &units);
            output.consumed_capacity.extend(capacity.of(&wanted.name, &units));
            if !wanted.rest.keys.is_empty() {
                output.unprocessed_keys.insert(wanted.given_name, wanted.rest);
            }
        }
        Ok(output)
    }
}

impl KeysAndAttributes {
    fn checked(self, given_name: String, tables: &Tables) -> Result<Wanted, DynamoError> {
        let name = table_name(Some(given_name.clone()))?;
        let raw = required("requestItems.member.keys", self.keys)?;
        check_len("requestItems.member.keys", raw.len(), GET_KEYS_MAX)?;
        check_not_mixed(
            &[("AttributesToGet", self.attributes_to_get.is_some())],
            &[("ProjectionExpression", self.projection_expression.is_some())],
        )?;
        let mut placeholders = Placeholders::new(self.expression_attribute_names.clone(), None)?;
        let projection = placeholders.projection(self.projection_expression.as_deref())?;
        placeholders.finish()?;
        let schema = &tables.table(&name)?.schema;
        let mut keys = Vec::new();
        for key in raw {
            let key = checked(key)?;
            keys.push((schema.place_of_key(&key)?, key));
        }
        check_no_duplicates(keys.iter().map(|(place, _)| place))?;
        Ok(Wanted {
            name,
            given_name,
            keys,
            projection: projection.or(attributes_to_get(self.attributes_to_get.clone())?),
            consistent: self.consistent_read == Some(true),
            rest: Unprocessed {
                keys: Vec::new(),
                consistent_read: self.consistent_read,
                projection_expression: self.projection_expression,
                expression_attribute_names: self.expression_attribute_names,
                attributes_to_get: self.attributes_to_get,
            },
        })
    }
}

fn check_no_duplicates<'a>(places: impl IntoIterator<Item = &'a Place>) -> Result<(), DynamoError> {
    let mut seen = BTreeSet::new();
    if places.into_iter().all(|place| seen.insert(place)) {
        Ok(())
    } else {
        Err(DynamoError::invalid("Provided list of item keys contains duplicates"))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchWriteItem {
    request_items: Option<BTreeMap<String, Vec<WriteRequest>>>,
    return_consumed_capacity: Option<String>,
    return_item_collection_metrics: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WriteRequest {
    put_request: Option<PutRequest>,
    delete_request: Option<DeleteRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRequest {
    item: Option<RawItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteRequest {
    key: Option<RawItem>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchWriteItemOutput {
    /// Always empty: whatever is written at all is written at once.
    unprocessed_items: BTreeMap<String, Item>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumed_capacity: Vec<ConsumedCapacity>,
}

impl Operation for BatchWriteItem {
    const NAME: &'static str = "BatchWriteItem";
    type Output = BatchWriteItemOutput;

    fn execute(self, tables: &mut Tables) -> Result<BatchWriteItemOutput, DynamoError> {
        let capacity = return_consumed_capacity(self.return_consumed_capacity.as_deref())?;
        super::items::check_metrics(self.return_item_collection_metrics.as_deref())?;
        let requested = required("requestItems", self.request_items)?;
        check_len("requestItems", requested.len(), WRITES_MAX)?;
        if requested.values().map(Vec::len).sum::<usize>() > WRITES_MAX {
            return Err(DynamoError::invalid(
                "Too many items requested for the BatchWriteItem call",
            ));
        }
        let planned = requested
            .into_iter()
            .map(|(name, requests)| plan(name, requests, tables))
            .collect::<Result<Vec<_>, _>>()?;
        let writes = planned.iter().flat_map(|(_, writes)| writes);
        tables.check_room(writes.map(|write| write.growth).sum())?;
        let mut consumed_capacity = Vec::new();
        for (name, writes) in planned {
            let table = tables.table_mut(&name)?;
            let mut units = Units::none(Kind::Write);
            for write in writes {
                units.add(&write.units);
                write.apply(table);
            }
            table.costs.add(Self::NAME, &units);
            consumed_capacity.extend(capacity.of(&name, &units));
        }
        Ok(BatchWriteItemOutput {
            unprocessed_items: BTreeMap::new(),
            consumed_capacity,
        })
    }
}

fn plan(name: String, requests: Vec<WriteRequest>, tables: &Tables) -> Result<(String, Vec<Planned>), DynamoError> {
    let name = table_name(Some(name))?;
    check_len("requestItems.member", requests.len(), WRITES_MAX)?;
    let table = tables.table(&name)?;
    let mut writes = Vec::new();
    for request in requests {
        let (place, change) = match (request.put_request, request.delete_request) {
            (Some(put), None) => {
                let item = checked(required("requestItems.member.putRequest.item", put.item)?)?;
                (table.schema.place_of_item(&item)?, Change::Put(item))
            }
            (None, Some(delete)) => {
                let key = checked(required("requestItems.member.deleteRequest.key", delete.key)?)?;
                (table.schema.place_of_key(&key)?, Change::Delete)
            }
            _ => {
                return Err(DynamoError::invalid(
                    "Supplied AttributeValue has more than one or no request set, must contain exactly one of PutRequest, \
                     DeleteRequest",
                ));
            }
        };
        writes.push(Write {
            place,
            condition: None,
            change,
            shows_item: false,
        });
    }
    check_no_duplicates(writes.iter().map(|write| &write.place))?;
    let planned = writes
        .into_iter()
        .map(|write| write.plan(table))
        .collect::<Result<_, _>>()?;
    Ok((name, planned))
}
