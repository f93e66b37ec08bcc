//! Global secondary indexes: another order of a table's items, of those that have the index's key.

use std::collections::BTreeSet;

use kcl_core::Timestamp;

use super::{
    error::DynamoError,
    item::{Item, size_of},
    key::{KeySchema, KeyValue, Place},
    throughput::Throughput,
    value::AttributeValue,
};

/// Which attributes an index shows beside the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Projected {
    All,
    KeysOnly,
    Include(BTreeSet<String>),
}

/// Where an index is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexPhase {
    /// Being made until this time.
    Creating(Timestamp),
    Active,
    /// Being removed until this time.
    Deleting(Timestamp),
}

/// An index of a table.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) schema: KeySchema,
    pub(super) projected: Projected,
    pub(super) throughput: Throughput,
    pub(super) phase: IndexPhase,
    /// The place in the index, and the place in the table.
    entries: BTreeSet<(Place, Place)>,
}

const ENTRY_OVERHEAD_BYTES: usize = 100;

fn entry_footprint((at, place): &(Place, Place)) -> usize {
    ENTRY_OVERHEAD_BYTES + at.len() + place.len()
}

impl Index {
    pub(super) const fn new(
        name: String,
        schema: KeySchema,
        projected: Projected,
        throughput: Throughput,
        phase: IndexPhase,
    ) -> Self {
        Self {
            name,
            schema,
            projected,
            throughput,
            phase,
            entries: BTreeSet::new(),
        }
    }

    pub(super) const fn entries(&self) -> &BTreeSet<(Place, Place)> {
        &self.entries
    }

    /// About what the entries take in memory.
    pub(super) fn footprint(&self) -> usize {
        self.entries.iter().map(entry_footprint).sum()
    }

    /// About what the entry of an item takes in memory.
    pub(super) fn entry_footprint(&self, place: &Place, item: &Item) -> usize {
        let entry = self.schema.place_of(item).map(|at| (at, place.clone()));
        entry.as_ref().map_or(0, entry_footprint)
    }

    /// Keeps the index up with a write at `place`.
    pub(super) fn follow(&mut self, place: &Place, old: Option<&Item>, new: Option<&Item>) {
        let entry = |item: Option<&Item>| Some((self.schema.place_of(item?)?, place.clone()));
        let (old, new) = (entry(old), entry(new));
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.entries.remove(&old);
        }
        self.entries.extend(new);
    }

    /// The bytes that a write to the table writes to the index, one number for each entry written.
    pub(super) fn written(&self, table: &KeySchema, old: Option<&Item>, new: Option<&Item>) -> Vec<usize> {
        let entry = |item: Option<&Item>| {
            let item = self.shown(table, item?);
            Some((self.schema.place_of(&item)?, item))
        };
        match (entry(old), entry(new)) {
            (Some((_, old)), Some((_, new))) if old == new => Vec::new(),
            (Some((from, old)), Some((to, new))) if from == to => vec![size_of(&old).max(size_of(&new))],
            (old, new) => old.iter().chain(&new).map(|(_, item)| size_of(item)).collect(),
        }
    }

    /// Refuses an item whose value for the index's key could never be one.
    pub(super) fn check(&self, item: &Item) -> Result<(), DynamoError> {
        for attribute in self.schema.attributes() {
            let Some(value) = item.get(&attribute.name) else {
                continue;
            };
            let (key, index) = (&attribute.name, &self.name);
            if KeyValue::of(value, attribute.kind).is_none() {
                return Err(DynamoError::invalid_value(format_args!(
                    "Type mismatch for Index Key {key} Expected: {} Actual: {} IndexName: {index}",
                    attribute.kind.as_str(),
                    value.type_name()
                )));
            }
            let kind = match value {
                AttributeValue::S(text) if text.is_empty() => "string",
                AttributeValue::B(bytes) if bytes.is_empty() => "binary",
                _ => continue,
            };
            return Err(DynamoError::invalid(format!(
                "One or more parameter values are not valid. A value specified for a secondary index key is not supported. \
                 The AttributeValue for a key attribute cannot contain an empty {kind} value. IndexName: {index}, \
                 IndexKey: {key}"
            )));
        }
        Ok(())
    }

    /// Whether the index shows this attribute of a table with this key.
    pub(super) fn shows(&self, table: &KeySchema, attribute: &str) -> bool {
        table.contains(attribute)
            || self.schema.contains(attribute)
            || match &self.projected {
                Projected::All => true,
                Projected::KeysOnly => false,
                Projected::Include(names) => names.contains(attribute),
            }
    }

    /// What the index shows of an item.
    pub(super) fn shown(&self, table: &KeySchema, item: &Item) -> Item {
        item.iter()
            .filter(|(name, _)| self.shows(table, name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}
