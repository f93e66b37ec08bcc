//! [`Format`]: what requests are read from and outputs are written in.

use serde::{Serialize, de::DeserializeOwned};

use super::{cbor, json};
use crate::api::{ApiError, GetRecordsOutput};

/// What bodies are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// AWS JSON 1.1.
    Json,
    /// The same in CBOR, which Java's clients speak.
    Cbor,
}

impl Format {
    /// The format of bodies of this content type.
    pub(super) fn of_content_type(content_type: &str) -> Option<Self> {
        [Self::Json, Self::Cbor]
            .into_iter()
            .find(|format| format.content_type() == content_type)
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// Reads a request. Members that it does not know are ignored.
    pub(super) fn decode<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, ApiError> {
        match self {
            Self::Json => json::decode(body),
            Self::Cbor => cbor::decode(body),
        }
    }

    /// Whether a body can be read at all.
    pub(super) fn is_well_formed(self, body: &[u8]) -> bool {
        match self {
            Self::Json => json::is_well_formed(body),
            Self::Cbor => cbor::is_well_formed(body),
        }
    }

    /// Writes an output of modest size.
    pub(super) fn encode(self, output: &impl Serialize) -> Vec<u8> {
        match self {
            Self::Json => json::encode(output),
            Self::Cbor => cbor::encode(output),
        }
    }

    /// Writes records, which are most of what the broker ever writes.
    pub(super) fn encode_records(self, output: &GetRecordsOutput) -> Vec<u8> {
        match self {
            Self::Json => json::encode_records(output),
            Self::Cbor => cbor::encode_records(output),
        }
    }
}
