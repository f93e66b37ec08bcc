//! [`DynamoDbIdempotencyStore`]: a memory in DynamoDB, in the table of Powertools for AWS Lambda.

mod codec;
mod error;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    config::retry::RetryConfig,
    error::SdkError,
    operation::{delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError},
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};

use self::{
    codec::{DATA, EXPIRATION, IN_PROGRESS_EXPIRATION, Item, STATUS, VALIDATION, number, text},
    error::Request,
};
use crate::{
    key::IdempotencyKey,
    row::{COMPLETED, IN_PROGRESS, Row, seconds},
    store::{Begun, Claim, Completion, IdempotencyStore, IdempotencyStoreError, Lock, Recorded, StoreStep},
};

/// Which attributes are the key of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyAttributes {
    /// The partition key is the idempotency key. Powertools calls it `id`.
    Partition {
        /// Its name.
        name: String,
    },
    /// The sort key is the idempotency key, and the partition key is the same in all rows: for tables that hold other things
    /// too. Powertools takes `idempotency#` and the function's name for it.
    Sort {
        /// The name of the partition key.
        partition: String,
        /// The partition key of all rows.
        partition_value: String,
        /// The name of the sort key.
        sort: String,
    },
}

impl Default for KeyAttributes {
    /// `id` alone.
    fn default() -> Self {
        Self::Partition { name: "id".to_owned() }
    }
}

impl KeyAttributes {
    fn of(&self, key: &IdempotencyKey) -> Item {
        match self {
            Self::Partition { name } => HashMap::from([(name.clone(), text(key.as_str()))]),
            Self::Sort {
                partition,
                partition_value,
                sort,
            } => HashMap::from([
                (partition.clone(), text(partition_value)),
                (sort.clone(), text(key.as_str())),
            ]),
        }
    }

    /// An attribute that every row has.
    fn present(&self) -> &str {
        match self {
            Self::Partition { name } => name,
            Self::Sort { sort, .. } => sort,
        }
    }
}

/// A memory in DynamoDB. Clones share the connection; all who use the table share the memory.
///
/// Rows are those of Powertools for AWS Lambda, attribute for attribute: `id` (S, the key), `status` (S, `INPROGRESS` or
/// `COMPLETED`), `expiration` (N, seconds), `in_progress_expiration` (N, milliseconds), `data` (S, JSON), `validation` (S). What one
/// of them wrote holds for the other too. Results are plain JSON; a serializer of one's own in Powertools is honoured as text only.
///
/// - **The table** must be there. Turn its time to live on for `expiration`, so that DynamoDB removes what expired:
///   `aws dynamodb create-table --table-name done --billing-mode PAY_PER_REQUEST --key-schema AttributeName=id,KeyType=HASH
///   --attribute-definitions AttributeName=id,AttributeType=S`, then `aws dynamodb update-time-to-live --table-name done
///   --time-to-live-specification Enabled=true,AttributeName=expiration`.
/// - **Permissions**: `PutItem`, `UpdateItem`, `DeleteItem`, `GetItem`.
/// - **Cost**: two writes for new work, one refused write for work that was done.
/// - **Lost answers.** A claim is sent once: a second attempt would find the row of the first, and take it for somebody else's.
///   If the answer to a claim is lost, the key may stay locked until the lock expires.
/// - **Two differences** from Powertools. The first result stands: if a lock expired and two did the work, the later
///   one does not replace the stored result. And only who holds the lock removes it after a failure.
#[derive(Clone, Debug)]
pub struct DynamoDbIdempotencyStore {
    table: Arc<str>,
    key: Arc<KeyAttributes>,
    client: Client,
    /// Sends what it is given once.
    once: Client,
}

impl DynamoDbIdempotencyStore {
    /// A memory in the table of this name. Nothing is sent yet.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self::with_key(client, table, KeyAttributes::default())
    }

    /// Like [`new`](Self::new), in a table with another key.
    #[must_use]
    pub fn with_key(client: Client, table: impl Into<String>, key: KeyAttributes) -> Self {
        let once = client.config().to_builder().retry_config(RetryConfig::disabled());
        Self {
            table: table.into().into(),
            key: Arc::new(key),
            once: Client::from_conf(once.build()),
            client,
        }
    }

    fn request(&self, step: StoreStep, action: &'static str) -> Request<'_> {
        Request {
            table: &self.table,
            step,
            action,
        }
    }

    fn item(&self, key: &IdempotencyKey, row: &Row) -> Item {
        let mut item = self.key.of(key);
        item.extend(codec::encode(row));
        item
    }

    /// The row that refused a write; services that only look like DynamoDB leave it out of the answer.
    async fn stored(
        &self,
        step: StoreStep,
        key: &IdempotencyKey,
        shown: Option<Item>,
    ) -> Result<Option<Row>, IdempotencyStoreError> {
        let item = match shown.filter(|item| !item.is_empty()) {
            Some(item) => Some(item),
            None => {
                let get = self.client.get_item().table_name(&*self.table);
                let answer = get.set_key(Some(self.key.of(key))).consistent_read(true).send().await;
                answer
                    .map_err(|error| self.request(step, "GetItem").failed(error))?
                    .item
            }
        };
        let decoded = item.map(|item| codec::decode(&item)).transpose();
        decoded.map_err(|problem| IdempotencyStoreError::Unusable {
            problem: format!(
                "the row {key:?} of the table {} {problem}; correct or delete it",
                self.table
            ),
            source: None,
        })
    }
}

