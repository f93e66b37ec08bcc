//! [`OperationFilter`]: which calls one wants to see.

use serde::{Deserialize, Serialize};

use super::{OperationEntry, Outcome};

/// Which calls of the log one wants to see. By default all.
///
/// ```
/// use kcl_broker::operations_log::OperationFilter;
///
/// let filter = OperationFilter::default().operation("GetRecords").stream("rides").failed().last(100);
/// # let _ = filter;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
#[non_exhaustive]
pub struct OperationFilter {
    /// Those of this operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Those about this stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Those about this shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Those about this DynamoDB table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Those of callers whose address, access key id or user agent contains this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Those that were refused or got no answer.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    /// Those that a fault struck.
    #[serde(skip_serializing_if = "is_false")]
    pub struck: bool,
    /// Those after the one of this serial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Of all these the last so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<usize>,
}

impl OperationFilter {
    /// Only those of this operation.
    pub fn operation(mut self, name: impl Into<String>) -> Self {
        self.operation = Some(name.into());
        self
    }

    /// Only those about this stream.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// Only those about this shard.
    pub fn shard(mut self, id: impl Into<String>) -> Self {
        self.shard = Some(id.into());
        self
    }

    /// Only those about this DynamoDB table.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = Some(name.into());
        self
    }

    /// Only those of callers whose address, access key id or user agent contains this.
    pub fn caller(mut self, text: impl Into<String>) -> Self {
        self.caller = Some(text.into());
        self
    }

    /// Only those that were refused or got no answer.
    pub const fn failed(mut self) -> Self {
        self.failed = true;
        self
    }

    /// Only those that a fault struck.
    pub const fn struck(mut self) -> Self {
        self.struck = true;
        self
    }

    /// Only those after the one of this serial.
    pub const fn after(mut self, serial: u64) -> Self {
        self.after = Some(serial);
        self
    }

    /// Of all these only the last so many.
    pub const fn last(mut self, count: usize) -> Self {
        self.last = Some(count);
        self
    }

    /// Whether a call is one of these, whatever [`last`](Self::last) says.
    #[must_use]
    pub fn passes(&self, entry: &OperationEntry) -> bool {
        let is_of = |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        is_of(&self.operation, Some(&*entry.operation))
            && is_of(&self.stream, entry.stream.as_deref())
            && is_of(&self.shard, entry.shard.as_deref())
            && is_of(&self.table, entry.table.as_deref())
            && self.after.is_none_or(|serial| entry.serial > serial)
            && !(self.failed && entry.outcome == Outcome::Ok)
            && !(self.struck && entry.faults.is_empty())
            && self.caller.as_deref().is_none_or(|text| is_called_by(entry, text))
    }
}

fn is_called_by(entry: &OperationEntry, text: &str) -> bool {
    let caller = &entry.caller;
    let contains = |field: Option<&str>| field.is_some_and(|field| field.contains(text));
    contains(caller.access_key_id.as_deref())
        || contains(caller.user_agent.as_deref())
        || contains(caller.address.map(|address| address.to_string()).as_deref())
}

const fn is_false(value: &bool) -> bool {
    !*value
}
