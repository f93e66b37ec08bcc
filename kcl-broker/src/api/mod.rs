//! The vocabulary of the Kinesis API: requests, their outputs and the errors, free of any encoding.
//!
//! Requests carry what a client sent, unchecked: whether a member is missing or too long is for the
//! [`Engine`](crate::Engine) to say, in the words of the service. The members are those of the
//! [API reference](https://docs.aws.amazon.com/kinesis/latest/APIReference/).

mod error;
pub(crate) mod field;
mod output;
mod request;

pub use self::{
    error::{ApiError, ErrorKind},
    output::*,
    request::*,
};
