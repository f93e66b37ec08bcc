//! [`ApiError`]: what the service answers when it does not do what it was asked.

use std::fmt;

/// The type of an error, as clients tell errors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A member has a value that the operation cannot use.
    InvalidArgument,
    /// One or more members break the constraints of the API's model.
    Validation,
    /// The body cannot be read as a request.
    Serialization,
    /// There is no operation of this name.
    UnknownOperation,
    /// The request is not signed.
    MissingAuthenticationToken,
    /// The request is signed in more than one way.
    InvalidSignature,
    /// The request is signed, but something that belongs to it is missing.
    IncompleteSignature,
    /// The stream or the shard does not exist.
    ResourceNotFound,
    /// The stream exists already, or is not in a state that allows the operation.
    ResourceInUse,
    /// A limit of the account, here of the broker, is reached, or an operation is called too often.
    LimitExceeded,
    /// A shard is asked to take or to give more than it does in a second.
    ProvisionedThroughputExceeded,
    /// The shard iterator is older than five minutes.
    ExpiredIterator,
    /// The token of a listing is older than five minutes.
    ExpiredNextToken,
    /// The request would have succeeded, and was only to be checked.
    DryRunOperation,
    /// The service failed, and not because of the request. This broker does so only if it is told to.
    InternalFailure,
    /// The service is not available. This broker is not only if it is told so.
    ServiceUnavailable,
}

impl ErrorKind {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "InvalidArgumentException",
            Self::Validation => "ValidationException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ResourceInUse => "ResourceInUseException",
            Self::LimitExceeded => "LimitExceededException",
            Self::ProvisionedThroughputExceeded => "ProvisionedThroughputExceededException",
            Self::ExpiredIterator => "ExpiredIteratorException",
            Self::ExpiredNextToken => "ExpiredNextTokenException",
            Self::DryRunOperation => "DryRunOperationException",
            Self::InternalFailure => "InternalFailure",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An operation was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    kind: ErrorKind,
    message: Option<String>,
}

impl ApiError {
    /// An error with a message, which is cut at 8 KiB: messages repeat what the client sent.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        Self {
            kind,
            message: Some(message),
        }
    }

    /// An error that the service gives no message for.
    #[must_use]
    pub const fn bare(kind: ErrorKind) -> Self {
        Self { kind, message: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// Refuses a request that was only to be checked, and has been.
    pub(crate) fn dry_run() -> Self {
        let message = "The request would have succeeded, but the DryRun parameter is set.";
        Self::new(ErrorKind::DryRunOperation, message)
    }

    /// The error's type.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the service says about it.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

impl std::error::Error for ApiError {}

const MESSAGE_BYTES_MAX: usize = 8 << 10;
