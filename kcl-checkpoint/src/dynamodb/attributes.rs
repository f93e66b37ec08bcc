//! A row's attributes by name, with the types that they should have.

use std::{fmt::Display, str::FromStr};

use aws_sdk_dynamodb::types::AttributeValue;

use super::codec::Item;

pub(super) fn missing(name: &str) -> String {
    format!("{name}: missing")
}

/// A row's attributes by name. Errors begin with the name.
pub(super) struct Attributes<'a>(pub(super) &'a Item);

impl<'a> Attributes<'a> {
    /// An attribute that is there and is not null.
    pub(super) fn any(&self, name: &str) -> Option<&'a AttributeValue> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn wrong_type(name: &str, value: &AttributeValue, wanted: &str) -> String {
        format!("{name}: is of type {}, and should be {wanted}", type_of(value))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.any(name) {
            None => Ok(None),
            Some(AttributeValue::S(text)) => Ok(Some(text)),
            Some(other) => Err(Self::wrong_type(name, other, "S")),
        }
    }

    pub(super) fn id<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, String> {
        let parsed = self.text(name)?.map(str::parse).transpose();
        parsed.map_err(|error| format!("{name}: {error}"))
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        match self.any(name) {
            None => Ok(None),
            Some(AttributeValue::N(digits)) => match digits.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(format!("{name}: {digits} is no whole number in range")),
            },
            Some(other) => Err(Self::wrong_type(name, other, "N")),
        }
    }

    pub(super) fn required<T>(
        &self,
        name: &str,
        read: fn(&Self, &str) -> Result<Option<T>, String>,
    ) -> Result<T, String> {
        read(self, name)?.ok_or_else(|| missing(name))
    }
}

fn type_of(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::S(_) => "S",
        AttributeValue::N(_) => "N",
        AttributeValue::B(_) => "B",
        AttributeValue::Bool(_) => "BOOL",
        AttributeValue::L(_) => "L",
        AttributeValue::M(_) => "M",
        AttributeValue::Ss(_) => "SS",
        AttributeValue::Ns(_) => "NS",
        AttributeValue::Bs(_) => "BS",
        _ => "another kind",
    }
}
