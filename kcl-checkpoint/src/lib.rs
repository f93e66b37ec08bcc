//! Lease stores for the Kinesis consumer: where the workers of a fleet keep who reads which shard, and how far.
//!
//! - [`MemoryLeaseStore`]: a table that lives as long as the process.
//! - [`SqliteLeaseStore`]: a table in one file, shared by the processes of one machine.
//! - [`conformance`]: what every store promises, as checks for your own.

pub mod conformance;
mod memory;
mod sqlite;

pub use self::{
    memory::MemoryLeaseStore,
    sqlite::{Durability, SqliteConfig, SqliteLeaseStore},
};
