//! Items: attributes by name, and what they weigh.

use std::collections::BTreeMap;

use super::{error::DynamoError, value::AttributeValue};

/// The attributes of an item, or of its key.
pub(super) type Item = BTreeMap<String, AttributeValue>;

/// The most bytes of an item, with its attributes' names.
pub(super) const ITEM_BYTES_MAX: usize = 400 << 10;

const ITEM_OVERHEAD_BYTES: usize = 100;
const VALUE_OVERHEAD_BYTES: usize = 64;

/// The bytes that the service counts for an item.
pub(super) fn size_of(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.size()).sum()
}

/// About what an item takes in memory: what limits go by.
pub(super) fn footprint(item: &Item) -> usize {
    let values: usize = item.values().map(AttributeValue::count).sum();
    ITEM_OVERHEAD_BYTES + size_of(item) + values * VALUE_OVERHEAD_BYTES
}

/// Refuses an item that is too large.
pub(super) fn check_size(item: &Item) -> Result<(), DynamoError> {
    if size_of(item) > ITEM_BYTES_MAX {
        return Err(DynamoError::invalid("Item size has exceeded the maximum allowed size"));
    }
    Ok(())
}
