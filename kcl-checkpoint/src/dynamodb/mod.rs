//! [`DynamoDbLeaseStore`]: a lease table in DynamoDB, in the format of Java KCL.

mod answer;
mod attributes;
mod beside;
mod codec;
mod config;
mod create;
mod error;
mod expression;
mod scan;
mod schema;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::SdkError,
    operation::{delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError},
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use kcl_core::{
    Expect, Lease, LeaseKey, LeaseListing, LeaseStore, LeaseWrite, StoreError, StoreOperation, Timestamp, WorkerId,
    WriteOutcome,
    coordination::{Coordination, WorkerMetrics},
};

use self::{beside::Beside, codec::Row, expression::Expressions, scan::Segments, schema::LEASE_KEY};
pub use self::{
    beside::{ClientVersionRow, ClientVersionStep, MigrationOutcome},
    config::{Billing, DynamoDbConfig, Layout},
    create::OwnerIndex,
};

/// A lease table in DynamoDB. Clones share the connection and what was learnt of the table; workers share the table.
///
/// Rows are those of Java KCL 2.x and 3.x, attribute for attribute, and writes expect what Java's expect: Rust and Java
/// workers of one application can share a table. One table holds the leases of one application; Java names it after the
/// application.
///
/// - **Other rows.** Rows that say by `entityType` that they are no leases (the leader's lock, workers' metrics) are not
///   listed: [`coordination`](LeaseStore::coordination) tells what they say, and what the tables say in which Java kept them
///   before 3.5 ([`Layout`]). Rows that should be leases and cannot be read are listed apart, with the attribute that is wrong.
/// - **Metrics.** [`publish`](LeaseStore::publish) writes where Java's workers look: into their table of metrics, or into the
///   lease table once the application has moved. Where neither holds such rows, it writes nothing: workers of Java before 3.5
///   fail on a lease table with other rows.
/// - **Other attributes.** Writes change what they name and nothing else: what Java or you keep in a row stays. Beside
///   Java's attributes there are `ownerSession`, `ownerSessionCounter`, `ownerFailoverMillis`, `stream` and `checkpointTimestamp`, which Java
///   leaves alone. A write of Java's makes the session void, which is what it should be.
/// - **Reads** are consistent, scans too.
/// - **Retries.** Reads are tried again as the client is configured. Writes are sent once: a second attempt of a write that
///   was applied would be refused, as if somebody else had been faster. Whoever gets [`StoreError::Ambiguous`] reads the
///   row; the worker does.
/// - **Permissions.** `DescribeTable`, `Scan`, `GetItem`, `PutItem`, `UpdateItem`, `DeleteItem`; `CreateTable` (and
///   `TagResource` with tags) if workers create the tables; `UpdateContinuousBackups`, `UpdateTable` where
///   [`DynamoDbConfig`] asks for backups or the index. On the two tables beside it: `Scan`, `GetItem` on that of leaders;
///   `Scan`, `UpdateItem`, `DeleteItem` on that of metrics, even where they do not exist. Errors name the one that is missing.
///
/// ```
/// use aws_sdk_dynamodb::{Client, Config, config::{BehaviorVersion, Credentials, Region}};
/// use kcl_checkpoint::DynamoDbLeaseStore;
/// use kcl_core::{Lease, LeaseStore, LeaseWrite, Position, Session, ShardId, WorkerId, WriteOutcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A broker in this process. On AWS: `Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await)`.
/// let config = Config::builder()
///     .behavior_version(BehaviorVersion::latest())
///     .region(Region::new("us-east-1"))
///     .credentials_provider(Credentials::new("any", "any", None, None, "local"))
///     .http_client(kcl_broker::Broker::new().http_client());
/// let client = Client::from_conf(config.build());
///
/// let store = DynamoDbLeaseStore::open(client, "billing").await?;
/// let lease = Lease::new(ShardId::new("shardId-000000000000")?, Position::TrimHorizon);
/// let _ = store.create(&lease).await?;
///
/// let me = WorkerId::new("worker-1")?;
/// let taken = store.update(&LeaseWrite::take(&lease, &me, Session(7))).await?;
/// assert!(matches!(taken, WriteOutcome::Applied(lease) if lease.holder() == Some(&me)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DynamoDbLeaseStore {
    table: Arc<str>,
    reads: Client,
    writes: Client,
    at_timestamp: Option<Timestamp>,
    segments: Arc<Segments>,
    owner_index: OwnerIndex,
    beside: Arc<Beside>,
}

impl DynamoDbLeaseStore {
    /// Opens the lease table of this name, and creates it if there is none yet, with those beside it. Several workers may do so
    /// at once.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] if the table is not a lease table, cannot be created, or a permission is missing: the
    /// message says which and what to do. [`StoreError::Unavailable`] or [`StoreError::Throttled`] if the service could not
    /// be asked.
    pub async fn open(client: Client, table: impl Into<String>) -> Result<Self, StoreError> {
        Self::open_with(client, table, DynamoDbConfig::default()).await
    }

