//! One alternative of a leaf: a test of a value.

use std::cmp::Ordering;

use super::{found::Found, number};

/// A test of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ValueTest {
    Is(Scalar),
    Exists(bool),
    Prefix(Box<str>),
    Suffix(Box<str>),
    EqualsIgnoreCase(Box<str>),
    AnythingBut(Vec<Scalar>),
    Numeric(Vec<(Comparison, Box<str>)>),
}

/// A value in a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Text(Box<str>),
    /// The digits: these are compared.
    Number(Box<str>),
    Bool(bool),
    Null,
}

/// How a number stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl ValueTest {
    /// Whether what was `found` under the name passes. Of a list one element must.
    pub(super) fn passes(&self, found: &Found<'_>) -> bool {
        match self {
            Self::Exists(wanted) => found.any_value(&mut |_| true) == *wanted,
            _ => found.any_value(&mut |value| self.passes_value(value)),
        }
    }

    fn passes_value(&self, value: &Found<'_>) -> bool {
        let text = match value {
            Found::Text(text) => Some(&**text),
            _ => None,
        };
        match self {
            Self::Is(scalar) => scalar.is(value),
            Self::Exists(wanted) => *wanted,
            Self::Prefix(prefix) => text.is_some_and(|text| text.starts_with(&**prefix)),
            Self::Suffix(suffix) => text.is_some_and(|text| text.ends_with(&**suffix)),
            Self::EqualsIgnoreCase(wanted) => text.is_some_and(|text| folded(text).eq(folded(wanted))),
            Self::AnythingBut(scalars) => !scalars.iter().any(|scalar| scalar.is(value)),
            Self::Numeric(bounds) => match value {
                Found::Number(number) => bounds.iter().all(|(comparison, bound)| comparison.holds(number, bound)),
                _ => false,
            },
        }
    }
}

impl Scalar {
    fn is(&self, value: &Found<'_>) -> bool {
        match (self, value) {
            (Self::Text(wanted), Found::Text(text)) => **wanted == **text,
            (Self::Number(wanted), Found::Number(number)) => **wanted == **number,
            (Self::Bool(wanted), Found::Bool(value)) => wanted == value,
            (Self::Null, Found::Null) => true,
            _ => false,
        }
    }
}

impl Comparison {
    pub(super) fn of(text: &str) -> Option<Self> {
        match text {
            "=" => Some(Self::Equal),
            "<" => Some(Self::Less),
            "<=" => Some(Self::LessOrEqual),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::GreaterOrEqual),
            _ => None,
        }
    }

    /// Whether it says how small a number may be.
    pub(super) fn is_lower_bound(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }

    /// Whether it says how large a number may be.
    pub(super) fn is_upper_bound(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual)
    }

    fn holds(self, number: &str, bound: &str) -> bool {
        let order = number::compare(number, bound);
        match self {
            Self::Equal => order == Ordering::Equal,
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual => order != Ordering::Less,
        }
    }
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}
