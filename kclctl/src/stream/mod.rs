//! What the stream commands do with a stream.

mod arg;
pub(crate) mod describe;
pub(crate) mod listing;
pub(crate) mod ready;
pub(crate) mod reshard;
pub(crate) mod settings;

pub(crate) use self::arg::StreamArg;
