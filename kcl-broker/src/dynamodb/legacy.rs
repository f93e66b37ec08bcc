//! The parameters that came before expressions, in which Java's KCL still writes its leases.
//!
//! They are turned into what expressions are turned into, so that both mean the same.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    error::DynamoError,
    expression::{Action, Comparator, Condition, Operand, Path, SetValue, Update},
    request,
    value::{AttributeValue, RawValue},
};

/// What `Expected` says of one attribute.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Expectation {
    value: Option<RawValue>,
    exists: Option<bool>,
    comparison_operator: Option<String>,
    attribute_value_list: Option<Vec<RawValue>>,
}

/// What `KeyConditions`, `QueryFilter` and `ScanFilter` say of one attribute.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Comparison {
    comparison_operator: Option<String>,
    attribute_value_list: Option<Vec<RawValue>>,
}

/// What `AttributeUpdates` says of one attribute.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct AttributeUpdate {
    action: Option<String>,
    value: Option<RawValue>,
}

const COMPARISON_OPERATORS: [&str; 13] = [
    "IN",
    "NULL",
    "BETWEEN",
    "LT",
    "NOT_CONTAINS",
    "EQ",
    "GT",
    "NOT_NULL",
    "NE",
    "LE",
    "BEGINS_WITH",
    "GE",
    "CONTAINS",
];

/// How several conditions are joined: `AND` unless the request says `OR`.
fn joined(conditions: Vec<Condition>, operator: Option<&str>) -> Result<Option<Condition>, DynamoError> {
    let operator = request::choice("conditionalOperator", operator, &["OR", "AND"])?;
    if conditions.is_empty() {
        return match operator {
            Some(_) => Err(DynamoError::invalid(
                "ConditionalOperator cannot be used without Filter or Expected",
            )),
            None => Ok(None),
        };
    }
    Ok(Some(match operator {
        Some("OR") => Condition::Any(conditions),
        _ => Condition::All(conditions),
    }))
}

/// What `Expected` says.
pub(super) fn expected(
    expected: Option<BTreeMap<String, Expectation>>,
    operator: Option<&str>,
) -> Result<Option<Condition>, DynamoError> {
    let conditions = expected
        .into_iter()
        .flatten()
        .map(|(name, expectation)| expectation.into_condition(name));
    joined(conditions.collect::<Result<_, _>>()?, operator)
}

/// What `QueryFilter` or `ScanFilter` says.
pub(super) fn filter(
    filter: Option<BTreeMap<String, Comparison>>,
    operator: Option<&str>,
) -> Result<Option<Condition>, DynamoError> {
    let conditions = filter
        .into_iter()
        .flatten()
        .map(|(name, comparison)| comparison.into_condition(name));
    joined(conditions.collect::<Result<_, _>>()?, operator)
}

/// What `KeyConditions` says.
pub(super) fn key_conditions(conditions: BTreeMap<String, Comparison>) -> Result<Condition, DynamoError> {
    let conditions = conditions
        .into_iter()
        .map(|(name, comparison)| comparison.into_condition(name));
    Ok(Condition::All(conditions.collect::<Result<_, _>>()?))
}

/// What `AttributeUpdates` says.
pub(super) fn updates(updates: BTreeMap<String, AttributeUpdate>) -> Result<Update, DynamoError> {
    let actions = updates
        .into_iter()
        .map(|(name, update)| update.into_action(name))
        .collect::<Result<_, _>>()?;
    Ok(Update::of_attributes(actions))
}

impl Expectation {
    fn into_condition(self, name: String) -> Result<Condition, DynamoError> {
        let together = |first: &str, second: &str| {
            DynamoError::invalid_value(format_args!(
                "{first} and {second} cannot be used together for Attribute: {name}"
            ))
        };
        match self {
            Self {
                value: Some(_),
                attribute_value_list: Some(_),
                ..
            } => Err(together("Value", "AttributeValueList")),
            Self {
                exists: Some(_),
                comparison_operator: Some(_),
                ..
            } => Err(together("Exists", "ComparisonOperator")),
            Self {
                comparison_operator: Some(operator),
                value,
                attribute_value_list,
                ..
            } => Comparison {
                comparison_operator: Some(operator),
                attribute_value_list: attribute_value_list.or_else(|| value.map(|value| vec![value])),
            }
            .into_condition(name),
            Self {
                attribute_value_list: Some(_),
                ..
            } => Err(DynamoError::invalid_value(format_args!(
                "AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}"
            ))),
            Self {
                exists: Some(false),
                value: Some(_),
                ..
            } => Err(DynamoError::invalid_value(format_args!(
                "Value cannot be used when Exists is false for Attribute: {name}"
            ))),
            Self {
                exists: Some(false), ..
            } => Ok(Condition::NotExists(Path::to_attribute(name))),
            Self { value: Some(value), .. } => {
                let value = value.checked().map_err(DynamoError::invalid)?;
                Ok(compare(Comparator::Equal, name, value))
            }
            Self { exists, .. } => Err(DynamoError::invalid_value(format_args!(
                "Value must be provided when Exists is {} for Attribute: {name}",
                if exists.is_some() { "true" } else { "null" }
            ))),
        }
    }
}

