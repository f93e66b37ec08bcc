//! Functions in this program, without a process of their own: async functions and tower services over JSON, and, with the
//! features of the same names, handlers written for `lambda_runtime`.
//!
//! A call ends with the invocation's timeout, which drops its future: what blocks its thread, or runs in another task, goes
//! on. A panic fails the invocation. Calls run at the same time, in the task of whoever invokes.

mod contained;
mod json;
#[cfg(feature = "lambda-runtime-0")]
pub mod lambda_runtime_0;
#[cfg(feature = "lambda-runtime-1")]
pub mod lambda_runtime_1;
#[cfg(test)]
mod tests;

pub use self::json::{InvocationContext, JsonFunction, JsonService};
