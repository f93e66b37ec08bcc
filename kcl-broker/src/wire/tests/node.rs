//! [`Node`]: a value, before it is in any format.

use std::{collections::BTreeMap, convert::Infallible, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minicbor::{Encoder, data::Tag, encode};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, json};

/// A value, before it is in any format.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Blob(Vec<u8>),
    Millis(i64),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_text = serializer.is_human_readable();
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => value.serialize(serializer),
            Self::Int(value) => value.serialize(serializer),
            Self::Float(value) => value.serialize(serializer),
            Self::Text(value) => value.serialize(serializer),
            Self::Blob(bytes) if is_text => STANDARD.encode(bytes).serialize(serializer),
            Self::Blob(bytes) => serializer.serialize_bytes(bytes),
            Self::Millis(millis) if is_text => (*millis as f64 / 1000.0).serialize(serializer),
            Self::Millis(millis) => millis.serialize(serializer),
            Self::List(list) => list.serialize(serializer),
            Self::Map(map) => map.serialize(serializer),
        }
    }
}

impl Node {
    /// Writes the value as Java's clients do: no lengths, tagged times.
    fn put_as_java(&self, to: &mut Encoder<&mut Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
        match self {
            Self::Null => to.null()?,
            Self::Bool(value) => to.bool(*value)?,
            Self::Int(value) => to.i64(*value)?,
            Self::Float(value) => to.f64(*value)?,
            Self::Text(value) => to.str(value)?,
            Self::Blob(bytes) => to.bytes(bytes)?,
            Self::Millis(millis) => to.tag(Tag::new(1))?.i64(*millis)?,
            Self::List(list) => {
                to.begin_array()?;
                for element in list {
                    element.put_as_java(to)?;
                }
                to.end()?
            }
            Self::Map(map) => {
                to.begin_map()?;
                for (key, value) in map {
                    value.put_as_java(to.str(key)?)?;
                }
                to.end()?
            }
        };
        Ok(())
    }

    pub(super) fn as_java(&self) -> Vec<u8> {
        let mut buffer = Vec::new();
        self.put_as_java(&mut Encoder::new(&mut buffer)).unwrap();
        buffer
    }
}

pub(super) fn node_of(value: &Value) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(*value),
        Value::Number(number) => Node::Int(number.as_i64().unwrap()),
        Value::String(text) => Node::Text(text.clone()),
        Value::Array(list) => Node::List(list.iter().map(node_of).collect()),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| match (key.as_str(), value) {
                ("Data", Value::String(text)) => (key.clone(), Node::Blob(text.as_bytes().to_vec())),
                (key, Value::Number(millis)) if key.ends_with("Timestamp") => {
                    (key.to_owned(), Node::Millis(millis.as_i64().unwrap()))
                }
                _ => (key.clone(), node_of(value)),
            };
            Node::Map(map.iter().map(entry).collect())
        }
    }
}

pub(super) fn value_of(node: Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(value) => json!(value),
        Node::Int(value) | Node::Millis(value) => json!(value),
        Node::Float(value) => json!(value),
        Node::Text(text) => json!(text),
        Node::Blob(bytes) => json!(STANDARD.encode(bytes)),
        Node::List(list) => list.into_iter().map(value_of).collect(),
        Node::Map(map) => Value::Object(map.into_iter().map(|(key, value)| (key, value_of(value))).collect()),
    }
}

/// An answer in CBOR.
pub(super) struct Read(pub(super) Node);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor).map(Read)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        i64::try_from(value).map(Node::Int).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Node, E> {
        Ok(Node::Blob(value.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(Read(node)) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut nodes = BTreeMap::new();
        while let Some((key, Read(node))) = map.next_entry()? {
            nodes.insert(key, node);
        }
        Ok(Node::Map(nodes))
    }
}
