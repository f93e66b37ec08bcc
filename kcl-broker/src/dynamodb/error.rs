//! [`DynamoError`]: what the service answers when it does not do what it was asked.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::item::Item;

/// The type of an error, as clients tell errors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DynamoErrorKind {
    /// The request breaks a rule of the API, or does not fit the table.
    Validation,
    /// The body cannot be read as a request.
    Serialization,
    /// There is no operation of this name.
    UnknownOperation,
    /// The table does not exist, or not yet.
    ResourceNotFound,
    /// The table does not exist, as operations on backups say it.
    TableNotFound,
    /// The table exists already, or is changing.
    ResourceInUse,
    /// A limit of the account, here of the broker, is reached.
    LimitExceeded,
    /// The condition of a write does not hold.
    ConditionalCheckFailed,
    /// A transaction did nothing, because one of its parts could not be done.
    TransactionCanceled,
    /// A transaction's token was used before, for another transaction.
    IdempotentParameterMismatch,
    /// The table's throughput is used up. Only scripted trouble says so: tables here have no throughput limit.
    ProvisionedThroughputExceeded,
    /// The service failed. Only scripted trouble says so.
    InternalServerError,
    /// The service cannot be reached for now. Only scripted trouble says so.
    ServiceUnavailable,
}

impl DynamoErrorKind {
    /// The name, as SDKs show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "ValidationException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::TableNotFound => "TableNotFoundException",
            Self::ResourceInUse => "ResourceInUseException",
            Self::LimitExceeded => "LimitExceededException",
            Self::ConditionalCheckFailed => "ConditionalCheckFailedException",
            Self::TransactionCanceled => "TransactionCanceledException",
            Self::IdempotentParameterMismatch => "IdempotentParameterMismatchException",
            Self::ProvisionedThroughputExceeded => "ProvisionedThroughputExceededException",
            Self::InternalServerError => "InternalServerError",
            Self::ServiceUnavailable => "ServiceUnavailableException",
        }
    }

    /// The shape's namespace on the wire, which SDKs cut off.
    const fn namespace(self) -> &'static str {
        match self {
            Self::Validation => "com.amazon.coral.validate",
            Self::Serialization | Self::UnknownOperation | Self::ServiceUnavailable => "com.amazon.coral.service",
            _ => "com.amazonaws.dynamodb.v20120810",
        }
    }

    /// The HTTP status that goes with the error.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InternalServerError => 500,
            Self::ServiceUnavailable => 503,
            _ => 400,
        }
    }
}

impl fmt::Display for DynamoErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why one part of a transaction could not be done, or `None` if it was not to blame.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CancellationReason {
    pub(super) code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<Item>,
}

/// An operation was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamoError {
    kind: DynamoErrorKind,
    message: String,
    detail: Option<Box<Detail>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Detail {
    Item(Item),
    Reasons(Vec<CancellationReason>),
}

impl DynamoError {
    /// An error with a message, which is cut at 8 KiB: messages repeat what the client sent.
    #[must_use]
    pub fn new(kind: DynamoErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        Self {
            kind,
            message,
            detail: None,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(DynamoErrorKind::Validation, message)
    }

    /// A value that the operation cannot use, in the words that the service begins with.
    pub(super) fn invalid_value(what: impl fmt::Display) -> Self {
        Self::invalid(format!("One or more parameter values were invalid: {what}"))
    }

    pub(super) fn no_such_table() -> Self {
        Self::new(DynamoErrorKind::ResourceNotFound, "Requested resource not found")
    }

    pub(super) fn condition_failed(item: Option<Item>) -> Self {
        Self {
            detail: item.map(Detail::Item).map(Box::new),
            ..Self::new(
                DynamoErrorKind::ConditionalCheckFailed,
                "The conditional request failed",
            )
        }
    }

    pub(super) fn canceled(reasons: Vec<CancellationReason>) -> Self {
        let codes: Vec<_> = reasons.iter().map(|reason| reason.code).collect();
        let message = format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        );
        Self {
            detail: Some(Box::new(Detail::Reasons(reasons))),
            ..Self::new(DynamoErrorKind::TransactionCanceled, message)
        }
    }

    /// The reason that this error is for the transaction that its cause is a part of.
    pub(super) fn into_reason(self) -> CancellationReason {
        let code = match self.kind {
            DynamoErrorKind::ConditionalCheckFailed => "ConditionalCheckFailed",
            _ => "ValidationError",
        };
        CancellationReason {
            code,
            message: Some(self.message),
            item: self.detail.and_then(|detail| match *detail {
                Detail::Item(item) => Some(item),
                Detail::Reasons(_) => None,
            }),
        }
    }

    /// The error's type.
    #[must_use]
    pub const fn kind(&self) -> DynamoErrorKind {
        self.kind
    }

    /// What the service says about it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The body of the response, in JSON.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut body = json!({"__type": format!("{}#{}", self.kind.namespace(), self.kind)});
        let member = match self.kind {
            DynamoErrorKind::Serialization | DynamoErrorKind::TransactionCanceled => "Message",
            _ => "message",
        };
        if !self.message.is_empty() {
            body[member] = Value::from(self.message.as_str());
        }
        let detail = self.detail.as_deref().map(|detail| match detail {
            Detail::Item(item) => ("Item", json!(item)),
            Detail::Reasons(reasons) => ("CancellationReasons", json!(reasons)),
        });
        if let Some((member, value)) = detail {
            body[member] = value;
        }
        body.to_string().into_bytes()
    }
}

impl fmt::Display for DynamoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for DynamoError {}

const MESSAGE_BYTES_MAX: usize = 8 << 10;
