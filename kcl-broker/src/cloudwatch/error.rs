//! [`MetricsError`]: what CloudWatch answers when it does not do what it was asked.

use std::fmt;

/// The type of an error, as clients tell errors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MetricsErrorKind {
    /// A member has a value that cannot be used.
    InvalidParameterValue,
    /// Members contradict each other.
    InvalidParameterCombination,
    /// A member is missing.
    MissingParameter,
    /// The body cannot be read as a request.
    Malformed,
    /// There is no operation of this name.
    InvalidAction,
    /// The request is not signed.
    MissingAuthentication,
    /// Requests come too fast. Only scripted trouble says so.
    Throttling,
    /// The service failed. Only scripted trouble says so.
    InternalServiceFault,
    /// The service cannot be reached for now. Only scripted trouble says so.
    ServiceUnavailable,
}

impl MetricsErrorKind {
    /// The code in the query protocol, which the others keep for clients that know no other.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidParameterValue => "InvalidParameterValue",
            Self::InvalidParameterCombination => "InvalidParameterCombination",
            Self::MissingParameter => "MissingParameter",
            Self::Malformed => "MalformedInput",
            Self::InvalidAction => "InvalidAction",
            Self::MissingAuthentication => "MissingAuthenticationToken",
            Self::Throttling => "Throttling",
            Self::InternalServiceFault => "InternalServiceError",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }

    /// The name of the error's shape.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParameterValue => "InvalidParameterValueException",
            Self::InvalidParameterCombination => "InvalidParameterCombinationException",
            Self::MissingParameter => "MissingRequiredParameterException",
            Self::Malformed => "SerializationException",
            Self::InvalidAction => "UnknownOperationException",
            Self::MissingAuthentication => "MissingAuthenticationTokenException",
            Self::Throttling => "ThrottlingException",
            Self::InternalServiceFault => "InternalServiceFault",
            Self::ServiceUnavailable => "ServiceUnavailableException",
        }
    }

    /// The HTTP status that goes with the error.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InternalServiceFault => 500,
            Self::ServiceUnavailable => 503,
            _ => 400,
        }
    }
}

/// An operation was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsError {
    kind: MetricsErrorKind,
    message: String,
}

impl MetricsError {
    /// An error with a message, which is cut at 8 KiB: messages repeat what the client sent.
    #[must_use]
    pub fn new(kind: MetricsErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        Self { kind, message }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(MetricsErrorKind::InvalidParameterValue, message)
    }

    pub(super) fn missing(member: &str) -> Self {
        let message = format!("The parameter {member} is required.");
        Self::new(MetricsErrorKind::MissingParameter, message)
    }

    /// The error's type.
    #[must_use]
    pub const fn kind(&self) -> MetricsErrorKind {
        self.kind
    }

    /// What the service says about it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for MetricsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl std::error::Error for MetricsError {}

const MESSAGE_BYTES_MAX: usize = 8 << 10;
