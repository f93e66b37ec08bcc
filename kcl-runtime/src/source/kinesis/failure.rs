//! What the service's errors mean for a reader.

use std::{error::Error, fmt::Debug};

use aws_sdk_kinesis::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use kcl_core::fetch::{FetchFailure, FetchFailureKind};

use super::KinesisSource;

impl KinesisSource {
    /// Waits for a request, within the limit, and reads errors by what to do about them.
    pub(super) async fn timed<T, E, R>(
        &self,
        operation: &'static str,
        request: impl Future<Output = Result<T, SdkError<E, R>>>,
    ) -> Result<T, FetchFailure>
    where
        E: Error + ProvideErrorMetadata + Debug + 'static,
        R: Debug + 'static,
    {
        let (limit, generation) = (self.request_timeout, self.clients.generation());
        let result = match tokio::time::timeout(limit, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if !is_unanswered(&error) => Err(failure(operation, &error)),
            unanswered => {
                if self.clients.unanswered(generation) {
                    self.clients.renew(&self.stream);
                }
                return Err(match unanswered {
                    Ok(Err(error)) => failure(operation, &error),
                    _ => FetchFailure {
                        kind: FetchFailureKind::Unavailable,
                        message: format!("{operation} gave no answer within {} s", limit.as_secs_f64()),
                    },
                });
            }
        };
        self.clients.answered();
        result
    }
}

/// Whether the client's own time limits, if it has any, were reached.
fn is_unanswered<E, R>(error: &SdkError<E, R>) -> bool {
    match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    }
}

pub(super) fn failure<E, R>(operation: &'static str, error: &SdkError<E, R>) -> FetchFailure
where
    E: Error + ProvideErrorMetadata + Debug + 'static,
    R: Debug + 'static,
{
    FetchFailure {
        kind: kind_of(error.code()),
        message: message_of(operation, error),
    }
}

/// What to do about an error of this code.
fn kind_of(code: Option<&str>) -> FetchFailureKind {
    match code {
        Some("ProvisionedThroughputExceededException" | "LimitExceededException" | "KMSThrottlingException") => {
            FetchFailureKind::Throttled
        }
        Some("ThrottlingException" | "Throttling" | "RequestLimitExceeded") => FetchFailureKind::Throttled,
        Some("ExpiredIteratorException") => FetchFailureKind::Expired,
        Some("ResourceInUseException") => FetchFailureKind::InUse,
        Some("ResourceNotFoundException") => FetchFailureKind::NotFound,
        Some("InvalidArgumentException" | "ValidationException") => FetchFailureKind::InvalidPosition,
        Some("AccessDeniedException" | "KMSAccessDeniedException" | "UnrecognizedClientException") => {
            FetchFailureKind::Denied
        }
        // Somebody has to change something about the key first.
        Some("KMSDisabledException" | "KMSInvalidStateException" | "KMSNotFoundException" | "KMSOptInRequired") => {
            FetchFailureKind::Denied
        }
        Some("InvalidSignatureException" | "MissingAuthenticationTokenException" | "ExpiredTokenException") => {
            FetchFailureKind::Denied
        }
        _ => FetchFailureKind::Unavailable,
    }
}

fn message_of<E, R>(operation: &'static str, error: &SdkError<E, R>) -> String
where
    E: Error + ProvideErrorMetadata + Debug + 'static,
    R: Debug + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{operation}: {code}: {message}"),
        (Some(code), None) => format!("{operation}: {code}"),
        _ => format!("{operation}: {}", short_cause(error)),
    }
}

/// The innermost cause in plain words: the SDK's own first sentence is no more than "dispatch failure".
fn short_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let (outer, inner) = (error.to_string(), cause.to_string());
    match (outer == inner, inner.is_empty()) {
        (true, false) => inner,
        (false, false) => format!("{outer}: {inner}"),
        (_, true) => DisplayErrorContext(error).to_string(),
    }
}

pub(super) fn malformed(message: String) -> FetchFailure {
    FetchFailure {
        kind: FetchFailureKind::Malformed,
        message,
    }
}
