//! The commands, one file each.

pub(crate) mod broker;
pub(crate) mod consume;
pub(crate) mod consumer;
pub(crate) mod dlq;
pub(crate) mod fault;
pub(crate) mod lambda;
pub(crate) mod leases;
#[cfg(feature = "dynamodb")]
pub(crate) mod migrate;
pub(crate) mod operations;
pub(crate) mod put;
pub(crate) mod replay;
pub(crate) mod stream;
pub(crate) mod tag;
