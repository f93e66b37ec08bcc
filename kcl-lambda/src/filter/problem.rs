//! What can be wrong with a pattern.

use super::PATTERN_CHARACTERS_MAX;

/// A pattern cannot be used: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {path}: {problem}")]
pub struct InvalidPattern {
    pub(super) path: String,
    pub(super) problem: PatternProblem,
}

impl InvalidPattern {
    /// Where in the pattern, such as `data.temperature[0].numeric`; `the top` for the whole of it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &PatternProblem {
        &self.problem
    }
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternProblem {
    /// It is too long.
    #[error("the pattern has {characters} characters, and {PATTERN_CHARACTERS_MAX} are allowed")]
    TooLong {
        /// How many characters it has.
        characters: usize,
    },
    /// It is not JSON.
    #[error("the pattern is not JSON ({reason})")]
    NotJson {
        /// What is wrong, and where.
        reason: String,
    },
    /// It must be an object there.
    #[error("a pattern must be an object such as {{\"data\":{{\"kind\":[\"order\"]}}}}")]
    NotAnObject,
    /// An object or a list has nothing in it.
    #[error("this is empty: it must say what to match")]
    Empty,
    /// A field comes twice.
    #[error("{name:?} comes twice: one of them would not count")]
    Twice {
        /// The field.
        name: String,
    },
    /// No record has such a field.
    #[error("records have no {name:?}: use data, and what the data has below it")]
    UnknownField {
        /// The field.
        name: String,
    },
    /// Lambda filters by data only.
    #[error("Lambda filters by data only: to filter by {name:?}, set KclExtensions.FilterByMetadata")]
    Metadata {
        /// The field.
        name: String,
    },
    /// The pattern of the data is not an object.
    #[error("the pattern of data must be an object: it is matched against data that is a JSON object")]
    DataIsNoObject,
    /// Metadata are values, with nothing below them.
    #[error("this is a value of the record with nothing below it: use a list of alternatives such as [\"key-7\"]")]
    NothingBelow,
    /// A value stands outside of a list.
    #[error("values to match stand in a list: write [{value}]")]
    ValueOutsideOfList {
        /// The value.
        value: String,
    },
    /// A list stands in a list.
    #[error("a list of alternatives holds values and operators, and no lists")]
    ListInList,
    /// An operator object has none or several members.
    #[error("an operator is an object with one member such as {{\"prefix\":\"a\"}}")]
    NotOneOperator,
    /// Lambda does not know the operator.
    #[error("{name:?} is an operator of EventBridge's event buses, and not to be had for records of a stream")]
    UnsupportedOperator {
        /// The operator; a nested one after a slash.
        name: String,
    },
    /// Nobody knows the operator.
    #[error(
        "there is no operator {name:?}: use exists, prefix, suffix, equals-ignore-case, anything-but or numeric; \
         fields below this one stand without the list"
    )]
    UnknownOperator {
        /// What stands there.
        name: String,
    },
    /// The operator is given what it cannot use.
    #[error("this operator needs {needs}")]
    Operand {
        /// What it needs.
        needs: &'static str,
    },
    /// `$or` is given what it cannot use.
    #[error("$or needs a list of two objects or more, each with fields to match")]
    Or,
}
