//! [`Invoke`] and [`InvokeRecords`]: the seam between what delivers batches and what runs functions.

mod records;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use bytestring::ByteString;
use uuid::Uuid;

pub use self::records::{InvokeRecords, RecordsInvocation};
use crate::wall::wall;

/// Runs a function once.
///
/// Calls may run at the same time; how many do is for the implementation to say, and a call waits for its turn. To drop the
/// future is to give the invocation up: what runs is stopped, as far as that is possible, and nobody learns how it ended.
#[async_trait]
pub trait Invoke: fmt::Debug + Send + Sync {
    /// Gives the event to the function and waits for the answer, as the function gave it: JSON as a rule, or nothing.
    ///
    /// # Errors
    ///
    /// [`InvokeError::Function`] if the function ran and failed, which counts as a try; [`InvokeError::NotInvoked`] if it did
    /// not run, which does not.
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvokeError>;
}

#[async_trait]
impl<I: Invoke + ?Sized> Invoke for Arc<I> {
    async fn invoke(&self, invocation: Invocation) -> Result<Bytes, InvokeError> {
        (**self).invoke(invocation).await
    }
}

/// What an invocation is called, in the form of AWS's request ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A random one.
    ///
    /// ```
    /// let mut chance = fastrand::Rng::with_seed(7);
    /// let id = kcl_lambda::RequestId::random(&mut chance);
    /// assert_eq!(id.to_string().len(), 36);
    /// ```
    #[must_use]
    pub fn random(chance: &mut fastrand::Rng) -> Self {
        let bytes = chance.u128(..).to_be_bytes();
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl From<Uuid> for RequestId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// One run of a function: what it is given, and what it is told about itself.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invocation {
    /// What the invocation is called. A retry is another invocation, with an id of its own.
    pub request_id: RequestId,
    /// The event: JSON.
    pub event: Bytes,
    /// How long the function may take. What it takes to start a process, or to wait for one, is not counted.
    pub timeout: Duration,
    /// The ARN that the function is told it was invoked by.
    pub function_arn: ByteString,
    /// The tracing header (`Root=...;Parent=...;Sampled=...`), if there is one.
    pub trace_id: Option<ByteString>,
}

impl Invocation {
    /// An invocation without tracing.
    #[must_use]
    pub fn new(request_id: RequestId, event: Bytes, timeout: Duration, function_arn: impl Into<ByteString>) -> Self {
        Self {
            request_id,
            event,
            timeout,
            function_arn: function_arn.into(),
            trace_id: None,
        }
    }

    /// The same invocation with a tracing header.
    #[must_use]
    pub fn with_trace_id(mut self, trace_id: impl Into<ByteString>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }
}

impl fmt::Debug for Invocation {
    /// Names the invocation; the event stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("request_id", &format_args!("{}", self.request_id))
            .field("event_bytes", &self.event.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why an invocation gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// The function ran and failed: that counts as a try.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// It did not run, or it was us who stopped it: that does not count as a try.
    #[error("the function was not invoked: {reason}")]
    NotInvoked {
        /// Why, for people.
        reason: String,
        /// How long there is no point in trying again; `None` if that is not known.
        retry_after: Option<Duration>,
    },
}

impl InvokeError {
    /// Whether it counts as a try of the records.
    #[must_use]
    pub const fn is_try(&self) -> bool {
        matches!(self, Self::Function(_))
    }
}

/// What a function said when it failed, or what is said of one that could not say anything any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {message}")]
#[non_exhaustive]
pub struct FunctionError {
    /// The type of the error: an exception's name, or one of AWS's such as `Runtime.ExitError`.
    pub error_type: String,
    /// What it says. Functions like to put data in here: it does not belong in logs.
    pub message: String,
    /// Where it was thrown, as far as the function told: a line per frame.
    pub stack_trace: Vec<String>,
    /// How the invocation ended.
    pub kind: FunctionErrorKind,
}

impl FunctionError {
    /// An error without a stack trace.
    #[must_use]
    pub fn new(kind: FunctionErrorKind, error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            error_type: error_type.into(),
            message: message.into(),
            stack_trace: Vec::new(),
            kind,
        }
    }

    /// The error of an invocation that took longer than this, in Lambda's words.
    pub(crate) fn timed_out(id: RequestId, limit: Duration) -> Self {
        let message = format!(
            "{} {id} Task timed out after {:.2} seconds",
            wall(),
            limit.as_secs_f64()
        );
        Self::new(FunctionErrorKind::Timeout, "Sandbox.Timedout", message)
    }

    /// The same error with where it was thrown.
    #[must_use]
    pub fn with_stack_trace(mut self, stack_trace: Vec<String>) -> Self {
        self.stack_trace = stack_trace;
        self
    }
}

/// How a failed invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FunctionErrorKind {
    /// The function reported an error, or panicked.
    Unhandled,
    /// It took too long, and was stopped.
    Timeout,
    /// Its process ended.
    Exited,
    /// It answered with more than is taken.
    ResponseTooLarge,
}
