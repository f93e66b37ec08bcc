//! [`FaultError`]: why a fault cannot be planned.

use super::operation;

/// A fault cannot be planned as it is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// There is no such fault.
    #[error("there is no fault {fault:?}; there are {}", super::shape::names())]
    UnknownFault {
        /// As it was given.
        fault: String,
    },
    /// There is no such operation.
    #[error("there is no operation {operation:?}; there are *, {}", operation::names())]
    UnknownOperation {
        /// As it was given.
        operation: String,
    },
    /// The fault cannot happen to calls of the operation.
    #[error("{fault} does not happen to {operation}; it happens to {happens_to}")]
    WrongOperation {
        /// The fault.
        fault: &'static str,
        /// The operation that was given.
        operation: String,
        /// Those that it happens to.
        happens_to: &'static str,
    },
    /// Calls of the operation are never about what the fault wants them to be about.
    #[error("{operation} is never about a {what}, so that the fault would never strike; leave the {what} out")]
    WrongSubject {
        /// The operation.
        operation: String,
        /// `stream`, `shard` or `table`.
        what: &'static str,
    },
    /// The fault lacks something that it takes.
    #[error("{fault} takes {member}: {what}")]
    Missing {
        /// The fault.
        fault: &'static str,
        /// What is missing.
        member: &'static str,
        /// What it means.
        what: &'static str,
    },
    /// The fault has something that it does not take.
    #[error("{fault} takes no {member}")]
    Foreign {
        /// The fault.
        fault: &'static str,
        /// What is too much.
        member: &'static str,
    },
    /// A probability or a share is not from 0 to 1.
    #[error("{member} is {value}, and must be more than 0 and at most 1")]
    NoShare {
        /// `probability` or `records`.
        member: &'static str,
        /// As it was given.
        value: f64,
    },
    /// The fault could strike zero times.
    #[error("times is 0, so that the fault would never strike; leave it out for any number of times")]
    Never,
    /// The plan is full.
    #[error("there are {limit} faults already, which is as many as there can be; clear those that are over")]
    TooMany {
        /// The most faults of a plan.
        limit: usize,
    },
}
