//! What faults know of operations: their names, and what can happen to them.

use super::{FaultError, FaultKind};
use crate::wire;

/// Stands for all operations.
pub(super) const ALL: &str = "*";
/// Stands, behind the name of a service, for all its operations.
const ALL_OF_SERVICE: &str = ".*";
const TABLES: &str = "DynamoDB.";
/// What of DynamoDB is about no table.
const ON_ALL_TABLES: &str = "DynamoDB.ListTables";

/// What is about shards.
const ON_SHARDS: [&str; 7] = [
    "GetRecords",
    "GetShardIterator",
    "MergeShards",
    "PutRecord",
    "PutRecords",
    "SplitShard",
    "SubscribeToShard",
];
/// What is about no stream.
const ON_ACCOUNT: [&str; 4] = [
    "DescribeAccountSettings",
    "DescribeLimits",
    "ListStreams",
    "UpdateAccountSettings",
];

/// Whether the throughput of shards limits an operation, and not the number of its calls.
pub(crate) fn is_on_records(operation: &str) -> bool {
    matches!(
        operation,
        "GetRecords" | "GetShardIterator" | "PutRecord" | "PutRecords"
    )
}

/// The names of all operations, for people.
pub(super) fn names() -> String {
    wire::operations().collect::<Vec<_>>().join(", ")
}

/// Whether `operation` is among those that `pattern` names.
pub(super) fn matches(pattern: &str, operation: &str) -> bool {
    pattern == ALL
        || pattern == operation
        || pattern
            .strip_suffix(ALL_OF_SERVICE)
            .and_then(|service| operation.strip_prefix(service))
            .is_some_and(|rest| rest.starts_with('.'))
}

/// Whether a fault of this kind can happen to calls of `operation`.
pub(super) fn can_happen(kind: FaultKind, operation: &str) -> bool {
    match kind {
        FaultKind::ExpiredIterator | FaultKind::NullIterator => operation == "GetRecords",
        FaultKind::StaleShards(_) => operation == "ListShards",
        FaultKind::SilentSubscription | FaultKind::Disconnect(_) => operation == "SubscribeToShard",
        FaultKind::ResourceInUse => {
            let looks = ["Describe", "Get", "List", "Put"]
                .iter()
                .any(|verb| operation.starts_with(verb));
            !looks && !operation.contains('.')
        }
        _ => true,
    }
}

const fn happens_to(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::ExpiredIterator | FaultKind::NullIterator => "GetRecords",
        FaultKind::StaleShards(_) => "ListShards",
        FaultKind::SilentSubscription | FaultKind::Disconnect(_) => "SubscribeToShard",
        FaultKind::ResourceInUse => "SubscribeToShard, and to what changes streams and consumers",
        _ => "every operation",
    }
}

/// Refuses what names no operation, or none that the fault can happen to.
pub(super) fn check(pattern: &str, kind: FaultKind) -> Result<(), FaultError> {
    let mut named = wire::operations()
        .filter(|operation| matches(pattern, operation))
        .peekable();
    if named.peek().is_none() {
        return Err(FaultError::UnknownOperation {
            operation: pattern.to_owned(),
        });
    }
    if named.any(|operation| can_happen(kind, operation)) {
        return Ok(());
    }
    Err(FaultError::WrongOperation {
        fault: kind.name(),
        operation: pattern.to_owned(),
        happens_to: happens_to(kind),
    })
}

/// Whether calls of operations that `pattern` names can be about a `stream`, a `shard` or a `table`.
pub(super) fn is_about(pattern: &str, what: &str) -> bool {
    if pattern == ALL {
        return true;
    }
    match what {
        "table" => pattern.starts_with(TABLES) && pattern != ON_ALL_TABLES,
        "shard" => ON_SHARDS.contains(&pattern),
        _ => !pattern.contains('.') && !ON_ACCOUNT.contains(&pattern),
    }
}
