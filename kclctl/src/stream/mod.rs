//! What the stream commands do with a stream.

pub(crate) mod describe;
pub(crate) mod listing;
pub(crate) mod ready;
pub(crate) mod reshard;
pub(crate) mod settings;
