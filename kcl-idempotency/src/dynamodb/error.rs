//! What the service says, as what to do about it.

use std::error::Error as StdError;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::store::{IdempotencyStoreError, StoreStep};

/// A request to the service: what an error about it names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) table: &'a str,
    pub(super) step: StoreStep,
    /// What the service calls it; with `dynamodb:` in front, the permission that it takes.
    pub(super) action: &'static str,
}

impl Request<'_> {
    pub(super) fn failed<E, R>(self, error: SdkError<E, R>) -> IdempotencyStoreError
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let Self { table, step, action } = self;
        let problem = match error.code() {
            Some("ResourceNotFoundException") => Some(format!(
                "there is no table {table}; create it, with a key of type S named id (or as the store was told)"
            )),
            Some("AccessDeniedException") => Some(format!(
                "the permission dynamodb:{action} on the table {table} is missing"
            )),
            Some("ValidationException") => Some(format!(
                "the table {table} does not fit ({}); its key must be of type S and named as the store was told",
                error.message().unwrap_or("no reason given")
            )),
            _ => None,
        };
        match problem {
            Some(problem) => IdempotencyStoreError::Unusable {
                problem,
                source: Some(error.into()),
            },
            None => IdempotencyStoreError::Unavailable {
                step,
                source: error.into(),
            },
        }
    }
}
