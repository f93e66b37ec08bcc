//! Values as they come over the wire, before it is known whether they are any.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::Error};

use super::{AttributeValue, Number};
use crate::dynamodb::{error::DynamoError, item::Item};

/// The most levels of lists and maps in a value.
const DEPTH_MAX: usize = 32;

/// A value that may have no type, or several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "UPPERCASE")]
pub(in crate::dynamodb) struct RawValue {
    s: Option<String>,
    n: Option<String>,
    b: Option<Blob>,
    bool: Option<bool>,
    null: Option<bool>,
    m: Option<RawItem>,
    l: Option<Vec<Self>>,
    ss: Option<Vec<String>>,
    ns: Option<Vec<String>>,
    bs: Option<Vec<Blob>>,
}

/// Attributes by name, as they come over the wire.
pub(in crate::dynamodb) type RawItem = BTreeMap<String, RawValue>;

#[derive(Clone, Debug)]
struct Blob(Bytes);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        Ok(Self(bytes.into()))
    }
}

/// The attributes, if each of them is a value.
pub(in crate::dynamodb) fn checked(item: RawItem) -> Result<Item, DynamoError> {
    item.into_iter()
        .map(|(name, value)| Ok((name, value.checked().map_err(DynamoError::invalid)?)))
        .collect()
}

impl RawValue {
    /// The value, or what the service says of it.
    pub(in crate::dynamodb) fn checked(self) -> Result<AttributeValue, String> {
        self.checked_within(DEPTH_MAX)
    }

    fn checked_within(self, levels: usize) -> Result<AttributeValue, String> {
        match self.types() {
            1 => {}
            0 => return Err(format!("Supplied AttributeValue is empty, {ONE_TYPE}")),
            _ => {
                return Err(format!(
                    "Supplied AttributeValue has more than one datatypes set, {ONE_TYPE}"
                ));
            }
        }
        let deeper = || {
            levels
                .checked_sub(1)
                .ok_or("Nesting Levels have exceeded supported limits")
        };
        let Self {
            s,
            n,
            b,
            bool,
            null,
            m,
            l,
            ss,
            ns,
            bs,
        } = self;
        if let Some(text) = s {
            return Ok(AttributeValue::S(text));
        }
        if let Some(text) = n {
            return number(&text).map(AttributeValue::N);
        }
        if let Some(Blob(bytes)) = b {
            return Ok(AttributeValue::B(bytes));
        }
        if let Some(truth) = bool {
            return Ok(AttributeValue::Bool(truth));
        }
        if let Some(members) = m {
            let levels = deeper()?;
            let member = |(name, value): (String, Self)| Ok((name, value.checked_within(levels)?));
            return members
                .into_iter()
                .map(member)
                .collect::<Result<_, String>>()
                .map(AttributeValue::M);
        }
        if let Some(elements) = l {
            let levels = deeper()?;
            let element = |value: Self| value.checked_within(levels);
            return elements
                .into_iter()
                .map(element)
                .collect::<Result<_, _>>()
                .map(AttributeValue::L);
        }
        if let Some(texts) = ss {
            return set("string", texts).map(AttributeValue::Ss);
        }
        if let Some(texts) = ns {
            let numbers = texts.iter().map(|text| number(text)).collect::<Result<Vec<_>, _>>()?;
            return set("number", numbers).map(AttributeValue::Ns);
        }
        if let Some(blobs) = bs {
            let blobs = blobs.into_iter().map(|Blob(bytes)| bytes).collect();
            return set("binary", blobs).map(AttributeValue::Bs);
        }
        match null {
            Some(true) => Ok(AttributeValue::Null),
            _ => Err(format!(
                "{INVALID}Null attribute value types must have the value of true"
            )),
        }
    }

    fn types(&self) -> usize {
        [
            self.s.is_some(),
            self.n.is_some(),
            self.b.is_some(),
            self.bool.is_some(),
            self.null.is_some(),
            self.m.is_some(),
            self.l.is_some(),
            self.ss.is_some(),
            self.ns.is_some(),
            self.bs.is_some(),
        ]
        .into_iter()
        .map(usize::from)
        .sum()
    }
}

fn number(text: &str) -> Result<Number, String> {
    Number::parse(text).map_err(|error| error.to_string())
}

fn set<T: Ord>(kind: &str, elements: Vec<T>) -> Result<BTreeSet<T>, String> {
    let count = elements.len();
    let set: BTreeSet<T> = elements.into_iter().collect();
    if set.is_empty() {
        Err(format!("{INVALID}An {kind} set  may not be empty"))
    } else if set.len() < count {
        Err(format!(
            "{INVALID}Input collection of a {kind} set contains duplicates."
        ))
    } else {
        Ok(set)
    }
}

const ONE_TYPE: &str = "must contain exactly one of the supported datatypes";
const INVALID: &str = "One or more parameter values were invalid: ";
