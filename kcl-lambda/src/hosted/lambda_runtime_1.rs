//! Handlers written for `lambda_runtime` 1.x and `aws_lambda_events` 1.x, in this program.
//!
//! Events of Kinesis are made of the records themselves. They do not pass through JSON, nor through the crate's reader of
//! times, which takes `.5` for 5 milliseconds.

use ::aws_lambda_events_1 as aws_lambda_events;
use ::lambda_runtime_1 as lambda_runtime;

#[expect(
    clippy::duplicate_mod,
    reason = "two versions of the same crates: what is written is equal, the types are not"
)]
#[path = "handlers.rs"]
mod handlers;

pub use self::handlers::Handler;
