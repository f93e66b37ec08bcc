//! Where consumers are in their shards: two-phase checkpoints, seeks, pauses, replays, and reads that stand still.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pause;
mod seek;
mod stores;
mod two_phase;
mod watchdog;
