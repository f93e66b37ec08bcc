//! Handlers written for `lambda_runtime` 0.14 and `aws_lambda_events` 0.18, in this program.
//!
//! Events of Kinesis are made of the records themselves. They do not pass through JSON, nor through the crate's reader of
//! times, which takes `.5` for 5 milliseconds.

use ::aws_lambda_events_0 as aws_lambda_events;
use ::lambda_runtime_0 as lambda_runtime;

#[expect(
    clippy::duplicate_mod,
    reason = "two versions of the same crates: what is written is equal, the types are not"
)]
#[expect(
    clippy::field_reassign_with_default,
    reason = "types of the next version can be made in no other way"
)]
#[path = "handlers.rs"]
mod handlers;

pub use self::handlers::Handler;
