//! Failure destinations: who is told of batches that were given up, as on AWS, and what AWS does not tell them.
//!
//! They are [`DeadLetters`](kcl_runtime::dead_letter::DeadLetters): a record is not passed before its destination took it. What
//! they write is Lambda's [invocation record](crate::invocation_record). None of them can say which keys are in quarantine, so
//! that a worker that starts anew delivers such keys again; keep quarantined keys in
//! [`SqliteDeadLetters`](kcl_runtime::dead_letter::SqliteDeadLetters).
//!
//! - `SqsDestination`, with the feature `sqs`: a standard queue.
//! - [`KinesisDestination`]: a stream. Not on AWS.
//!
//! Which one an ARN means, and that FIFO queues and topics are refused as on AWS, is for
//! [`mapping::Destination`](crate::mapping::Destination) to say; [`LambdaRecords`] makes the records of all of them.

mod kinesis;
mod records;
#[cfg(feature = "sqs")]
mod sqs;
#[cfg(test)]
mod tests;

use kcl_core::BoxError;

#[cfg(feature = "sqs")]
pub use self::sqs::SqsDestination;
pub use self::{
    kinesis::KinesisDestination,
    records::{LambdaRecords, MESSAGE_BYTES_MAX},
};

/// A destination does not have a letter. It is given it again, and the records are not passed.
#[derive(Debug, thiserror::Error)]
#[error("the letter is not delivered to {destination}")]
pub struct DeliveryError {
    destination: String,
    #[source]
    source: BoxError,
}

impl DeliveryError {
    fn new(destination: &str, source: impl Into<BoxError>) -> Self {
        Self {
            destination: destination.to_owned(),
            source: source.into(),
        }
    }
}

/// An ARN that is no place of the kind that was asked for.
#[cfg(feature = "sqs")]
#[derive(Debug, thiserror::Error)]
#[error("{arn} is not the ARN of {expected}")]
pub struct WrongDestination {
    arn: String,
    expected: &'static str,
}
