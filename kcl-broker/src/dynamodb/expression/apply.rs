//! What an update makes of an item.

use std::collections::BTreeSet;

use super::{Action, Path, SetValue, Update, path::Step};
use crate::dynamodb::{error::DynamoError, item::Item, value::AttributeValue};

impl Update {
    /// Changes `item`, every value in the update meaning the item as it was before.
    ///
    /// Returns whether the item is there afterwards, given whether it was there before. After an error the item may be
    /// changed in part.
    pub(in crate::dynamodb) fn apply(&self, item: &mut Item, exists: bool) -> Result<bool, DynamoError> {
        let before = item.clone();
        let mut removed = Vec::new();
        let mut added_elements = Vec::new();
        for action in &self.actions {
            match action {
                Action::Set(path, value) => {
                    let value = value.resolve(&before)?;
                    // What goes to the end of a list must wait, in order, until what is removed is gone.
                    match (path.steps.last(), parent_mut(item, path)?) {
                        (Some(Step::Element(index)), Parent::List(list)) if *index >= list.len() => {
                            added_elements.push((path, value));
                        }
                        (_, parent) => parent.put(path, value),
                    }
                }
                Action::Add(path, value) => {
                    let sum = match path.find(item) {
                        Some(old) => add(old, value)?,
                        None => value.clone(),
                    };
                    parent_mut(item, path)?.put(path, sum);
                }
                Action::Delete(path, value) => {
                    let Some(old) = path.find(item) else { continue };
                    match subtract(old, value)? {
                        Some(rest) => parent_mut(item, path)?.put(path, rest),
                        None => removed.push(path),
                    }
                }
                Action::Remove(path) => removed.push(path),
            }
        }
        // Backwards, so that no removed element of a list moves another that is still to be removed.
        removed.sort_unstable();
        for path in removed.into_iter().rev() {
            parent_mut(item, path)?.remove(path);
        }
        added_elements.sort_unstable_by_key(|(path, _)| *path);
        for (path, value) in added_elements {
            parent_mut(item, path)?.put(path, value);
        }
        let only_removes = self.actions.iter().all(|action| matches!(action, Action::Remove(_)));
        Ok(exists || !(self.removes_without_making && only_removes && !self.actions.is_empty()))
    }
}

impl SetValue {
    fn resolve(&self, item: &Item) -> Result<AttributeValue, DynamoError> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Path(path) => path.find(item).cloned().ok_or_else(|| {
                DynamoError::invalid("The provided expression refers to an attribute that does not exist in the item")
            }),
            Self::IfNotExists(path, value) => match path.find(item) {
                Some(value) => Ok(value.clone()),
                None => value.resolve(item),
            },
            Self::ListAppend(first, second) => match (first.resolve(item)?, second.resolve(item)?) {
                (AttributeValue::L(mut first), AttributeValue::L(second)) => {
                    first.extend(second);
                    Ok(AttributeValue::L(first))
                }
                _ => Err(wrong_type()),
            },
            Self::Plus(left, right) | Self::Minus(left, right) => {
                let (AttributeValue::N(left), AttributeValue::N(right)) = (left.resolve(item)?, right.resolve(item)?)
                else {
                    return Err(wrong_type());
                };
                let result = match self {
                    Self::Minus(..) => left.checked_sub(right),
                    _ => left.checked_add(right),
                };
                result
                    .map(AttributeValue::N)
                    .map_err(|error| DynamoError::invalid(error.to_string()))
            }
        }
    }
}

fn add(old: &AttributeValue, value: &AttributeValue) -> Result<AttributeValue, DynamoError> {
    match (old, value) {
        (AttributeValue::N(old), AttributeValue::N(value)) => old
            .checked_add(*value)
            .map(AttributeValue::N)
            .map_err(|error| DynamoError::invalid(error.to_string())),
        (AttributeValue::Ss(old), AttributeValue::Ss(value)) => Ok(AttributeValue::Ss(old | value)),
        (AttributeValue::Ns(old), AttributeValue::Ns(value)) => Ok(AttributeValue::Ns(old | value)),
        (AttributeValue::Bs(old), AttributeValue::Bs(value)) => Ok(AttributeValue::Bs(old | value)),
        _ => Err(wrong_type()),
    }
}

/// What is left of a set; nothing if it would be empty, because there are no empty sets.
fn subtract(old: &AttributeValue, value: &AttributeValue) -> Result<Option<AttributeValue>, DynamoError> {
    fn rest<T: Ord + Clone>(
        old: &BTreeSet<T>,
        value: &BTreeSet<T>,
        wrap: fn(BTreeSet<T>) -> AttributeValue,
    ) -> Option<AttributeValue> {
        let rest = old - value;
        (!rest.is_empty()).then(|| wrap(rest))
    }
    match (old, value) {
        (AttributeValue::Ss(old), AttributeValue::Ss(value)) => Ok(rest(old, value, AttributeValue::Ss)),
        (AttributeValue::Ns(old), AttributeValue::Ns(value)) => Ok(rest(old, value, AttributeValue::Ns)),
        (AttributeValue::Bs(old), AttributeValue::Bs(value)) => Ok(rest(old, value, AttributeValue::Bs)),
        _ => Err(wrong_type()),
    }
}

/// What holds the value at the end of a path.
enum Parent<'a> {
    Item(&'a mut Item),
    List(&'a mut Vec<AttributeValue>),
}

/// What holds the value at the end of `path`, which must be there and be of the kind that the last step needs.
fn parent_mut<'a>(item: &'a mut Item, path: &Path) -> Result<Parent<'a>, DynamoError> {
    let Some((last, steps)) = path.steps.split_last() else {
        return Ok(Parent::Item(item));
    };
    let mut value = item.get_mut(&path.attribute).ok_or_else(no_such_place)?;
    for step in steps {
        value = match (step, value) {
            (Step::Member(name), AttributeValue::M(members)) => members.get_mut(name),
            (Step::Element(index), AttributeValue::L(elements)) => elements.get_mut(*index),
            _ => None,
        }
        .ok_or_else(no_such_place)?;
    }
    match (last, value) {
        (Step::Member(_), AttributeValue::M(members)) => Ok(Parent::Item(members)),
        (Step::Element(_), AttributeValue::L(elements)) => Ok(Parent::List(elements)),
        _ => Err(no_such_place()),
    }
}

impl Parent<'_> {
    fn put(self, path: &Path, value: AttributeValue) {
        match (self, path.steps.last()) {
            (Self::List(list), Some(Step::Element(index))) => match list.get_mut(*index) {
                Some(element) => *element = value,
                None => list.push(value),
            },
            (Self::Item(members), Some(Step::Member(name))) => {
                members.insert(name.clone(), value);
            }
            (Self::Item(attributes), _) => {
                attributes.insert(path.attribute.clone(), value);
            }
            (Self::List(_), _) => {}
        }
    }

    fn remove(self, path: &Path) {
        match (self, path.steps.last()) {
            (Self::List(list), Some(Step::Element(index))) => {
                if *index < list.len() {
                    list.remove(*index);
                }
            }
            (Self::Item(members), Some(Step::Member(name))) => {
                members.remove(name);
            }
            (Self::Item(attributes), _) => {
                attributes.remove(&path.attribute);
            }
            (Self::List(_), _) => {}
        }
    }
}

fn no_such_place() -> DynamoError {
    DynamoError::invalid("The document path provided in the update expression is invalid for update")
}

fn wrong_type() -> DynamoError {
    DynamoError::invalid("An operand in the update expression has an incorrect data type")
}
