//! The part of DynamoDB that Kinesis consumers keep their leases in.
//!
//! [`Tables`] is what decides: a pure function of time and requests, like the [`Engine`](crate::Engine) for streams. It
//! takes and gives the bodies of requests and answers, in DynamoDB's JSON.
//!
//! Built are tables with global secondary indexes, items with conditions and updates (expressions and the parameters from
//! before them), queries and scans, batches and transactions, tags, and the switch for backups. Not built are local
//! secondary indexes, streams, time to live, encryption settings, replicas, PartiQL and backups themselves: what asks for
//! them is refused. Reads are always consistent, but cost what was asked for.

mod capacity;
mod error;
mod expression;
mod index;
mod item;
mod key;
mod legacy;
mod ops;
mod request;
mod subject;
mod table;
mod throughput;
mod value;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use kcl_core::Timestamp;

pub(crate) use self::subject::table_of;
pub use self::{
    capacity::{OperationCost, TableCosts},
    error::{DynamoError, DynamoErrorKind},
};
use self::{
    ops::TransactionTokens,
    table::{Table, TablePhase},
};

/// What can be chosen about [`Tables`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablesConfig {
    /// The twelve digits of the account that ARNs name.
    pub account: String,
    /// The region that ARNs name.
    pub region: String,
    /// The most bytes that all items and indexes may take, with their bookkeeping. Beyond it writes are refused with
    /// `LimitExceededException`. The default of 1 GiB is far above what leases need.
    pub stored_bytes_max: usize,
    /// How long tables and indexes take to be made, changed and removed. By default no time.
    pub transition: Duration,
}

impl Default for TablesConfig {
    fn default() -> Self {
        Self {
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            stored_bytes_max: 1 << 30,
            transition: Duration::ZERO,
        }
    }
}

/// All tables of one account.
///
/// ```
/// use kcl_broker::dynamodb::{Tables, TablesConfig};
/// use kcl_core::Timestamp;
///
/// let mut tables = Tables::new(TablesConfig::default());
/// let now = Timestamp::from_epoch_millis(1_357_034_400_000);
/// tables.call(
///     now,
///     "CreateTable",
///     br#"{"TableName": "billing", "BillingMode": "PAY_PER_REQUEST",
///          "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
///          "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}]}"#,
/// )?;
/// let put = br#"{"TableName": "billing", "Item": {"leaseKey": {"S": "shardId-0"}, "leaseCounter": {"N": "1"}}}"#;
/// tables.call(now, "PutItem", put)?;
/// let get = br#"{"TableName": "billing", "Key": {"leaseKey": {"S": "shardId-0"}}}"#;
/// let answer = tables.call(now, "GetItem", get)?;
/// assert_eq!(answer, br#"{"Item":{"leaseCounter":{"N":"1"},"leaseKey":{"S":"shardId-0"}}}"#);
/// assert_eq!(tables.costs("billing").expect("the table exists").total().write_units, 1.0);
/// # Ok::<(), kcl_broker::dynamodb::DynamoError>(())
/// ```
#[derive(Debug)]
pub struct Tables {
    config: TablesConfig,
    /// The latest time that a call has brought.
    now: Timestamp,
    tables: BTreeMap<String, Table>,
    tokens: TransactionTokens,
}

impl Tables {
    /// No tables yet.
    #[must_use]
    pub const fn new(config: TablesConfig) -> Self {
        Self {
            config,
            now: Timestamp::from_epoch_millis(i64::MIN),
            tables: BTreeMap::new(),
            tokens: TransactionTokens::new(),
        }
    }

    /// Carries out the operation of this name, such as `PutItem`, at the time `now`, and gives the body of the answer.
    ///
    /// Time never goes back here: a `now` before that of an earlier call counts as that one.
    ///
    /// # Errors
    /// As the service has it for the operation. Then nothing has changed.
    pub fn call(&mut self, now: Timestamp, operation: &str, body: &[u8]) -> Result<Vec<u8>, DynamoError> {
        self.now = self.now.max(now);
        let now = self.now;
        self.tables.retain(|_, table| table.settle(now));
        ops::call(self, operation, body)
    }

    /// What a table has cost since it was made, if it exists.
    #[must_use]
    pub fn costs(&self, table: &str) -> Option<&TableCosts> {
        self.tables.get(table).map(|table| &table.costs)
    }

    /// The bytes that all items and indexes take, as they count against the limit.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.tables.values().map(Table::footprint).sum()
    }

    fn arn(&self, table: &str) -> String {
        let TablesConfig { account, region, .. } = &self.config;
        format!("arn:aws:dynamodb:{region}:{account}:table/{table}")
    }

    /// A table whose items can be read and written.
    fn table(&self, name: &str) -> Result<&Table, DynamoError> {
        self.tables
            .get(name)
            .filter(|table| !matches!(table.phase, TablePhase::Creating(_) | TablePhase::Deleting(_)))
            .ok_or_else(DynamoError::no_such_table)
    }

    fn table_mut(&mut self, name: &str) -> Result<&mut Table, DynamoError> {
        self.tables
            .get_mut(name)
            .filter(|table| !matches!(table.phase, TablePhase::Creating(_) | TablePhase::Deleting(_)))
            .ok_or_else(DynamoError::no_such_table)
    }

    /// Refuses to store `growth` bytes more, if they are too many.
    fn check_room(&self, growth: usize) -> Result<(), DynamoError> {
        let (stored, limit) = (self.stored_bytes(), self.config.stored_bytes_max);
        if growth == 0 || stored.saturating_add(growth) <= limit {
            return Ok(());
        }
        Err(DynamoError::new(
            DynamoErrorKind::LimitExceeded,
            format!(
                "The tables of this broker take {stored} bytes, and {growth} more would exceed its limit of {limit}. Delete \
                 items or tables, or start the broker with a higher limit."
            ),
        ))
    }

    /// When a change that begins now is done.
    fn change_done(&self) -> Timestamp {
        self.now.saturating_add(self.config.transition)
    }
}
