//! [`Writer`]: serde's values as CBOR, all lengths told.

use std::{convert::Infallible, fmt};

use minicbor::{Encoder, encode};
use serde::{
    Serialize, Serializer,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
        SerializeTupleVariant,
    },
};

/// Writes one value.
pub(super) struct Writer<'a> {
    to: Encoder<&'a mut Vec<u8>>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(buffer: &'a mut Vec<u8>) -> Self {
        Self {
            to: Encoder::new(buffer),
        }
    }

    fn begin(&mut self, kind: Kind, length: Option<usize>) -> Result<Members<'_, 'a>, WriteError> {
        let start = self.to.writer().len();
        kind.put_head(&mut self.to, length.unwrap_or_default())?;
        Ok(Members {
            writer: self,
            kind,
            start,
            untold: length.is_none().then_some(0),
        })
    }

    /// Begins a map of one entry, which is how serde has the alternatives of an enumeration.
    fn begin_alternative(&mut self, name: &str) -> Result<(), WriteError> {
        self.to.map(1)?.str(name)?;
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    List,
    Map,
}

impl Kind {
    fn put_head(self, to: &mut Encoder<&mut Vec<u8>>, length: usize) -> Result<(), WriteError> {
        match self {
            Self::List => to.array(length as u64)?,
            Self::Map => to.map(length as u64)?,
        };
        Ok(())
    }
}

/// The elements of a list or the entries of a map.
pub(super) struct Members<'w, 'a> {
    writer: &'w mut Writer<'a>,
    kind: Kind,
    start: usize,
    /// How many there are so far, unless that was told before the first.
    untold: Option<usize>,
}

impl Members<'_, '_> {
    fn value(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), WriteError> {
        value.serialize(&mut *self.writer)
    }

    fn element(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), WriteError> {
        self.untold = self.untold.map(|count| count + 1);
        self.value(value)
    }

    fn finish(self) -> Result<(), WriteError> {
        if let Some(count) = self.untold {
            let mut head = Vec::new();
            self.kind.put_head(&mut Encoder::new(&mut head), count)?;
            // The head of an empty list or map, one byte, gives way.
            self.writer.to.writer_mut().splice(self.start..=self.start, head);
        }
        Ok(())
    }
}

/// Serializer methods that hand a scalar to the encoder.
macro_rules! scalars {
    ($($method:ident $put:ident $kind:ty,)+) => {
        $(fn $method(self, value: $kind) -> Result<(), WriteError> {
            self.to.$put(value)?;
            Ok(())
        })+
    };
}

impl<'w, 'a> Serializer for &'w mut Writer<'a> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Members<'w, 'a>;
    type SerializeTuple = Members<'w, 'a>;
    type SerializeTupleStruct = Members<'w, 'a>;
    type SerializeTupleVariant = Members<'w, 'a>;
    type SerializeMap = Members<'w, 'a>;
    type SerializeStruct = Members<'w, 'a>;
    type SerializeStructVariant = Members<'w, 'a>;

    scalars! {
        serialize_bool bool bool,
        serialize_i8 i8 i8,
        serialize_i16 i16 i16,
        serialize_i32 i32 i32,
        serialize_i64 i64 i64,
        serialize_u8 u8 u8,
        serialize_u16 u16 u16,
        serialize_u32 u32 u32,
        serialize_u64 u64 u64,
        serialize_f32 f32 f32,
        serialize_f64 f64 f64,
        serialize_str str &str,
        serialize_bytes bytes &[u8],
    }

    fn serialize_char(self, value: char) -> Result<(), WriteError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_none(self) -> Result<(), WriteError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), WriteError> {
        self.to.null()?;
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), WriteError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), WriteError> {
        self.serialize_str(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), WriteError> {
        self.begin_alternative(name)?;
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, WriteError> {
        self.begin(Kind::List, length)
    }

    fn serialize_tuple(self, length: usize) -> Result<Self::SerializeTuple, WriteError> {
        self.begin(Kind::List, Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Self::SerializeTupleStruct, WriteError> {
        self.begin(Kind::List, Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, WriteError> {
        self.begin_alternative(name)?;
        self.begin(Kind::List, Some(length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, WriteError> {
        self.begin(Kind::Map, length)
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Self::SerializeStruct, WriteError> {
        self.begin(Kind::Map, Some(length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, WriteError> {
        self.begin_alternative(name)?;
        self.begin(Kind::Map, Some(length))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The traits of serde for what has elements without names.
macro_rules! lists {
    ($($kind:ident $method:ident,)+) => {
        $(impl $kind for Members<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
                self.element(value)
            }

            fn end(self) -> Result<(), WriteError> {
                self.finish()
            }
        })+
    };
}

lists! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

/// The traits of serde for structures.
macro_rules! structures {
    ($($kind:ident,)+) => {
        $(impl $kind for Members<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), WriteError> {
                self.element(name)?;
                self.value(value)
            }

            fn end(self) -> Result<(), WriteError> {
                self.finish()
            }
        })+
    };
}

structures! {
    SerializeStruct,
    SerializeStructVariant,
}

impl SerializeMap for Members<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), WriteError> {
        self.element(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        self.value(value)
    }

    fn end(self) -> Result<(), WriteError> {
        self.finish()
    }
}

/// A shape whose own serialization failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WriteError(String);

impl From<encode::Error<Infallible>> for WriteError {
    fn from(error: encode::Error<Infallible>) -> Self {
        Self(error.to_string())
    }
}

impl serde::ser::Error for WriteError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WriteError {}
