//! Expressions: conditions, updates, projections and key conditions, from their text to what they do.

mod apply;
mod condition;
mod evaluate;
mod key_condition;
mod lexer;
mod operand;
mod path;
mod placeholders;
mod projection;
mod reserved;
mod update;

#[cfg(test)]
mod tests;

pub(super) use self::{
    condition::{Comparator, Condition},
    key_condition::{KeyCondition, RangeCondition},
    operand::Operand,
    path::Path,
    placeholders::Placeholders,
    projection::Projection,
    update::{Action, SetValue, Update},
};

/// The most bytes of an expression.
const BYTES_MAX: usize = 4096;
/// The most levels of brackets, negations and functions: what recursion is bounded by.
const DEPTH_MAX: usize = 64;

/// What an expression is for, by the name of the request's member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Condition,
    Filter,
    KeyCondition,
    Projection,
    Update,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "ConditionExpression",
            Self::Filter => "FilterExpression",
            Self::KeyCondition => "KeyConditionExpression",
            Self::Projection => "ProjectionExpression",
            Self::Update => "UpdateExpression",
        }
    }
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault(String);

impl Fault {
    /// An operator or a function that has the wrong number of operands.
    fn operand_count(name: &str, count: usize) -> Self {
        Self(format!(
            "Incorrect number of operands for operator or function; operator or function: {name}, number of operands: {count}"
        ))
    }

    /// An operator or a function that has an operand of the wrong type.
    fn operand_type(name: &str, type_name: &str) -> Self {
        Self(format!(
            "Incorrect operand type for operator or function; operator or function: {name}, operand type: {type_name}"
        ))
    }
}
