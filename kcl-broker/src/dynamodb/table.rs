//! [`Table`]: items in order, their indexes, and what they cost.

use std::{collections::BTreeMap, ops::Bound};

use kcl_core::Timestamp;

use super::{
    capacity::{TableCosts, Units},
    error::DynamoError,
    index::{Index, IndexPhase},
    item::{Item, check_size, footprint, size_of},
    key::{KeySchema, Place},
    throughput::Throughput,
};

/// Where a table is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TablePhase {
    /// Being made until this time.
    Creating(Timestamp),
    Active,
    /// Being changed until this time.
    Updating(Timestamp),
    /// Being removed until this time.
    Deleting(Timestamp),
}

/// What can be said about a table beside its keys and items.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) throughput: Throughput,
    /// When the table last became one that is paid by request.
    pub(super) on_demand_since: Option<Timestamp>,
    pub(super) deletion_protection: bool,
    pub(super) table_class: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
    /// The days that backups reach back, if they are on.
    pub(super) recovery_days: Option<i64>,
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) schema: KeySchema,
    pub(super) settings: Settings,
    pub(super) created_at: Timestamp,
    pub(super) phase: TablePhase,
    pub(super) costs: TableCosts,
    items: BTreeMap<Place, Item>,
    indexes: BTreeMap<String, Index>,
    item_bytes: usize,
    footprint: usize,
}

impl Table {
    pub(super) const fn new(
        name: String,
        schema: KeySchema,
        settings: Settings,
        created_at: Timestamp,
        phase: TablePhase,
    ) -> Self {
        Self {
            name,
            schema,
            settings,
            created_at,
            phase,
            costs: TableCosts::new(),
            items: BTreeMap::new(),
            indexes: BTreeMap::new(),
            item_bytes: 0,
            footprint: 0,
        }
    }

    /// Ends the changes that were to end by `now`. Returns whether the table is still there.
    pub(super) fn settle(&mut self, now: Timestamp) -> bool {
        match self.phase {
            TablePhase::Deleting(until) if until <= now => return false,
            TablePhase::Creating(until) | TablePhase::Updating(until) if until <= now => {
                self.phase = TablePhase::Active;
            }
            _ => {}
        }
        let gone = |index: &Index| matches!(index.phase, IndexPhase::Deleting(until) if until <= now);
        let removed: Vec<_> = self.indexes.extract_if(.., |_, index| gone(index)).collect();
        self.footprint -= removed.iter().map(|(_, index)| index.footprint()).sum::<usize>();
        for index in self.indexes.values_mut() {
            if matches!(index.phase, IndexPhase::Creating(until) if until <= now) {
                index.phase = IndexPhase::Active;
            }
        }
        true
    }