/// The row in the answer to a write whose condition did not hold; or the error, if it is another one.
macro_rules! refused {
    ($error:expr, $kind:ident) => {
        match $error {
            SdkError::ServiceError(answer) if answer.err().is_conditional_check_failed_exception() => {
                match answer.into_err() {
                    $kind::ConditionalCheckFailedException(refused) => Ok(refused.item),
                    _ => Ok(None),
                }
            }
            error => Err(error),
        }
    };
}

#[async_trait]
impl IdempotencyStore for DynamoDbIdempotencyStore {
    async fn begin(&self, claim: &Claim) -> Result<Begun, IdempotencyStoreError> {
        let put = self
            .once
            .put_item()
            .table_name(&*self.table)
            .set_item(Some(self.item(&claim.key, &Row::claimed(claim))))
            .condition_expression(
                "attribute_not_exists(#key) OR #expiration < :now OR (#status = :in_progress AND \
                 attribute_exists(#in_progress_expiration) AND #in_progress_expiration < :now_millis)",
            )
            .expression_attribute_names("#key", self.key.present())
            .expression_attribute_names("#expiration", EXPIRATION)
            .expression_attribute_names("#status", STATUS)
            .expression_attribute_names("#in_progress_expiration", IN_PROGRESS_EXPIRATION)
            .expression_attribute_values(":now", number(seconds(claim.now)))
            .expression_attribute_values(":in_progress", text(IN_PROGRESS))
            .expression_attribute_values(":now_millis", number(claim.now.epoch_millis()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else {
            return Ok(Begun::Started(Lock {
                key: claim.key.clone(),
                until: claim.lock_until,
            }));
        };
        let shown =
            refused!(error, PutItemError).map_err(|error| self.request(StoreStep::Begin, "PutItem").failed(error))?;
        Ok(match self.stored(StoreStep::Begin, &claim.key, shown).await? {
            Some(row) => row.answer(claim),
            // It went away meanwhile: who comes again will find it free.
            None => Begun::InProgress { until: Some(claim.now) },
        })
    }

    async fn complete(&self, completion: &Completion) -> Result<Recorded, IdempotencyStoreError> {
        let key = &completion.lock.key;
        let mut update = self
            .client
            .update_item()
            .table_name(&*self.table)
            .set_key(Some(self.key.of(key)))
            .condition_expression("attribute_not_exists(#key) OR #status <> :completed OR #expiration < :now")
            .expression_attribute_names("#key", self.key.present())
            .expression_attribute_names("#expiration", EXPIRATION)
            .expression_attribute_names("#status", STATUS)
            .expression_attribute_names("#data", DATA)
            .expression_attribute_values(":completed", text(COMPLETED))
            .expression_attribute_values(":now", number(seconds(completion.now)))
            .expression_attribute_values(":expiration", number(seconds(completion.expires_at)))
            .expression_attribute_values(":data", text(&completion.result))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut change = "SET #data = :data, #expiration = :expiration, #status = :completed".to_owned();
        if let Some(validation) = &completion.validation {
            change.push_str(", #validation = :validation");
            update = update
                .expression_attribute_names("#validation", VALIDATION)
                .expression_attribute_values(":validation", text(validation));
        }
        let Err(error) = update.update_expression(change).send().await else {
            return Ok(Recorded::Stored);
        };
        let shown = refused!(error, UpdateItemError)
            .map_err(|error| self.request(StoreStep::Complete, "UpdateItem").failed(error))?;
        let stored = self.stored(StoreStep::Complete, key, shown).await?;
        let standing = stored.and_then(|row| row.standing_result(completion.now).cloned());
        Ok(Recorded::Earlier(standing.flatten()))
    }

    async fn forget(&self, lock: &Lock) -> Result<(), IdempotencyStoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&*self.table)
            .set_key(Some(self.key.of(&lock.key)))
            .condition_expression("#status = :in_progress AND #in_progress_expiration = :until")
            .expression_attribute_names("#status", STATUS)
            .expression_attribute_names("#in_progress_expiration", IN_PROGRESS_EXPIRATION)
            .expression_attribute_values(":in_progress", AttributeValue::S(IN_PROGRESS.to_owned()))
            .expression_attribute_values(":until", number(lock.until.epoch_millis()));
        let Err(error) = delete.send().await else {
            return Ok(());
        };
        match refused!(error, DeleteItemError) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.request(StoreStep::Forget, "DeleteItem").failed(error)),
        }
    }
}
