//! Rows as items, with the attributes of Powertools.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use kcl_core::Timestamp;

use crate::row::{COMPLETED, IN_PROGRESS, Row, Status};

pub(super) const STATUS: &str = "status";
/// Seconds since the epoch; the attribute of the table's time to live.
pub(super) const EXPIRATION: &str = "expiration";
/// Milliseconds since the epoch.
pub(super) const IN_PROGRESS_EXPIRATION: &str = "in_progress_expiration";
pub(super) const DATA: &str = "data";
pub(super) const VALIDATION: &str = "validation";

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The attributes of a row, without its key.
pub(super) fn encode(row: &Row) -> Item {
    let (status, until, data) = match &row.status {
        Status::InProgress { until } => (IN_PROGRESS, *until, None),
        Status::Completed { result } => (COMPLETED, None, result.as_deref()),
    };
    let attributes = [
        (STATUS, Some(text(status))),
        (EXPIRATION, row.expiration.map(number)),
        (IN_PROGRESS_EXPIRATION, until.map(|until| number(until.epoch_millis()))),
        (DATA, data.map(text)),
        (VALIDATION, row.validation.as_deref().map(text)),
    ];
    let there = attributes
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    there.collect()
}

/// A row, or what is wrong with the item.
pub(super) fn decode(item: &Item) -> Result<Row, String> {
    let status = match read_text(item, STATUS)?.as_deref() {
        Some(IN_PROGRESS) => Status::InProgress {
            until: read_number(item, IN_PROGRESS_EXPIRATION)?.map(Timestamp::from_epoch_millis),
        },
        Some(COMPLETED) => Status::Completed {
            result: read_text(item, DATA)?,
        },
        Some(other) => {
            return Err(format!(
                "has the status {other:?}, which is neither {IN_PROGRESS} nor {COMPLETED}"
            ));
        }
        None => return Err(format!("has no attribute {STATUS}")),
    };
    Ok(Row {
        status,
        expiration: read_number(item, EXPIRATION)?,
        // Powertools writes an empty one where it does not validate.
        validation: read_text(item, VALIDATION)?.filter(|validation| !validation.is_empty()),
    })
}

fn read_text(item: &Item, name: &str) -> Result<Option<String>, String> {
    match item.get(name).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(AttributeValue::S(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("has an attribute {name} that is no string (S)")),
    }
}

fn read_number(item: &Item, name: &str) -> Result<Option<i64>, String> {
    match item.get(name).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(AttributeValue::N(digits)) => match digits.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!(
                "has an attribute {name} that is no whole number in range: {digits}"
            )),
        },
        Some(_) => Err(format!("has an attribute {name} that is no number (N)")),
    }
}
