//! [`Reader`]: CBOR for serde, out of a body that nobody vouches for.
//!
//! Lengths are believed only as far as the body goes, nesting is bounded, and nothing is set aside on a promise.

use std::fmt;

use minicbor::{Decoder, data::Type, decode};
use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

/// How deep values may nest: as deep as in JSON.
const DEPTH_MAX: usize = 128;

/// Reads one value after the other.
pub(super) struct Reader<'de> {
    decoder: Decoder<'de>,
    depth: usize,
}

impl<'de> Reader<'de> {
    /// Reads a body that is a structure or a list. Others are none to the service.
    pub(super) fn of_structure(body: &'de [u8]) -> Result<Self, ReadError> {
        let mut reader = Self {
            decoder: Decoder::new(body),
            depth: 0,
        };
        match reader.untagged()? {
            Type::Array | Type::ArrayIndef | Type::Map | Type::MapIndef => Ok(reader),
            _ => Err(ReadError::Malformed),
        }
    }

    /// Nothing may follow the value.
    pub(super) fn end(&self) -> Result<(), ReadError> {
        if self.decoder.position() == self.decoder.input().len() {
            Ok(())
        } else {
            Err(ReadError::Malformed)
        }
    }

    /// The type of the next value, behind whatever tags it has.
    fn untagged(&mut self) -> Result<Type, ReadError> {
        loop {
            match self.decoder.datatype()? {
                Type::Tag => self.decoder.tag()?,
                kind => return Ok(kind),
            };
        }
    }

    /// Reads the values of a list or a map, of which `left` are told to follow.
    fn nested<T>(
        &mut self,
        left: Option<u64>,
        read: impl FnOnce(&mut Values<'_, 'de>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        if self.depth == DEPTH_MAX {
            return Err(ReadError::Malformed);
        }
        self.depth += 1;
        let mut values = Values { reader: self, left };
        let read = read(&mut values)?;
        // A visitor that stops early must not make the next value of something else.
        if values.more()? {
            return Err(ReadError::Malformed);
        }
        self.depth -= 1;
        Ok(read)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.untagged()? {
            Type::Null => {
                self.decoder.null()?;
                visitor.visit_unit()
            }
            Type::Undefined => {
                self.decoder.undefined()?;
                visitor.visit_unit()
            }
            Type::Bool => visitor.visit_bool(self.decoder.bool()?),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => visitor.visit_u64(self.decoder.u64()?),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => visitor.visit_i64(self.decoder.i64()?),
            Type::Int => visitor.visit_f64(i128::from(self.decoder.int()?) as f64),
            Type::F16 | Type::F32 | Type::F64 => visitor.visit_f64(self.decoder.f64()?),
            Type::Bytes => visitor.visit_borrowed_bytes(self.decoder.bytes()?),
            Type::BytesIndef => {
                let mut bytes = Vec::new();
                for chunk in self.decoder.bytes_iter()? {
                    bytes.extend_from_slice(chunk?);
                }
                visitor.visit_byte_buf(bytes)
            }
            Type::String => visitor.visit_borrowed_str(self.decoder.str()?),
            Type::StringIndef => {
                let mut text = String::new();
                for chunk in self.decoder.str_iter()? {
                    text.push_str(chunk?);
                }
                visitor.visit_string(text)
            }
            Type::Array | Type::ArrayIndef => {
                let left = self.decoder.array()?;
                self.nested(left, |values| visitor.visit_seq(values))
            }
            Type::Map | Type::MapIndef => {
                let left = self.decoder.map()?;
                self.nested(left, |values| visitor.visit_map(values))
            }
            Type::Simple | Type::Tag | Type::Break | Type::Unknown(_) => Err(ReadError::Malformed),
        }
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The elements of a list or the entries of a map.
struct Values<'a, 'de> {
    reader: &'a mut Reader<'de>,
    /// How many are left; none if a break ends them.
    left: Option<u64>,
}

impl Values<'_, '_> {
    /// Whether there is one more, which is then taken.
    fn more(&mut self) -> Result<bool, ReadError> {
        match &mut self.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if self.reader.decoder.datatype()? == Type::Break => {
                let decoder = &mut self.reader.decoder;
                decoder.set_position(decoder.position() + 1);
                self.left = Some(0);
                Ok(false)
            }
            None => Ok(true),
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Values<'_, 'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        if !self.more()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Values<'_, 'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        if !self.more()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        seed.deserialize(&mut *self.reader)
    }
}

/// Why a request cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// It is not CBOR.
    Malformed,
    /// A value is not what it must be; the words are for the client.
    Value(String),
}

impl From<decode::Error> for ReadError {
    fn from(_: decode::Error) -> Self {
        Self::Malformed
    }
}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not CBOR"),
            Self::Value(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ReadError {}
