//! How the members of requests are read, and the service's words for values of the wrong type.
//!
//! A member that is null is absent. The messages name Java classes because the service does, and its clients' tests
//! expect it. Members are read from whatever encoding the request is in; a `#[serde(flatten)]` in a request would hide
//! from [`timestamp`] which one that is.

mod composite;
mod scalar;

pub(crate) use self::composite::structure;
pub(super) use self::{
    composite::{structures, text_map, texts},
    scalar::{blob, boolean, integer, shared_text, text, timestamp},
};

const LIST_MISPLACED: &str = "Start of list found where not expected";
const MAP_MISPLACED: &str = "Start of structure or map found where not expected.";