    pub(super) fn item(&self, place: &Place) -> Option<&Item> {
        self.items.get(place)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The bytes that the service counts for the items.
    pub(super) const fn item_bytes(&self) -> usize {
        self.item_bytes
    }

    /// The bytes that the table counts for against the broker's limit.
    pub(super) const fn footprint(&self) -> usize {
        self.footprint
    }

    /// The indexes, in the order of their names.
    pub(super) fn indexes(&self) -> impl Iterator<Item = &Index> {
        self.indexes.values()
    }

    pub(super) fn index_mut(&mut self, name: &str) -> Option<&mut Index> {
        self.indexes.get_mut(name)
    }

    /// The index that a request reads.
    pub(super) fn readable_index(&self, name: &str) -> Result<&Index, DynamoError> {
        match self.indexes.get(name) {
            None => Err(DynamoError::invalid(format!(
                "The table does not have the specified index: {name}"
            ))),
            Some(index) if matches!(index.phase, IndexPhase::Creating(_)) => Err(DynamoError::invalid(format!(
                "Cannot read from backfilling global secondary index: {name}"
            ))),
            Some(index) => Ok(index),
        }
    }

    /// About what an index takes in memory with the items that it applies to.
    pub(super) fn index_footprint(&self, index: &Index) -> usize {
        let entries = self
            .items
            .iter()
            .map(|(place, item)| index.entry_footprint(place, item));
        entries.sum()
    }

    /// Adds an index, with the items that it applies to.
    pub(super) fn add_index(&mut self, mut index: Index) {
        for (place, item) in &self.items {
            index.follow(place, None, Some(item));
        }
        self.footprint += index.footprint();
        self.indexes.insert(index.name.clone(), index);
    }

    /// Refuses an item that may not be written to this table.
    pub(super) fn check(&self, item: &Item) -> Result<(), DynamoError> {
        check_size(item)?;
        self.indexes.values().try_for_each(|index| index.check(item))
    }

    /// What it costs to write `new` where `old` was. Writing nothing where nothing was costs a unit too.
    pub(super) fn write_units(&self, old: Option<&Item>, new: Option<&Item>) -> Units {
        let bytes = |item: Option<&Item>| item.map_or(0, size_of);
        let mut units = Units::write(bytes(old).max(bytes(new)));
        for index in self.indexes.values() {
            for bytes in index.written(&self.schema, old, new) {
                units.add_index_write(&index.name, bytes);
            }
        }
        units
    }

    /// How much [`footprint`](Self::footprint) grows if `new` is written where `old` was.
    pub(super) fn growth(&self, place: &Place, old: Option<&Item>, new: Option<&Item>) -> usize {
        let weight = |item: Option<&Item>| item.map_or(0, |item| self.weight(place, item));
        weight(new).saturating_sub(weight(old))
    }

    fn weight(&self, place: &Place, item: &Item) -> usize {
        let entries = self.indexes.values().map(|index| index.entry_footprint(place, item));
        footprint(item) + entries.sum::<usize>()
    }

    /// Writes an item, or removes the one that is there. Returns the one that was.
    pub(super) fn write(&mut self, place: &Place, new: Option<Item>) -> Option<Item> {
        let new_weight = new.as_ref().map_or(0, |item| self.weight(place, item));
        let new_bytes = new.as_ref().map_or(0, size_of);
        let old = self.items.get(place);
        for index in self.indexes.values_mut() {
            index.follow(place, old, new.as_ref());
        }
        let old = match new {
            Some(item) => self.items.insert(place.clone(), item),
            None => self.items.remove(place),
        };
        self.footprint = self.footprint + new_weight - old.as_ref().map_or(0, |item| self.weight(place, item));
        self.item_bytes = self.item_bytes + new_bytes - old.as_ref().map_or(0, size_of);
        old
    }

    /// The items in a part of the table's order, or of an index's.
    pub(super) fn walk<'a>(
        &'a self,
        index: Option<&'a Index>,
        Span { from, to }: Span,
    ) -> Box<dyn DoubleEndedIterator<Item = &'a Item> + 'a> {
        match index {
            None => {
                let bounds = (from.map(|(place, _)| place), to.map(|(place, _)| place));
                if is_empty(&bounds) {
                    return Box::new(std::iter::empty());
                }
                Box::new(self.items.range(bounds).map(|(_, item)| item))
            }
            Some(_) if is_empty(&(from.clone(), to.clone())) => Box::new(std::iter::empty()),
            Some(index) => Box::new(
                index
                    .entries()
                    .range((from, to))
                    .filter_map(|(_, place)| self.items.get(place)),
            ),
        }
    }
}

/// A place in an index and the place of the same item in the table. In the table's own order only the first counts.
pub(super) type Cursor = (Place, Place);

/// A part of an order.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) from: Bound<Cursor>,
    pub(super) to: Bound<Cursor>,
}

/// Whether nothing lies within bounds, for which maps have no answer but a panic.
fn is_empty<T: Ord>(bounds: &(Bound<T>, Bound<T>)) -> bool {
    match bounds {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
    }
}
