//! What the service says, as what a worker should do about it.

use std::{error::Error as StdError, fmt, io};

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use kcl_core::{BoxError, StoreError, StoreOperation, UnreadableRow};

/// A request to the service: what an error about it names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) table: &'a str,
    /// What it is for.
    pub(super) operation: StoreOperation,
    /// What the service calls it; with `dynamodb:` in front, the permission that it takes.
    pub(super) action: &'static str,
}

/// Which request an error is about: only some of [`StoreError`]'s variants have room for it but the source.
#[derive(Debug)]
struct AboutRequest {
    text: String,
    source: BoxError,
}

impl fmt::Display for AboutRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for AboutRequest {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_ref())
    }
}

/// A row that is in the way of a write, or was asked for, and is no lease.
#[derive(Debug, thiserror::Error)]
#[error("the row {key:?} of table {table} {problem}; correct or delete it")]
struct BadRow {
    table: String,
    key: String,
    problem: String,
}

/// What an error's code means. Codes come from the service's list of common errors and of those of each operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Too many requests; this one was not carried out.
    Throttled,
    /// Not carried out, and may be later.
    Refused,
    /// Carried out or not.
    Failed,
    NoTable,
    NoPermission,
    BadCredentials,
    /// The request does not fit the table.
    Invalid,
    Unknown,
}

fn meaning(code: &str, status: u16) -> Meaning {
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "SlowDown" => Meaning::Throttled,
        "TransactionConflictException"
        | "TransactionInProgressException"
        | "ReplicatedWriteConflictException"
        | "ResourceInUseException"
        // The SDK fetches new credentials before they expire; if it was late, the next request has them.
        | "ExpiredToken"
        | "ExpiredTokenException" => Meaning::Refused,
        "ResourceNotFoundException" | "TableNotFoundException" => Meaning::NoTable,
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => Meaning::NoPermission,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken" => Meaning::BadCredentials,
        "ValidationException" => Meaning::Invalid,
        _ if status >= 500 => Meaning::Failed,
        _ if status == 429 => Meaning::Throttled,
        _ => Meaning::Unknown,
    }
}

/// Whether the service says that the table of the request is not there, or not yet, or not any more.
pub(super) fn says_no_table(error: &impl ProvideErrorMetadata) -> bool {
    error.code().is_some_and(|code| meaning(code, 0) == Meaning::NoTable)
}

impl Request<'_> {
    /// Reads the failure of the request.
    pub(super) fn failed<E>(&self, error: SdkError<E, HttpResponse>) -> StoreError
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let code = answer.err().code().unwrap_or_default().to_owned();
                let message = answer.err().message().unwrap_or_default().to_owned();
                self.refused(meaning(&code, status), &code, &message, error.into())
            }
            // Nothing left this process.
            SdkError::ConstructionFailure(_) => self.unavailable(error),
            SdkError::DispatchFailure(failure) if failure.is_user() || was_not_connected(&error) => {
                self.unavailable(error)
            }
            _ => self.lost(error),
        }
    }

    fn refused(&self, meaning: Meaning, code: &str, message: &str, source: BoxError) -> StoreError {
        let Self {
            table,
            operation,
            action,
        } = *self;
        let unusable = |problem: String, source| StoreError::Unusable {
            problem,
            source: Some(source),
        };
        match meaning {
            Meaning::Throttled => StoreError::Throttled { operation },
            Meaning::Refused => self.unavailable(source),
            Meaning::Failed => self.lost(source),
            Meaning::NoTable => unusable(
                format!(
                    "the table {table} does not exist ({action}); check its name, region and account, or let a worker create it. \
                     If it was deleted, restore it from a backup: without it, every shard starts at its initial position"
                ),
                source,
            ),
            Meaning::NoPermission => unusable(
                format!(
                    "the permission dynamodb:{action} on table {table} is missing; add it to the worker's role ({message})"
                ),
                source,
            ),
            Meaning::BadCredentials => unusable(
                format!(
                    "the credentials were refused at dynamodb:{action} on table {table} ({code}: {message}); correct them, and the clock"
                ),
                source,
            ),
            Meaning::Invalid => {
                let advice = match operation {
                    StoreOperation::Coordinate | StoreOperation::Publish => {
                        "see whether `coordinator_table` and `worker_metrics_table` of the store's settings name the right tables"
                    }
                    _ => "give the name of a lease table, or of a table that does not exist yet",
                };
                unusable(
                    format!("the table {table} refuses {action} ({message}); {advice}"),
                    source,
                )
            }
            Meaning::Unknown => unusable(
                format!("the table {table} refuses {action} ({code}: {message})"),
                source,
            ),
        }
    }

    /// Nothing was changed; trying again may help.
    pub(super) fn unavailable(&self, source: impl Into<BoxError>) -> StoreError {
        StoreError::Unavailable {
            operation: self.operation,
            source: self.about(source),
        }
    }

    /// No answer: a read has changed nothing, a write may have happened.
    pub(super) fn lost(&self, source: impl Into<BoxError>) -> StoreError {
        match self.operation {
            StoreOperation::Create | StoreOperation::Update | StoreOperation::Delete | StoreOperation::Publish => {
                StoreError::Ambiguous {
                    operation: self.operation,
                    source: self.about(source),
                }
            }
            _ => self.unavailable(source),
        }
    }

    fn about(&self, source: impl Into<BoxError>) -> BoxError {
        AboutRequest {
            text: format!("{} on table {}", self.action, self.table),
            source: source.into(),
        }
        .into()
    }

    /// A row that cannot be read as a lease. It concerns this row only, so the table as a whole stays usable.
    pub(super) fn unreadable(&self, row: UnreadableRow) -> BoxError {
        self.bad_row(row.key, format!("cannot be read ({})", row.reason))
    }

    /// A row that is something else, where a lease was to be.
    pub(super) fn foreign(&self, key: &str, entity: &str) -> BoxError {
        self.bad_row(key.to_owned(), format!("is no lease but a {entity}"))
    }

    fn bad_row(&self, key: String, problem: String) -> BoxError {
        BadRow {
            table: self.table.to_owned(),
            key,
            problem,
        }
        .into()
    }
}

/// Whether there was no connection to send anything over.
fn was_not_connected(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_error_codes_when_read_then_each_says_what_to_do() {
        for (code, status, wanted) in [
            ("ProvisionedThroughputExceededException", 400, Meaning::Throttled),
            ("RequestLimitExceeded", 400, Meaning::Throttled),
            ("Anything", 429, Meaning::Throttled),
            ("InternalServerError", 500, Meaning::Failed),
            ("ServiceUnavailable", 503, Meaning::Failed),
            ("", 502, Meaning::Failed),
            ("ExpiredTokenException", 400, Meaning::Refused),
            ("ResourceNotFoundException", 400, Meaning::NoTable),
            ("AccessDeniedException", 400, Meaning::NoPermission),
            ("UnrecognizedClientException", 400, Meaning::BadCredentials),
            ("ValidationException", 400, Meaning::Invalid),
            ("SomethingNew", 400, Meaning::Unknown),
        ] {
            assert_eq!(meaning(code, status), wanted, "{code} {status}");
        }
    }
}
