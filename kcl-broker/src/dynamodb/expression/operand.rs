//! [`Operand`]: what conditions compare.

use std::borrow::Cow;

use super::{
    Fault, Path, Placeholders,
    lexer::{Token, Tokens},
};
use crate::dynamodb::{
    item::Item,
    value::{AttributeValue, Number},
};

/// A value that is there, that lies in the item, or that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dynamodb) enum Operand {
    Path(Path),
    Value(AttributeValue),
    /// The size of a value.
    Size(Box<Self>),
}

impl Operand {
    /// Reads a path or a value's placeholder.
    pub(super) fn parse_plain(tokens: &mut Tokens<'_>, placeholders: &mut Placeholders) -> Result<Self, Fault> {
        if let Token::Value(name) = tokens.peek() {
            tokens.next();
            return placeholders.value(name).map(Self::Value);
        }
        Path::parse(tokens, placeholders).map(Self::Path)
    }

    /// The size of `operand`, if values of its type have one.
    pub(super) fn size_of(operand: Self) -> Result<Self, Fault> {
        match &operand {
            Self::Value(value) if size(value).is_none() => Err(Fault::operand_type("size", value.type_name())),
            Self::Size(_) => Err(Fault::operand_type("size", "N")),
            _ => Ok(Self::Size(Box::new(operand))),
        }
    }

    /// The operand's value for `item`; none if the item does not have it.
    pub(super) fn resolve<'a>(&'a self, item: &'a Item) -> Option<Cow<'a, AttributeValue>> {
        match self {
            Self::Path(path) => path.find(item).map(Cow::Borrowed),
            Self::Value(value) => Some(Cow::Borrowed(value)),
            Self::Size(operand) => {
                let size = size(operand.resolve(item)?.as_ref())?;
                Some(Cow::Owned(AttributeValue::N(Number::from(size))))
            }
        }
    }

    /// The type of a value that is the same for every item.
    pub(super) fn fixed_type(&self) -> Option<&'static str> {
        match self {
            Self::Path(_) => None,
            Self::Value(value) => Some(value.type_name()),
            Self::Size(_) => Some("N"),
        }
    }
}

/// The characters, bytes or elements of a value.
fn size(value: &AttributeValue) -> Option<usize> {
    match value {
        AttributeValue::S(text) => Some(text.chars().count()),
        AttributeValue::B(bytes) => Some(bytes.len()),
        AttributeValue::M(members) => Some(members.len()),
        AttributeValue::L(elements) => Some(elements.len()),
        AttributeValue::Ss(set) => Some(set.len()),
        AttributeValue::Ns(set) => Some(set.len()),
        AttributeValue::Bs(set) => Some(set.len()),
        AttributeValue::N(_) | AttributeValue::Bool(_) | AttributeValue::Null => None,
    }
}
