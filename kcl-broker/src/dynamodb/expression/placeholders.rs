//! [`Placeholders`]: the names and values that a request's expressions refer to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Condition, Fault, KeyCondition, Projection, Purpose, Update, lexer::Tokens};
use crate::dynamodb::{
    error::DynamoError,
    value::{AttributeValue, RawItem},
};

/// `ExpressionAttributeNames` and `ExpressionAttributeValues` of one request, which all its expressions share.
#[derive(Debug)]
pub(in crate::dynamodb) struct Placeholders {
    names: BTreeMap<String, String>,
    values: BTreeMap<String, AttributeValue>,
    unused_names: BTreeSet<String>,
    unused_values: BTreeSet<String>,
    expressions: usize,
}

impl Placeholders {
    pub(in crate::dynamodb) fn new(
        names: Option<BTreeMap<String, String>>,
        values: Option<RawItem>,
    ) -> Result<Self, DynamoError> {
        let names = filled("ExpressionAttributeNames", '#', names)?;
        let values = filled("ExpressionAttributeValues", ':', values)?
            .into_iter()
            .map(|(key, value)| match value.checked() {
                Ok(value) => Ok((key, value)),
                Err(message) => Err(DynamoError::invalid(format!(
                    "ExpressionAttributeValues contains invalid value: {message} for key {key}"
                ))),
            })
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok(Self {
            unused_names: names.keys().cloned().collect(),
            unused_values: values.keys().cloned().collect(),
            names,
            values,
            expressions: 0,
        })
    }

    /// The name that `placeholder` stands for.
    pub(super) fn name(&mut self, placeholder: &str) -> Result<String, Fault> {
        self.unused_names.remove(placeholder);
        self.names.get(placeholder).cloned().ok_or_else(|| {
            Fault(format!(
                "An expression attribute name used in the document path is not defined; attribute name: {placeholder}"
            ))
        })
    }

    /// The value that `placeholder` stands for.
    pub(super) fn value(&mut self, placeholder: &str) -> Result<AttributeValue, Fault> {
        self.unused_values.remove(placeholder);
        self.values.get(placeholder).cloned().ok_or_else(|| {
            Fault(format!(
                "An expression attribute value used in expression is not defined; attribute value: {placeholder}"
            ))
        })
    }

    pub(in crate::dynamodb) fn condition(
        &mut self,
        purpose: Purpose,
        text: Option<&str>,
    ) -> Result<Option<Condition>, DynamoError> {
        self.parse(purpose, text, Condition::parse)
    }

    pub(in crate::dynamodb) fn key_condition(
        &mut self,
        text: Option<&str>,
    ) -> Result<Option<KeyCondition>, DynamoError> {
        let condition = self.condition(Purpose::KeyCondition, text)?;
        condition.map(KeyCondition::of).transpose()
    }

    pub(in crate::dynamodb) fn projection(&mut self, text: Option<&str>) -> Result<Option<Projection>, DynamoError> {
        self.parse(Purpose::Projection, text, Projection::parse)
    }

    pub(in crate::dynamodb) fn update(&mut self, text: Option<&str>) -> Result<Option<Update>, DynamoError> {
        self.parse(Purpose::Update, text, Update::parse)
    }

    fn parse<T>(
        &mut self,
        purpose: Purpose,
        text: Option<&str>,
        parse: impl FnOnce(&mut Tokens<'_>, &mut Self) -> Result<T, Fault>,
    ) -> Result<Option<T>, DynamoError> {
        let Some(text) = text else { return Ok(None) };
        self.expressions += 1;
        let parsed = Tokens::of(text).and_then(|mut tokens| {
            let parsed = parse(&mut tokens, self)?;
            tokens.expect_end()?;
            Ok(parsed)
        });
        match parsed {
            Ok(parsed) => Ok(Some(parsed)),
            Err(Fault(message)) => Err(DynamoError::invalid(format!("Invalid {}: {message}", purpose.as_str()))),
        }
    }

    /// Refuses names and values that no expression used. Call it when all are parsed.
    pub(in crate::dynamodb) fn finish(self) -> Result<(), DynamoError> {
        for (member, unused) in [
            ("ExpressionAttributeNames", &self.unused_names),
            ("ExpressionAttributeValues", &self.unused_values),
        ] {
            if unused.is_empty() {
                continue;
            }
            if self.expressions == 0 {
                return Err(DynamoError::invalid(format!(
                    "{member} can only be specified when using expressions"
                )));
            }
            let unused: Vec<_> = unused.iter().map(String::as_str).collect();
            return Err(DynamoError::invalid(format!(
                "Value provided in {member} unused in expressions: keys: {{{}}}",
                unused.join(", ")
            )));
        }
        Ok(())
    }
}

/// A map of placeholders, of which there must be some and which must look like ones.
fn filled<T>(member: &str, sign: char, map: Option<BTreeMap<String, T>>) -> Result<BTreeMap<String, T>, DynamoError> {
    let Some(map) = map else { return Ok(BTreeMap::new()) };
    if map.is_empty() {
        return Err(DynamoError::invalid(format!("{member} must not be empty")));
    }
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let well_formed = |key: &&String| {
        key.strip_prefix(sign)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_part))
    };
    match map.keys().find(|key| !well_formed(key)) {
        Some(key) => Err(DynamoError::invalid(format!(
            "{member} contains invalid key: Syntax error; key: \"{key}\""
        ))),
        None => Ok(map),
    }
}
