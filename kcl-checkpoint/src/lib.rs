//! Lease stores for the Kinesis consumer: where the workers of a fleet keep who reads which shard, and how far.
//!
//! - [`MemoryLeaseStore`]: a table that lives as long as the process.
//! - [`SqliteLeaseStore`]: a table in one file, shared by the processes of one machine.
//! - `DynamoDbLeaseStore`, with the feature `dynamodb`: a table in DynamoDB, in the format of Java KCL.
//! - [`conformance`]: what every store promises, as checks for your own.
//! - [`FaultyLeaseStore`]: any store with faults by script and by seed, for tests.
//! - [`ObservedLeaseStore`]: any store with its calls counted.
//!
//! All of them are [`LeaseStore`](kcl_core::LeaseStore)s: dumb compare-and-swap tables without clock, expiry or policy.

pub mod conformance;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod fault;
mod memory;
mod observe;
mod sqlite;

#[cfg(feature = "dynamodb")]
pub use self::dynamodb::{
    Billing, ClientVersionRow, ClientVersionStep, DynamoDbConfig, DynamoDbLeaseStore, Layout, MigrationOutcome,
    OwnerIndex,
};
pub use self::{
    fault::{Fault, FaultPlan, FaultRule, FaultyLeaseStore, InjectedFault},
    memory::MemoryLeaseStore,
    observe::{CallOutcome, ObservedLeaseStore, StoreCounts},
    sqlite::{Durability, SqliteConfig, SqliteLeaseStore},
};