fn compare(comparator: Comparator, name: String, value: AttributeValue) -> Condition {
    Condition::Compare(comparator, attribute(name), Operand::Value(value))
}

fn attribute(name: String) -> Operand {
    Operand::Path(Path::to_attribute(name))
}

impl Comparison {
    fn into_condition(self, name: String) -> Result<Condition, DynamoError> {
        let operator = self.comparison_operator.as_deref();
        let operator = request::choice("comparisonOperator", operator, &COMPARISON_OPERATORS)?;
        let operator = request::required("comparisonOperator", operator)?;
        let values = self
            .attribute_value_list
            .unwrap_or_default()
            .into_iter()
            .map(|value| value.checked().map_err(DynamoError::invalid))
            .collect::<Result<Vec<_>, _>>()?;
        let wrong_count = || {
            DynamoError::invalid_value(format_args!(
                "Invalid number of argument(s) for the {operator} ComparisonOperator"
            ))
        };
        check_types(operator, &values)?;
        let one = |values: Vec<_>| <[AttributeValue; 1]>::try_from(values).map_err(|_| wrong_count());
        let comparator = match operator {
            "EQ" => Some(Comparator::Equal),
            "NE" => Some(Comparator::NotEqual),
            "LT" => Some(Comparator::Less),
            "LE" => Some(Comparator::LessOrEqual),
            "GT" => Some(Comparator::Greater),
            "GE" => Some(Comparator::GreaterOrEqual),
            _ => None,
        };
        if let Some(comparator) = comparator {
            let [value] = one(values)?;
            return Ok(compare(comparator, name, value));
        }
        Ok(match operator {
            "NULL" | "NOT_NULL" if !values.is_empty() => return Err(wrong_count()),
            "NULL" => Condition::NotExists(Path::to_attribute(name)),
            "NOT_NULL" => Condition::Exists(Path::to_attribute(name)),
            "BEGINS_WITH" => {
                let [prefix] = one(values)?;
                Condition::BeginsWith(attribute(name), Operand::Value(prefix))
            }
            "BETWEEN" => {
                let [low, high] = <[AttributeValue; 2]>::try_from(values).map_err(|_| wrong_count())?;
                Condition::Between(attribute(name), Operand::Value(low), Operand::Value(high))
            }
            "IN" if values.is_empty() => return Err(wrong_count()),
            "IN" => Condition::In(attribute(name), values.into_iter().map(Operand::Value).collect()),
            _ => {
                let [element] = one(values)?;
                let contains = Condition::Contains(attribute(name), Operand::Value(element));
                match operator {
                    "NOT_CONTAINS" => Condition::Not(Box::new(contains)),
                    _ => contains,
                }
            }
        })
    }
}

/// Refuses values that an operator has no use for.
fn check_types(operator: &str, values: &[AttributeValue]) -> Result<(), DynamoError> {
    let allowed: &[&str] = match operator {
        "LT" | "LE" | "GT" | "GE" | "BETWEEN" => &["S", "N", "B"],
        "BEGINS_WITH" => &["S", "B"],
        _ => return Ok(()),
    };
    match values.iter().find(|value| !allowed.contains(&value.type_name())) {
        Some(value) => Err(DynamoError::invalid_value(format_args!(
            "ComparisonOperator {operator} is not valid for {} AttributeValue type",
            value.type_name()
        ))),
        None => Ok(()),
    }
}

impl AttributeUpdate {
    fn into_action(self, name: String) -> Result<Action, DynamoError> {
        let action = request::choice("action", self.action.as_deref(), &["ADD", "PUT", "DELETE"])?.unwrap_or("PUT");
        let path = Path::to_attribute(name);
        let Some(value) = self.value else {
            return match action {
                "DELETE" => Ok(Action::Remove(path)),
                _ => Err(DynamoError::invalid_value(
                    "Only DELETE action is allowed when no attribute value is specified",
                )),
            };
        };
        let value = value.checked().map_err(DynamoError::invalid)?;
        let is_set = matches!(
            value,
            AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_)
        );
        match action {
            "ADD" if is_set || matches!(value, AttributeValue::N(_)) => Ok(Action::Add(path, value)),
            "ADD" => Err(DynamoError::invalid_value(format_args!(
                "ADD action is not supported for the type {}",
                value.type_name()
            ))),
            "DELETE" if is_set => Ok(Action::Delete(path, value)),
            "DELETE" => Err(DynamoError::invalid_value(format_args!(
                "DELETE action with value is not supported for the type {}",
                value.type_name()
            ))),
            _ => Ok(Action::Set(path, SetValue::Value(value))),
        }
    }
}
