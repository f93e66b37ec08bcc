//! What the end-to-end tests have in common: a [`World`] with a broker, a clock, a lease table and workers.
//!
//! Everything but the network is real: the workers of `kcl-runtime` speak through the AWS SDK to the built-in broker, in
//! the same process and on tokio's paused clock, so that minutes of a fleet's life take milliseconds.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as the tests do")]

pub mod bench;
mod log;
mod network;
mod running;
mod trouble;
mod world;

pub use self::{
    log::{Delivery, Log},
    network::NetworkedStore,
    running::{Running, WorkerSpec, buffered_bytes, consumer, held},
    trouble::TroubledLink,
    world::{World, shard_id},
};
pub use kcl_runtime::testing::{Link, LinkState, VirtualClock as WorldClock};
