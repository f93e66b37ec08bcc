//! Lease stores for the Kinesis consumer: where the workers of a fleet keep who reads which shard, and how far.
//!
//! - [`MemoryLeaseStore`]: a table that lives as long as the process.

mod memory;

pub use self::memory::MemoryLeaseStore;
