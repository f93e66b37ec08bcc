//! Tests of consumers on virtual time: a stream, a lease table, a clock and workers in the test's own process.
//!
//! A [`TestWorld`] holds a real broker and a real lease table in memory; workers speak to them through the AWS SDK as they
//! do in production. Everything runs on tokio's paused clock: time stands still while anybody works, and jumps to the
//! next timer when nobody does, so that minutes of a fleet's life take milliseconds and nothing depends on how fast the
//! machine is. The feature `testing` turns this module on; it changes nothing else.
//!
//! # Retry
//!
//! ```
//! use kcl_core::Batch;
//! use kcl_runtime::testing::TestWorld;
//!
//! #[tokio::test(start_paused = true)]
//! # async fn hidden() {}
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() { retries_until_the_handler_succeeds().await }
//! async fn retries_until_the_handler_succeeds() {
//!     let world = TestWorld::new("orders", 2).await;
//!     let seen = world.recorder();
//!     let calls = seen.clone();
//!     let handler = seen.record(move |_: Batch| {
//!         let first = calls.calls().len() == 1;
//!         async move { if first { Err("the database is away") } else { Ok(()) } }
//!     });
//!     world.start(world.worker("w1").function(handler));
//!     world.put("customer-7", "two apples");
//!     world.until_idle().await;
//!     assert_eq!(seen.data(), ["two apples", "two apples"]);
//! }
//! ```
//!
//! # Reshard
//!
//! ```
//! # use kcl_runtime::testing::TestWorld;
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let world = TestWorld::new("orders", 1).await;
//! let seen = world.recorder();
//! world.start(world.worker("w1").function(seen.succeed()));
//! world.put("customer-7", "before");
//! let [lower, upper] = world.split(&world.shard(0));
//! world.put_into(&lower, "customer-7", "after");
//! world.put_into(&upper, "customer-8", "after, too");
//! world.until_idle().await;
//! assert_eq!(seen.data()[0], "before", "parents come before children");
//! assert_eq!(seen.data().len(), 3);
//! # }
//! ```
//!
//! # Takeover
//!
//! ```
//! # use kcl_runtime::testing::TestWorld;
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let world = TestWorld::new("orders", 2).await;
//! let seen = world.recorder();
//! let first = world.start(world.worker("w1").function(seen.succeed()));
//! world.until_idle().await;
//! world.start(world.worker("w2").function(seen.succeed()));
//! first.crash().await;
//! world.put("customer-7", "two apples");
//! world.until_idle().await;
//! let report = world.report().await;
//! assert_eq!(report.held_by("w2").len(), 2, "{report}");
//! assert_eq!(seen.data(), ["two apples"]);
//! # }
//! ```
//!
//! # What holds for everything here
//!
//! - **Helpers fail as assertions do**: what cannot be done, or does not come true within the virtual deadline, panics
//!   with a message that says so; a wait that fails shows every worker, lease and shard, and what it waits for.
//! - **Runs repeat**: the broker, the workers, their retries and the faults follow from one seed. `tokio::select!`
//!   without `biased` and hash maps with random keys in your own code do not.
//! - **Handlers stay on virtual time**: whatever waits must wait on tokio's timer. While work is under way in
//!   `spawn_blocking` or in a thread, time stands still; while a socket is waited for, it does not.

mod clock;
mod link;
mod recorder;
mod report;
mod stream;
mod wait;
mod worker;
mod world;

pub use kcl_broker::trouble::Fault as ServiceFault;
pub use kcl_checkpoint::{Fault, FaultPlan, FaultRule};

pub use self::{
    clock::VirtualClock,
    link::{Link, LinkState},
    recorder::{CallOutcome, HandlerCall, Recorder},
    report::{ShardView, WorkerState, WorkerView, WorldReport},
    worker::{IntoWorker, TestWorker},
    world::{TestWorld, TestWorldBuilder},
};