    /// Like [`open`](Self::open), with other settings.
    ///
    /// # Errors
    /// Like [`open`](Self::open); also if there is no table and [`DynamoDbConfig::create`] is off.
    pub async fn open_with(
        client: Client,
        table: impl Into<String>,
        config: DynamoDbConfig,
    ) -> Result<Self, StoreError> {
        let table = table.into();
        let timeouts = client
            .config()
            .timeout_config()
            .map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        let timeouts = timeouts.operation_attempt_timeout(config.request_timeout).build();
        let patient = client.config().to_builder().timeout_config(timeouts);
        let reads = Client::from_conf(patient.clone().build());
        let writes = Client::from_conf(patient.retry_config(RetryConfig::disabled()).build());
        let beside = Beside::new(&table, &config)?;
        // Boxed: with the requests of a creation in it, it would make every caller's future large.
        let ready = Box::pin(create::prepare(&reads, &table, &config)).await?;
        Ok(Self {
            beside: Arc::new(beside),
            table: table.into(),
            reads,
            writes,
            at_timestamp: config.at_timestamp,
            segments: Arc::new(Segments::new(config.scan_segments, ready.bytes)),
            owner_index: ready.owner_index,
        })
    }

    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The table in which workers of Java KCL keep who leads them, where there is one.
    #[must_use]
    pub fn coordinator_table(&self) -> &str {
        self.beside.coordinator_table()
    }

    /// What became of the index by owner when the table was opened.
    #[must_use]
    pub const fn owner_index(&self) -> &OwnerIndex {
        &self.owner_index
    }
}

/// The stored row in the answer to a write whose condition did not hold, which services that only look like DynamoDB leave
/// out; or the error, if it is another one.
macro_rules! stored_row {
    ($error:expr, $kind:ident) => {
        match $error {
            SdkError::ServiceError(answer) if answer.err().is_conditional_check_failed_exception() => {
                match answer.into_err() {
                    $kind::ConditionalCheckFailedException(refused) => Ok(refused.item.filter(|item| !item.is_empty())),
                    _ => Ok(None),
                }
            }
            error => Err(error),
        }
    };
}

#[async_trait]
impl LeaseStore for DynamoDbLeaseStore {
    async fn list(&self) -> Result<LeaseListing, StoreError> {
        let rows = self.scan(StoreOperation::List).await?;
        let mut listing = LeaseListing::default();
        for row in rows {
            match self.decode(&row) {
                Row::Lease(lease) => listing.leases.push(lease.into()),
                Row::Unreadable(row) => listing.unreadable.push(row),
                Row::Foreign { .. } => {}
            }
        }
        listing.leases.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        listing.unreadable.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(listing)
    }

    async fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let request = self.request(StoreOperation::Get, "GetItem");
        let item = self.read(request, key.as_str()).await?;
        match item.map(|item| self.decode(&item)) {
            None | Some(Row::Foreign { .. }) => Ok(None),
            Some(Row::Lease(lease)) => Ok(Some(*lease)),
            Some(Row::Unreadable(row)) => Err(request.unavailable(request.unreadable(row))),
        }
    }

    async fn create(&self, lease: &Lease) -> Result<WriteOutcome, StoreError> {
        let request = self.request(StoreOperation::Create, "PutItem");
        let item = codec::encode(lease).map_err(|problem| self.unstorable(&problem))?;
        let put = self
            .writes
            .put_item()
            .table_name(&*self.table)
            .set_item(Some(item.clone()));
        let answer = put
            .condition_expression("attribute_not_exists(#leaseKey)")
            .expression_attribute_names("#leaseKey", LEASE_KEY)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => self.applied(request, lease.key.as_str(), Some(&item)),
            Err(error) => match stored_row!(error, PutItemError) {
                Ok(stored) => self.conflict(request, lease.key.as_str(), stored).await,
                Err(error) => Err(request.failed(error)),
            },
        }
    }

    async fn update(&self, write: &LeaseWrite) -> Result<WriteOutcome, StoreError> {
        let request = self.request(StoreOperation::Update, "UpdateItem");
        let key = write.key.as_str();
        let expressions = Expressions::update(write).map_err(|problem| self.unstorable(&problem))?;
        let update = self
            .writes
            .update_item()
            .table_name(&*self.table)
            .key(LEASE_KEY, codec::text(key));
        let answer = update
            .condition_expression(expressions.condition)
            .set_update_expression(expressions.update)
            .set_expression_attribute_names(Some(expressions.names))
            .set_expression_attribute_values(expressions.values)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(answer) => self.applied(request, key, answer.attributes()),
            Err(error) => match stored_row!(error, UpdateItemError) {
                Ok(stored) => self.conflict(request, key, stored).await,
                Err(error) => Err(request.failed(error)),
            },
        }
    }

    async fn delete(&self, key: &LeaseKey, expect: &Expect) -> Result<WriteOutcome, StoreError> {
        let request = self.request(StoreOperation::Delete, "DeleteItem");
        let key = key.as_str();
        let expressions = Expressions::condition(expect);
        let delete = self
            .writes
            .delete_item()
            .table_name(&*self.table)
            .key(LEASE_KEY, codec::text(key));
        let answer = delete
            .condition_expression(expressions.condition)
            .set_expression_attribute_names(Some(expressions.names))
            .set_expression_attribute_values(expressions.values)
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(answer) => self.applied(request, key, answer.attributes()),
            Err(error) => match stored_row!(error, DeleteItemError) {
                Ok(stored) => self.conflict(request, key, stored).await,
                Err(error) => Err(request.failed(error)),
            },
        }
    }

    async fn coordination(&self) -> Result<Coordination, StoreError> {
        Box::pin(self.read_coordination()).await
    }

    async fn publish(&self, metrics: &WorkerMetrics) -> Result<(), StoreError> {
        Box::pin(self.publish_metrics(metrics)).await
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), StoreError> {
        Box::pin(self.withdraw_metrics(worker)).await
    }
}
