//! [`AttributeValue`]: what items are made of.

mod decode;
mod number;

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

pub(super) use self::{
    decode::{RawItem, RawValue, checked},
    number::Number,
};

/// A value of an attribute, in the service's ten types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AttributeValue {
    S(String),
    N(Number),
    B(Bytes),
    Bool(bool),
    Null,
    M(BTreeMap<String, Self>),
    L(Vec<Self>),
    Ss(BTreeSet<String>),
    Ns(BTreeSet<Number>),
    Bs(BTreeSet<Bytes>),
}

/// What the service counts for a list or a map beside its elements, and for each element.
const COLLECTION_BYTES: usize = 3;
const ELEMENT_BYTES: usize = 1;

impl AttributeValue {
    /// The type's name on the wire.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::M(_) => "M",
            Self::L(_) => "L",
            Self::Ss(_) => "SS",
            Self::Ns(_) => "NS",
            Self::Bs(_) => "BS",
        }
    }

    /// The bytes that the service counts for the value.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size(),
            Self::B(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::M(map) => {
                let member = |(name, value): (&String, &Self)| name.len() + value.size() + ELEMENT_BYTES;
                COLLECTION_BYTES + map.iter().map(member).sum::<usize>()
            }
            Self::L(list) => {
                let element = |value: &Self| value.size() + ELEMENT_BYTES;
                COLLECTION_BYTES + list.iter().map(element).sum::<usize>()
            }
            Self::Ss(set) => set.iter().map(String::len).sum(),
            Self::Ns(set) => set.iter().map(|number| number.size()).sum(),
            Self::Bs(set) => set.iter().map(Bytes::len).sum(),
        }
    }
}

impl AttributeValue {
    /// How many values this one is, with those inside it.
    pub(super) fn count(&self) -> usize {
        1 + match self {
            Self::M(map) => map.values().map(Self::count).sum(),
            Self::L(list) => list.iter().map(Self::count).sum(),
            Self::Ss(set) => set.len(),
            Self::Ns(set) => set.len(),
            Self::Bs(set) => set.len(),
            _ => 0,
        }
    }
}

impl Serialize for AttributeValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        let name = self.type_name();
        match self {
            Self::S(text) => map.serialize_entry(name, text),
            Self::N(number) => map.serialize_entry(name, &number.to_string()),
            Self::B(bytes) => map.serialize_entry(name, &STANDARD.encode(bytes)),
            Self::Bool(truth) => map.serialize_entry(name, truth),
            Self::Null => map.serialize_entry(name, &true),
            Self::M(members) => map.serialize_entry(name, members),
            Self::L(elements) => map.serialize_entry(name, elements),
            Self::Ss(set) => map.serialize_entry(name, set),
            Self::Ns(set) => map.serialize_entry(name, &Texts(set.iter().map(Number::to_string))),
            Self::Bs(set) => map.serialize_entry(name, &Texts(set.iter().map(|bytes| STANDARD.encode(bytes)))),
        }?;
        map.end()
    }
}

struct Texts<I>(I);

impl<I: Iterator<Item = String> + Clone> Serialize for Texts<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for text in self.0.clone() {
            list.serialize_element(&text)?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests;
