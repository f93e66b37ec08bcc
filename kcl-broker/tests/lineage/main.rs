//! Whatever is written, split and merged: every record is reachable from the trim horizon through the lineage of its
//! shard, exactly once and in order.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fanout;
mod polling;
mod retention;
mod stream;
