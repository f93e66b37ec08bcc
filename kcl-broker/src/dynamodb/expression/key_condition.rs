//! [`KeyCondition`]: which items a query reads.

use super::{Comparator, Condition, Operand};
use crate::dynamodb::{
    error::DynamoError,
    key::{KeyAttribute, KeySchema, KeyValue},
    value::AttributeValue,
};

/// What must be true of the range key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dynamodb) enum RangeCondition<T> {
    Compare(Comparator, T),
    Between(T, T),
    BeginsWith(T),
}

/// Conditions on one or two attributes, not yet held against a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dynamodb) struct KeyCondition {
    parts: Vec<(String, RangeCondition<AttributeValue>)>,
}

impl<T> RangeCondition<T> {
    fn map<U>(self, mut convert: impl FnMut(T) -> Option<U>) -> Option<RangeCondition<U>> {
        Some(match self {
            Self::Compare(comparator, value) => RangeCondition::Compare(comparator, convert(value)?),
            Self::Between(low, high) => RangeCondition::Between(convert(low)?, convert(high)?),
            Self::BeginsWith(prefix) => RangeCondition::BeginsWith(convert(prefix)?),
        })
    }
}

impl KeyCondition {
    /// A condition that is one on keys, if it is one.
    pub(in crate::dynamodb) fn of(condition: Condition) -> Result<Self, DynamoError> {
        let mut parts = Vec::new();
        collect(condition, &mut parts)?;
        let mut names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(DynamoError::invalid(
                "KeyConditionExpressions must only contain one condition per key",
            ));
        }
        if parts.len() > 2 {
            return Err(DynamoError::invalid("Conditions can be of length 1 or 2 only"));
        }
        Ok(Self { parts })
    }

    /// The hash key that is queried, and what must be true of the range key.
    pub(in crate::dynamodb) fn against(
        mut self,
        schema: &KeySchema,
    ) -> Result<(KeyValue, Option<RangeCondition<KeyValue>>), DynamoError> {
        let unsupported = || DynamoError::invalid("Query key condition not supported");
        let RangeCondition::Compare(Comparator::Equal, hash) = self.take(&schema.hash)? else {
            return Err(unsupported());
        };
        let range = match &schema.range {
            Some(attribute) if !self.parts.is_empty() => Some(self.take(attribute)?),
            _ => None,
        };
        if self.parts.is_empty() {
            Ok((hash, range))
        } else {
            Err(unsupported())
        }
    }

    fn take(&mut self, attribute: &KeyAttribute) -> Result<RangeCondition<KeyValue>, DynamoError> {
        let KeyAttribute { name, kind } = attribute;
        let Some(at) = self.parts.iter().position(|(part, _)| part == name) else {
            return Err(DynamoError::invalid(format!(
                "Query condition missed key schema element: {name}"
            )));
        };
        let (_, condition) = self.parts.swap_remove(at);
        condition
            .map(|value| KeyValue::of(&value, *kind))
            .ok_or_else(|| DynamoError::invalid_value("Condition parameter type does not match schema type"))
    }
}

fn collect(condition: Condition, parts: &mut Vec<(String, RangeCondition<AttributeValue>)>) -> Result<(), DynamoError> {
    let operator =
        |name: &str| DynamoError::invalid(format!("Invalid operator used in KeyConditionExpression: {name}"));
    let part = match condition {
        Condition::All(conditions) => {
            return conditions
                .into_iter()
                .try_for_each(|condition| collect(condition, parts));
        }
        Condition::Compare(Comparator::NotEqual, ..) => return Err(operator("<>")),
        Condition::Compare(comparator, Operand::Value(value), path @ Operand::Path(_)) => {
            (name_of(path)?, RangeCondition::Compare(mirrored(comparator), value))
        }
        Condition::Compare(comparator, path, value) => {
            (name_of(path)?, RangeCondition::Compare(comparator, value_of(value)?))
        }
        Condition::Between(path, low, high) => {
            (name_of(path)?, RangeCondition::Between(value_of(low)?, value_of(high)?))
        }
        Condition::BeginsWith(path, prefix) => (name_of(path)?, RangeCondition::BeginsWith(value_of(prefix)?)),
        Condition::Any(_) => return Err(operator("OR")),
        Condition::Not(_) => return Err(operator("NOT")),
        Condition::In(..) => return Err(operator("IN")),
        Condition::Exists(_) => return Err(operator("attribute_exists")),
        Condition::NotExists(_) => return Err(operator("attribute_not_exists")),
        Condition::HasType(..) => return Err(operator("attribute_type")),
        Condition::Contains(..) => return Err(operator("contains")),
    };
    parts.push(part);
    Ok(())
}

fn name_of(operand: Operand) -> Result<String, DynamoError> {
    match operand {
        Operand::Path(path) if path.is_nested() => Err(DynamoError::invalid(
            "KeyConditionExpressions cannot have conditions on nested attributes",
        )),
        Operand::Path(path) => Ok(path.attribute().to_owned()),
        Operand::Value(_) => Err(DynamoError::invalid(
            "Invalid condition in KeyConditionExpression: No key attribute specified",
        )),
        Operand::Size(_) => Err(nested()),
    }
}

fn value_of(operand: Operand) -> Result<AttributeValue, DynamoError> {
    match operand {
        Operand::Value(value) => Ok(value),
        Operand::Path(_) => Err(DynamoError::invalid(
            "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
        )),
        Operand::Size(_) => Err(nested()),
    }
}

fn nested() -> DynamoError {
    DynamoError::invalid("KeyConditionExpressions cannot contain nested operations")
}

/// The comparison with its sides exchanged.
const fn mirrored(comparator: Comparator) -> Comparator {
    match comparator {
        Comparator::Less => Comparator::Greater,
        Comparator::LessOrEqual => Comparator::GreaterOrEqual,
        Comparator::Greater => Comparator::Less,
        Comparator::GreaterOrEqual => Comparator::LessOrEqual,
        other => other,
    }
}
