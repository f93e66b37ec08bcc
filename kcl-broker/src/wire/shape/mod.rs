//! How outputs are cut into members. The shapes borrow; which bytes they become is for the encoding to say.

mod capacity;
mod consumers;
mod records;
mod settings;
mod shards;
mod streams;
mod tags;

use std::ops::Range;

use kcl_core::Timestamp;
use serde::Serializer;

pub(super) use self::shards::ChildShardShape;
use super::Format;

/// What an operation answers, as a body.
pub(super) trait Output {
    fn encode(&self, format: Format) -> Vec<u8>;
}

impl Output for () {
    /// An operation without output has an empty body, not an empty structure.
    fn encode(&self, _: Format) -> Vec<u8> {
        Vec::new()
    }
}

/// Whether `place` is among these places.
pub(super) fn is_among(places: &[Range<usize>], place: usize) -> bool {
    places.iter().any(|range| range.contains(&place))
}

/// Writes a time as the encoding has it: JSON in seconds with a fraction, binary encodings in milliseconds.
fn epoch<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_f64(at.epoch_millis() as f64 / 1000.0)
    } else {
        serializer.serialize_i64(at.epoch_millis())
    }
}
