//! [`Node`]: outputs, before it is known in which protocol they are written.

use kcl_core::Timestamp;

/// A part of an output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Text(String),
    Number(f64),
    Time(Timestamp),
    List(Vec<Self>),
    /// Members by name, of those that are there.
    Structure(Vec<(&'static str, Self)>),
}

impl Node {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}
