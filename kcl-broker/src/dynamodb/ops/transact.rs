//! `TransactWriteItems` and `TransactGetItems`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kcl_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Operation,
    items::projected,
    write::{Change, Write, check_no_key, shows_item},
};
use crate::dynamodb::{
    Tables,
    capacity::{ConsumedCapacity, Kind, ReturnConsumedCapacity, Units},
    error::{CancellationReason, DynamoError, DynamoErrorKind},
    expression::{Placeholders, Purpose},
    item::{Item, size_of},
    key::Place,
    request::{listed, required, return_consumed_capacity, table_name},
    value::{RawItem, checked},
};

const ITEMS_MAX: usize = 100;
/// The most bytes of all items of a transaction.
const BYTES_MAX: usize = 4 << 20;
/// How long the service remembers a transaction's token.
const TOKEN_LIFETIME_MS: u64 = 600_000;
/// The most tokens that are remembered; the oldest are forgotten first.
const TOKENS_MAX: usize = 10_000;
const TOKEN_CHARS_MAX: usize = 36;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TransactWriteItems {
    transact_items: Option<Vec<TransactWriteItem>>,
    client_request_token: Option<String>,
    return_consumed_capacity: Option<String>,
    return_item_collection_metrics: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TransactWriteItem {
    condition_check: Option<Part>,
    put: Option<Part>,
    delete: Option<Part>,
    update: Option<Part>,
}

/// One write of a transaction, with the members of all four kinds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    table_name: Option<String>,
    key: Option<RawItem>,
    item: Option<RawItem>,
    update_expression: Option<String>,
    condition_expression: Option<String>,
    expression_attribute_names: Option<BTreeMap<String, String>>,
    expression_attribute_values: Option<RawItem>,
    return_values_on_condition_check_failure: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TransactWriteItemsOutput {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumed_capacity: Vec<ConsumedCapacity>,
}

impl Operation for TransactWriteItems {
    const NAME: &'static str = "TransactWriteItems";
    type Output = TransactWriteItemsOutput;

    fn execute(self, tables: &mut Tables) -> Result<TransactWriteItemsOutput, DynamoError> {
        let capacity = return_consumed_capacity(self.return_consumed_capacity.as_deref())?;
        super::items::check_metrics(self.return_item_collection_metrics.as_deref())?;
        let items = listed("transactItems", self.transact_items, ITEMS_MAX)?;
        let fingerprint = fingerprint(&items);
        let token = checked_token(self.client_request_token)?;
        let writes = items
            .into_iter()
            .map(|item| item.checked(tables))
            .collect::<Result<Vec<_>, _>>()?;
        check_no_duplicates(writes.iter().map(|(name, write)| (name, &write.place)))?;
        let now = tables.now;
        if let Some(token) = &token
            && tables.tokens.was_used(token, fingerprint, now)?
        {
            return replayed(tables, &writes, capacity);
        }

        let outcomes: Vec<_> = writes
            .into_iter()
            .map(|(name, write)| {
                let planned = write.plan(tables.table(&name)?)?;
                Ok((name, planned))
            })
            .collect();
        if outcomes.iter().any(Result::is_err) {
            return Err(canceled(outcomes.into_iter().map(Result::err).collect()));
        }
        let planned: Vec<_> = outcomes.into_iter().flatten().collect();
        if planned.iter().map(|(_, write)| write.bytes).sum::<usize>() > BYTES_MAX {
            return Err(DynamoError::invalid(
                "Collection size limit exceeded: a transaction has at most 4 MB of items",
            ));
        }
        tables.check_room(planned.iter().map(|(_, write)| write.growth).sum())?;
        let mut units = BTreeMap::new();
        for (name, write) in planned {
            let sum = units.entry(name.clone()).or_insert_with(|| Units::none(Kind::Write));
            sum.add(&write.units.clone().doubled());
            write.apply(tables.table_mut(&name)?);
        }
        if let Some(token) = token {
            tables.tokens.remember(token, fingerprint, now);
        }
        let consumed_capacity = count(tables, Self::NAME, capacity, &units)?;
        Ok(TransactWriteItemsOutput { consumed_capacity })
    }
}

/// Counts the units of each table, and tells them as far as the request wants to know.
fn count(
    tables: &mut Tables,
    operation: &'static str,
    capacity: ReturnConsumedCapacity,
    units: &BTreeMap<String, Units>,
) -> Result<Vec<ConsumedCapacity>, DynamoError> {
    for (name, units) in units {
        tables.table_mut(name)?.costs.add(operation, units);
    }
    let consumed = units
        .iter()
        .filter_map(|(name, units)| capacity.of_transaction(name, units));
    Ok(consumed.collect())
}

/// The answer to a transaction that was carried out before: it costs reads.
fn replayed(
    tables: &mut Tables,
    writes: &[(String, Write)],
    capacity: ReturnConsumedCapacity,
) -> Result<TransactWriteItemsOutput, DynamoError> {
    let mut units = BTreeMap::new();
    for (name, write) in writes {
        let bytes = tables.table(name)?.item(&write.place).map_or(0, size_of);
        let sum = units.entry(name.clone()).or_insert_with(|| Units::none(Kind::Read));
        sum.add(&Units::read(None, bytes, true).doubled());
    }
    let consumed_capacity = count(tables, TransactWriteItems::NAME, capacity, &units)?;
    Ok(TransactWriteItemsOutput { consumed_capacity })
}

/// What a transaction fails with whose parts have these errors.
fn canceled(errors: Vec<Option<DynamoError>>) -> DynamoError {
    let none = CancellationReason {
        code: "None",
        message: None,
        item: None,
    };
    let reasons = errors
        .into_iter()
        .map(|error| error.map_or_else(|| none.clone(), DynamoError::into_reason));
    DynamoError::canceled(reasons.collect())
}

impl TransactWriteItem {
    fn checked(self, tables: &Tables) -> Result<(String, Write), DynamoError> {
        let kinds = [&self.condition_check, &self.put, &self.delete, &self.update];
        if kinds.into_iter().flatten().count() != 1 {
            return Err(DynamoError::invalid(
                "TransactItems can only contain one of Check, Put, Update or Delete",
            ));
        }
        if let Some(part) = self.put {
            let item = checked(required("transactItems.member.put.item", part.item.clone())?)?;
            return part.into_write(tables, |table, _| {
                Ok((table.schema.place_of_item(&item)?, Change::Put(item)))
            });
        }
        if let Some(part) = self.update {
            let key = part.checked_key()?;
            let text = required(
                "transactItems.member.update.updateExpression",
                part.update_expression.clone(),
            )?;
            return part.into_write(tables, |table, placeholders| {
                let update = placeholders.update(Some(&text))?.unwrap_or_default();
                check_no_key(&update, &table.schema)?;
                Ok((table.schema.place_of_key(&key)?, Change::Update(update, key)))
            });
        }
        if let Some(part) = self.delete {
            let key = part.checked_key()?;
            return part.into_write(tables, |table, _| {
                Ok((table.schema.place_of_key(&key)?, Change::Delete))
            });
        }
        let part = required("transactItems.member.conditionCheck", self.condition_check)?;
        let key = part.checked_key()?;
        required(
            "transactItems.member.conditionCheck.conditionExpression",
            part.condition_expression.as_ref(),
        )?;
        part.into_write(tables, |table, _| Ok((table.schema.place_of_key(&key)?, Change::Check)))
    }
}

impl Part {
    fn checked_key(&self) -> Result<Item, DynamoError> {
        checked(required("transactItems.member.key", self.key.clone())?)
    }

    /// The write that this part asks for, `change` telling what it does.
    fn into_write(
        self,
        tables: &Tables,
        change: impl FnOnce(&crate::dynamodb::table::Table, &mut Placeholders) -> Result<(Place, Change), DynamoError>,
    ) -> Result<(String, Write), DynamoError> {
        let name = table_name(self.table_name)?;
        let mut placeholders = Placeholders::new(self.expression_attribute_names, self.expression_attribute_values)?;
        let (place, change) = change(tables.table(&name)?, &mut placeholders)?;
        let condition = placeholders.condition(Purpose::Condition, self.condition_expression.as_deref())?;
        placeholders.finish()?;
        let write = Write {
            place,
            condition,
            change,
            shows_item: shows_item(self.return_values_on_condition_check_failure.as_deref())?,
        };
        Ok((name, write))
    }
}

fn check_no_duplicates<'a>(places: impl IntoIterator<Item = (&'a String, &'a Place)>) -> Result<(), DynamoError> {
    let mut seen = BTreeSet::new();
    if places.into_iter().all(|place| seen.insert(place)) {
        Ok(())
    } else {
        Err(DynamoError::invalid(
            "Transaction request cannot include multiple operations on one item",
        ))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TransactGetItems {
    transact_items: Option<Vec<TransactGetItem>>,
    return_consumed_capacity: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TransactGetItem {
    get: Option<Get>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Get {
    table_name: Option<String>,
    key: Option<RawItem>,
    projection_expression: Option<String>,
    expression_attribute_names: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TransactGetItemsOutput {
    responses: Vec<ItemResponse>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumed_capacity: Vec<ConsumedCapacity>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ItemResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Item>,
}

impl Operation for TransactGetItems {
    const NAME: &'static str = "TransactGetItems";
    type Output = TransactGetItemsOutput;

    fn execute(self, tables: &mut Tables) -> Result<TransactGetItemsOutput, DynamoError> {
        let capacity = return_consumed_capacity(self.return_consumed_capacity.as_deref())?;
        let items = listed("transactItems", self.transact_items, ITEMS_MAX)?;
        let mut units = BTreeMap::new();
        let mut responses = Vec::new();
        let mut places = BTreeSet::new();
        let mut bytes = 0;
        for item in items {
            let get = required("transactItems.member.get", item.get)?;
            let name = table_name(get.table_name)?;
            let key = checked(required("transactItems.member.get.key", get.key)?)?;
            let mut placeholders = Placeholders::new(get.expression_attribute_names, None)?;
            let projection = placeholders.projection(get.projection_expression.as_deref())?;
            placeholders.finish()?;
            let table = tables.table(&name)?;
            let place = table.schema.place_of_key(&key)?;
            let item = table.item(&place);
            let size = item.map_or(0, size_of);
            bytes += size;
            let sum = units.entry(name.clone()).or_insert_with(|| Units::none(Kind::Read));
            sum.add(&Units::read(None, size, true).doubled());
            responses.push(ItemResponse {
                item: item.map(|item| projected(projection.as_ref(), item)),
            });
            if !places.insert((name, place)) {
                return Err(DynamoError::invalid(
                    "Transaction request cannot include multiple operations on one item",
                ));
            }
        }
        if bytes > BYTES_MAX {
            return Err(DynamoError::invalid(
                "Collection size limit exceeded: a transaction has at most 4 MB of items",
            ));
        }
        let consumed_capacity = count(tables, Self::NAME, capacity, &units)?;
        Ok(TransactGetItemsOutput {
            responses,
            consumed_capacity,
        })
    }
}

/// What a transaction asks for, in short.
type Fingerprint = [u8; 16];

fn fingerprint(items: &[TransactWriteItem]) -> Fingerprint {
    use md5::{Digest, Md5};
    Md5::digest(format!("{items:?}")).into()
}

fn checked_token(token: Option<String>) -> Result<Option<String>, DynamoError> {
    match token {
        Some(token) if token.is_empty() || token.chars().count() > TOKEN_CHARS_MAX => Err(DynamoError::invalid(
            format!("ClientRequestToken has 1 to {TOKEN_CHARS_MAX} characters"),
        )),
        token => Ok(token),
    }
}

/// The tokens of transactions that were carried out, so that none is carried out twice.
#[derive(Debug)]
pub(in crate::dynamodb) struct TransactionTokens {
    used: BTreeMap<String, Fingerprint>,
    /// In the order in which they were used.
    order: VecDeque<(Timestamp, String)>,
}

impl TransactionTokens {
    pub(in crate::dynamodb) const fn new() -> Self {
        Self {
            used: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether a token was used for the same transaction. That it was used for another is an error.
    fn was_used(&mut self, token: &str, fingerprint: Fingerprint, now: Timestamp) -> Result<bool, DynamoError> {
        while let Some((at, _)) = self.order.front()
            && now.millis_since(*at) > TOKEN_LIFETIME_MS
        {
            self.forget_oldest();
        }
        match self.used.get(token) {
            None => Ok(false),
            Some(other) if *other == fingerprint => Ok(true),
            Some(_) => Err(DynamoError::new(
                DynamoErrorKind::IdempotentParameterMismatch,
                "The client request token was used before, with other parameters",
            )),
        }
    }

    fn remember(&mut self, token: String, fingerprint: Fingerprint, now: Timestamp) {
        if self.order.len() >= TOKENS_MAX {
            self.forget_oldest();
        }
        self.used.insert(token.clone(), fingerprint);
        self.order.push_back((now, token));
    }

    fn forget_oldest(&mut self) {
        if let Some((_, token)) = self.order.pop_front() {
            self.used.remove(&token);
        }
    }
}
