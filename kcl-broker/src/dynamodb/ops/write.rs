//! Conditional writes of one item: what single writes, batches and transactions are made of.

use crate::dynamodb::{
    Tables,
    capacity::Units,
    error::{DynamoError, DynamoErrorKind},
    expression::{Condition, Update},
    item::{Item, size_of},
    key::{KeySchema, Place},
    request::choice,
    table::Table,
};

/// What a write does if its condition holds.
#[derive(Debug)]
pub(super) enum Change {
    Put(Item),
    /// Updates the item, or one that has only this key if there is none.
    Update(Update, Item),
    Delete,
    /// Nothing: only the condition counts.
    Check,
}

/// One conditional write.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) place: Place,
    pub(super) condition: Option<Condition>,
    pub(super) change: Change,
    /// Whether the item is shown if the condition fails.
    pub(super) shows_item: bool,
}

impl Write {
    /// The item as it will be, if the write is allowed. Nothing has changed yet.
    pub(super) fn plan(self, table: &Table) -> Result<Planned, DynamoError> {
        let old = table.item(&self.place);
        if let Some(condition) = &self.condition
            && !condition.holds(old.unwrap_or(&Item::new()))
        {
            return Err(DynamoError::condition_failed(old.filter(|_| self.shows_item).cloned()));
        }
        let new = match self.change {
            Change::Put(item) => Some(item),
            Change::Update(update, key) => {
                let mut item = old.cloned().unwrap_or(key);
                let exists = update.apply(&mut item, old.is_some())?;
                exists.then_some(item)
            }
            Change::Delete => None,
            Change::Check => {
                return Ok(Planned {
                    units: Units::write(old.map_or(0, size_of)),
                    bytes: old.map_or(0, size_of),
                    growth: 0,
                    place: self.place,
                    outcome: Outcome::Unchanged,
                });
            }
        };
        if let Some(item) = &new {
            table.check(item)?;
        }
        Ok(Planned {
            units: table.write_units(old, new.as_ref()),
            bytes: new.as_ref().map_or(0, size_of),
            growth: table.growth(&self.place, old, new.as_ref()),
            place: self.place,
            outcome: Outcome::Written(new),
        })
    }
}

/// A write that is allowed.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) units: Units,
    /// The bytes of the item as it will be.
    pub(super) bytes: usize,
    /// How much the table's footprint grows.
    pub(super) growth: usize,
    place: Place,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Unchanged,
    Written(Option<Item>),
}

impl Planned {
    /// Carries the write out. Returns the item that was there.
    pub(super) fn apply(self, table: &mut Table) -> Option<Item> {
        match self.outcome {
            Outcome::Unchanged => None,
            Outcome::Written(new) => table.write(&self.place, new),
        }
    }
}

impl Tables {
    /// Plans and carries out one write on its own, and counts what it costs. Returns that and the item that was there.
    pub(super) fn write(
        &mut self,
        name: &str,
        operation: &'static str,
        write: Write,
    ) -> Result<(Units, Option<Item>), DynamoError> {
        let table = self.table(name)?;
        let seen = table.item(&write.place).map_or(0, size_of);
        let planned = match write.plan(table) {
            Ok(planned) => planned,
            Err(error) => {
                // The service counts a write whose condition fails by the item that it looked at.
                if error.kind() == DynamoErrorKind::ConditionalCheckFailed {
                    self.table_mut(name)?.costs.add(operation, &Units::write(seen));
                }
                return Err(error);
            }
        };
        self.check_room(planned.growth)?;
        let units = planned.units.clone();
        let table = self.table_mut(name)?;
        table.costs.add(operation, &units);
        let old = planned.apply(table);
        Ok((units, old))
    }
}

/// Refuses an update of attributes that are part of the key.
pub(super) fn check_no_key(update: &Update, schema: &KeySchema) -> Result<(), DynamoError> {
    match update.attributes().find(|name| schema.contains(name)) {
        Some(name) => Err(DynamoError::invalid_value(format_args!(
            "Cannot update attribute {name}. This attribute is part of the key"
        ))),
        None => Ok(()),
    }
}

/// Whether a write shows the item if its condition fails.
pub(super) fn shows_item(given: Option<&str>) -> Result<bool, DynamoError> {
    let path = "returnValuesOnConditionCheckFailure";
    Ok(choice(path, given, &["ALL_OLD", "NONE"])? == Some("ALL_OLD"))
}
