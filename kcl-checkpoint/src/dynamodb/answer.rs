//! Requests about single rows, and what their answers say.

use kcl_core::{StoreError, StoreOperation, WriteOutcome};

use super::{
    DynamoDbLeaseStore, beside,
    codec::{self, Item, Row, Unstorable},
    error::Request,
    scan,
    schema::LEASE_KEY,
};

impl DynamoDbLeaseStore {
    pub(super) fn request(&self, operation: StoreOperation, action: &'static str) -> Request<'_> {
        Request {
            table: &self.table,
            operation,
            action,
        }
    }

    /// Reads all rows, and takes note of those that are no leases.
    pub(super) async fn scan(&self, operation: StoreOperation) -> Result<Vec<Item>, StoreError> {
        let request = self.request(operation, "Scan");
        let rows = scan::scan(&self.reads, request, &self.segments).await?;
        self.beside.saw(beside::of_lease_table(&self.table, &rows));
        Ok(rows)
    }

    pub(super) fn decode(&self, item: &Item) -> Row {
        codec::decode(item, self.at_timestamp)
    }

    pub(super) fn unstorable(&self, problem: &Unstorable) -> StoreError {
        StoreError::Unusable {
            problem: format!("the table {} cannot hold the lease: {problem}", self.table),
            source: None,
        }
    }

    pub(super) async fn read(&self, request: Request<'_>, key: &str) -> Result<Option<Item>, StoreError> {
        let get = self
            .reads
            .get_item()
            .table_name(&*self.table)
            .key(LEASE_KEY, codec::text(key));
        match get.consistent_read(true).send().await {
            Ok(answer) => Ok(answer.item),
            Err(error) => Err(Request {
                action: "GetItem",
                operation: StoreOperation::Get,
                ..request
            }
            .failed(error)),
        }
    }

    /// The row after a write that was applied. One that cannot be read was written all the same.
    pub(super) fn applied(
        &self,
        request: Request<'_>,
        key: &str,
        item: Option<&Item>,
    ) -> Result<WriteOutcome, StoreError> {
        let problem = match item.map(|item| self.decode(item)) {
            Some(Row::Lease(lease)) => return Ok(WriteOutcome::Applied(*lease)),
            Some(Row::Unreadable(row)) => request.unreadable(row),
            Some(Row::Foreign { entity }) => request.foreign(key, &entity),
            None => "the answer lacks the row".into(),
        };
        Err(request.lost(problem))
    }

    /// The row that a condition did not hold for: from the answer, or read now where the answer lacks it.
    pub(super) async fn conflict(
        &self,
        request: Request<'_>,
        key: &str,
        item: Option<Item>,
    ) -> Result<WriteOutcome, StoreError> {
        let item = match item {
            Some(item) => Some(item),
            None => self.read(request, key).await?,
        };
        match item.map(|item| self.decode(&item)) {
            None => Ok(WriteOutcome::Conflict(None)),
            Some(Row::Lease(lease)) => Ok(WriteOutcome::Conflict(Some(*lease))),
            // Only this row is in trouble: the error must not stop the work on others.
            Some(Row::Unreadable(row)) => Err(request.unavailable(request.unreadable(row))),
            Some(Row::Foreign { entity }) => Err(request.unavailable(request.foreign(key, &entity))),
        }
    }
}
