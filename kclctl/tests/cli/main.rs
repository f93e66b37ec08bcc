//! The command line as its users meet it: the real binary against a broker of this process.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod commands;
mod common;
mod consume;
mod consumers;
mod dlq;
mod lambda;
#[cfg(feature = "dynamodb")]
mod lease_tables;
mod leases;
#[cfg(feature = "dynamodb")]
mod migrate;
mod own_door;
mod put;
mod refusals;
mod streams;
