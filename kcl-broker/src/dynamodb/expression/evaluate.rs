//! Whether an item meets a condition.

use std::cmp::Ordering;

use super::{Comparator, Condition, Operand};
use crate::dynamodb::{item::Item, value::AttributeValue};

impl AttributeValue {
    /// How two values compare, if they are of one type that has an order.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::S(a), Self::S(b)) => Some(a.cmp(b)),
            (Self::N(a), Self::N(b)) => Some(a.cmp(b)),
            (Self::B(a), Self::B(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    fn begins_with(&self, prefix: &Self) -> bool {
        match (self, prefix) {
            (Self::S(text), Self::S(prefix)) => text.starts_with(prefix),
            (Self::B(bytes), Self::B(prefix)) => bytes.starts_with(prefix),
            _ => false,
        }
    }

    /// Whether a text has a part, or a list or a set an element.
    fn contains(&self, element: &Self) -> bool {
        match (self, element) {
            (Self::S(text), Self::S(part)) => text.contains(part.as_str()),
            (Self::B(bytes), Self::B(part)) => {
                part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
            }
            (Self::L(elements), _) => elements.contains(element),
            (Self::Ss(set), Self::S(text)) => set.contains(text),
            (Self::Ns(set), Self::N(number)) => set.contains(number),
            (Self::Bs(set), Self::B(bytes)) => set.contains(bytes),
            _ => false,
        }
    }
}

impl Condition {
    /// Whether `item` meets the condition. An item that is not there is one without attributes.
    pub(in crate::dynamodb) fn holds(&self, item: &Item) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(item)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(item)),
            Self::Not(condition) => !condition.holds(item),
            Self::Compare(comparator, left, right) => compare(*comparator, left, right, item),
            Self::Between(operand, low, high) => {
                compare(Comparator::GreaterOrEqual, operand, low, item)
                    && compare(Comparator::LessOrEqual, operand, high, item)
            }
            Self::In(operand, list) => list
                .iter()
                .any(|other| compare(Comparator::Equal, operand, other, item)),
            Self::Exists(path) => path.find(item).is_some(),
            Self::NotExists(path) => path.find(item).is_none(),
            Self::HasType(operand, wanted) => both(operand, wanted, item, |value, wanted| match wanted {
                AttributeValue::S(name) => value.type_name() == name,
                _ => false,
            }),
            Self::BeginsWith(operand, prefix) => both(operand, prefix, item, AttributeValue::begins_with),
            Self::Contains(operand, element) => both(operand, element, item, AttributeValue::contains),
        }
    }
}

impl Condition {
    /// Whether the condition says something about this attribute.
    pub(in crate::dynamodb) fn mentions(&self, attribute: &str) -> bool {
        let operand = |operand: &Operand| operand.mentions(attribute);
        match self {
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().any(|condition| condition.mentions(attribute))
            }
            Self::Not(condition) => condition.mentions(attribute),
            Self::Compare(_, left, right)
            | Self::HasType(left, right)
            | Self::BeginsWith(left, right)
            | Self::Contains(left, right) => operand(left) || operand(right),
            Self::Between(left, low, high) => operand(left) || operand(low) || operand(high),
            Self::In(left, list) => operand(left) || list.iter().any(operand),
            Self::Exists(path) | Self::NotExists(path) => path.attribute() == attribute,
        }
    }
}

impl Operand {
    fn mentions(&self, attribute: &str) -> bool {
        match self {
            Self::Path(path) => path.attribute() == attribute,
            Self::Value(_) => false,
            Self::Size(operand) => operand.mentions(attribute),
        }
    }
}

/// A comparison with a value that is missing is false, except for inequality.
fn compare(comparator: Comparator, left: &Operand, right: &Operand, item: &Item) -> bool {
    if comparator == Comparator::NotEqual {
        return !compare(Comparator::Equal, left, right, item);
    }
    both(left, right, item, |left, right| match comparator {
        Comparator::Equal => left == right,
        Comparator::NotEqual => left != right,
        Comparator::Less => left.order(right).is_some_and(Ordering::is_lt),
        Comparator::LessOrEqual => left.order(right).is_some_and(Ordering::is_le),
        Comparator::Greater => left.order(right).is_some_and(Ordering::is_gt),
        Comparator::GreaterOrEqual => left.order(right).is_some_and(Ordering::is_ge),
    })
}

/// Whether both operands have a value, and `holds` is true of them.
fn both(
    left: &Operand,
    right: &Operand,
    item: &Item,
    holds: impl FnOnce(&AttributeValue, &AttributeValue) -> bool,
) -> bool {
    match (left.resolve(item), right.resolve(item)) {
        (Some(left), Some(right)) => holds(&left, &right),
        _ => false,
    }
}
