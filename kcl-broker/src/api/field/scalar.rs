//! Members that are neither lists nor structures.

use std::{fmt, marker::PhantomData};

use base64::{DecodeError, Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use bytestring::ByteString;
use kcl_core::Timestamp;
use serde::{
    Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use super::{LIST_MISPLACED, MAP_MISPLACED};

const NUMBER: &str = "com.amazon.coral.value.json.numbers.TruncatingBigNumber";
const STRING: &str = "java.lang.String";
const BOOLEAN: &str = "java.lang.Boolean";
const BUFFER: &str = "java.nio.HeapByteBuffer";

/// A kind of scalar. What it does not read it refuses with its mismatch.
trait Scalar {
    type Value;

    fn mismatch(class: &str) -> String;

    fn text(_: &str) -> Result<Self::Value, String> {
        Err(Self::mismatch(STRING))
    }

    fn number(_: f64) -> Result<Self::Value, String> {
        Err(Self::mismatch(NUMBER))
    }

    fn boolean(_: bool) -> Result<Self::Value, String> {
        Err(Self::mismatch(BOOLEAN))
    }

    fn bytes(_: &[u8]) -> Result<Self::Value, String> {
        Err(Self::mismatch(BUFFER))
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

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        S::bytes(bytes).map(Some).map_err(E::custom)
    }

    fn visit_bool<E: Error>(self, boolean: bool) -> Result<Self::Value, E> {
        S::boolean(boolean).map(Some).map_err(E::custom)
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
        Err(A::Error::custom(LIST_MISPLACED))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom(MAP_MISPLACED))
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

pub(in crate::api) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    scalar::<Text, D>(deserializer)
}

pub(in crate::api) fn shared_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteString>, D::Error> {
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

pub(in crate::api) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    scalar::<Integer, D>(deserializer)
}

struct Boolean;

impl Scalar for Boolean {
    type Value = bool;

    fn mismatch(class: &str) -> String {
        format!("class {class} can not be converted to an Boolean")
    }

    fn boolean(boolean: bool) -> Result<bool, String> {
        Ok(boolean)
    }

    fn text(text: &str) -> Result<bool, String> {
        let upper = text.to_uppercase();
        match upper.as_str() {
            "TRUE" | "YES" | "1" => Ok(true),
            "FALSE" | "NO" | "0" => Ok(false),
            _ => Err(format!("'{upper}' can not be converted to an Boolean")),
        }
    }
}

pub(in crate::api) fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    scalar::<Boolean, D>(deserializer)
}

/// A time, as a number of `1 / PER_SECOND` seconds.
struct Epoch<const PER_SECOND: u32>;

impl<const PER_SECOND: u32> Scalar for Epoch<PER_SECOND> {
    type Value = Timestamp;

    fn mismatch(class: &str) -> String {
        format!("class {class} can not be converted to milliseconds since epoch")
    }

    fn number(number: f64) -> Result<Timestamp, String> {
        let millis = number * (1000.0 / f64::from(PER_SECOND));
        Ok(Timestamp::from_epoch_millis(millis.round() as i64))
    }
}

/// Reads a time: seconds in JSON, milliseconds in binary encodings (whole or not, whatever the standard says of the tag
/// that Java's clients put before them).
pub(in crate::api) fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    if deserializer.is_human_readable() {
        scalar::<Epoch<1>, D>(deserializer)
    } else {
        scalar::<Epoch<1000>, D>(deserializer)
    }
}

struct Blob;

impl Scalar for Blob {
    type Value = Bytes;

    fn mismatch(class: &str) -> String {
        format!("class {class} can not be converted to a Blob")
    }

    fn bytes(bytes: &[u8]) -> Result<Bytes, String> {
        // A copy, not a slice of the request: one small record would keep all of a large request in memory.
        Ok(Bytes::copy_from_slice(bytes))
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

pub(in crate::api) fn blob<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    scalar::<Blob, D>(deserializer)
}
