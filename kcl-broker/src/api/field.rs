//! How the members of requests are read, and the service's words for values of the wrong type.
//!
//! A member that is null is absent. The messages name Java classes because the service does, and its clients' tests expect it.

use std::{fmt, marker::PhantomData};

use base64::{DecodeError, Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use bytestring::ByteString;
use kcl_core::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

const NUMBER: &str = "com.amazon.coral.value.json.numbers.TruncatingBigNumber";
const STRING: &str = "java.lang.String";
const BOOLEAN: &str = "java.lang.Boolean";

/// A kind of member that is neither list nor structure.
trait Scalar {
    type Value;

    fn mismatch(class: &str) -> String;

    fn text(_: &str) -> Result<Self::Value, String> {
        Err(Self::mismatch(STRING))
    }

    fn number(_: f64) -> Result<Self::Value, String> {
        Err(Self::mismatch(NUMBER))
    }
}

struct ScalarVisitor<S>(PhantomData<S>);

impl<'de, S: Scalar> Visitor<'de> for ScalarVisitor<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        S::text(text).map(Some).map_err(E::custom)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(E::custom(S::mismatch(BOOLEAN)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        S::number(number).map(Some).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom("Start of list found where not expected"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom("Start of structure or map found where not expected."))
    }
}

fn scalar<'de, S: Scalar, D: Deserializer<'de>>(deserializer: D) -> Result<Option<S::Value>, D::Error> {
    deserializer.deserialize_any(ScalarVisitor(PhantomData::<S>))
}

struct Text;

impl Scalar for Text {
    type Value = String;

    fn mismatch(class: &str) -> String {
        format!("class {class} can not be converted to an String")
    }

    fn text(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }
}

pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    scalar::<Text, D>(deserializer)
}

pub(super) fn shared_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteString>, D::Error> {
    Ok(text(deserializer)?.map(ByteString::from))
}

struct Integer;

impl Scalar for Integer {
    type Value = i32;

    fn mismatch(class: &str) -> String {
        format!("class {class} can not be converted to an Integer")
    }

    fn number(number: f64) -> Result<i32, String> {
        // The cast saturates: whatever lies beyond is out of every member's range.
        Ok(number.floor() as i32)
    }
}

pub(super) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    scalar::<Integer, D>(deserializer)
}

struct EpochSeconds;

impl Scalar for EpochSeconds {
    type Value = Timestamp;

    fn mismatch(class: &str) -> String {
        format!("class {class} can not be converted to milliseconds since epoch")
    }

    fn number(seconds: f64) -> Result<Timestamp, String> {
        Ok(Timestamp::from_epoch_millis((seconds * 1000.0).round() as i64))
    }
}

pub(super) fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    scalar::<EpochSeconds, D>(deserializer)
}

struct Blob;

impl Scalar for Blob {
    type Value = Bytes;

    fn mismatch(class: &str) -> String {
        format!("class {class} can not be converted to a Blob")
    }

    fn text(text: &str) -> Result<Bytes, String> {
        STANDARD.decode(text).map(Bytes::from).map_err(|error| {
            let reason = match error {
                _ if !text.len().is_multiple_of(4) => {
                    format!(
                        "Base64 encoded length is expected a multiple of 4 bytes but found: {}",
                        text.len()
                    )
                }
                DecodeError::InvalidByte(_, byte) => format!("Invalid Base64 character: '{}'", char::from(byte)),
                _ => "Invalid last non-pad Base64 character dectected".to_owned(),
            };
            format!("'{text}' can not be converted to a Blob: {reason}")
        })
    }
}

pub(super) fn blob<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    scalar::<Blob, D>(deserializer)
}

/// Visitor methods that answer every scalar with `$message`.
macro_rules! refuse_scalars {
    ($message:literal) => {
        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Err(E::custom($message))
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Err(E::custom($message))
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Err(E::custom($message))
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Err(E::custom($message))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Err(E::custom($message))
        }
    };
}

struct StructureVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for StructureVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom("Start of list found where not expected"))
    }

    refuse_scalars!("Expected null");
}

/// Reads a structure; also what a whole body is read with.
pub(crate) fn structure<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(StructureVisitor(PhantomData))
}

/// A member of a list of structures; one that is null is one without members.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
#[serde(transparent)]
struct Element<T>(#[serde(deserialize_with = "structure_or_default")] T);

fn structure_or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(structure(deserializer)?.unwrap_or_default())
}

struct StructuresVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for StructuresVisitor<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("list or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(Element(element)) = list.next_element()? {
            elements.push(element);
        }
        Ok(Some(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom("Start of structure or map found where not expected."))
    }

    refuse_scalars!("Expected list or null");
}

pub(super) fn structures<'de, T, D>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(StructuresVisitor(PhantomData))
}
