//! The row that says which algorithms the Java workers of an application use, for operators to change.

use std::collections::HashMap;

use aws_sdk_dynamodb::{error::SdkError, types::AttributeValue};
use kcl_core::{
    StoreError, StoreOperation, Timestamp, UnreadableRow,
    coordination::{ClientVersion, TableMigration},
};

use super::{
    super::{
        DynamoDbLeaseStore,
        attributes::Attributes,
        codec::{Item, number, text},
        error::Request,
        schema::{COORDINATOR_KEY, LEASE_KEY},
    },
    codec, reading,
    schema::{CLIENT_VERSION, CLIENT_VERSION_ROW, HISTORY, MODIFIED, MODIFIED_BY},
};

/// As many steps as Java keeps.
const HISTORY_MAX: usize = 10;
/// Java cannot read a step that does not say who made it.
const UNKNOWN: &str = "unknown";

/// The row that says which algorithms the Java workers of an application use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientVersionRow {
    /// The table that the row is in.
    pub table: String,
    /// What the workers use.
    pub version: ClientVersion,
    /// Who wrote that: a worker, or a tool.
    pub modified_by: Option<String>,
    /// When it was written.
    pub modified_at: Option<Timestamp>,
    /// What it was before, newest first; Java keeps ten.
    pub history: Vec<ClientVersionStep>,
}

/// A state that an application was in before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientVersionStep {
    /// What the workers used, in Java's word for it: a new application begins with one that no row has later.
    pub version: String,
    /// Who wrote that.
    pub modified_by: String,
    /// When it was written.
    pub modified_at: Timestamp,
}

/// The answer to a change of a [`ClientVersionRow`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum MigrationOutcome {
    /// The row is now this.
    Applied(ClientVersionRow),
    /// The row had another version meanwhile, and nothing changed; it is this, or does not exist.
    Conflict(Option<ClientVersionRow>),
}

impl ClientVersionRow {
    /// The row as it is when `by` has changed it.
    #[must_use]
    pub fn changed(&self, to: ClientVersion, by: &str, at: Timestamp) -> Self {
        let last = ClientVersionStep {
            version: self.version.to_string(),
            modified_by: self.modified_by.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            modified_at: self.modified_at.unwrap_or(at),
        };
        let history = std::iter::once(last).chain(self.history.iter().cloned());
        Self {
            table: self.table.clone(),
            version: to,
            modified_by: Some(by.to_owned()),
            modified_at: Some(at),
            history: history.take(HISTORY_MAX).collect(),
        }
    }
}

impl DynamoDbLeaseStore {
    /// Reads the row that says which algorithms the Java workers of this application use, wherever it is. There is none
    /// unless the application came, or comes, from KCL 2.x.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] if a permission is missing, which the message names, or the row cannot be read; otherwise if
    /// the service could not be asked.
    pub async fn client_version_row(&self) -> Result<Option<ClientVersionRow>, StoreError> {
        let in_lease_table = self.in_lease_table().await?;
        let own = self.own_table(&in_lease_table).await?;
        // Java looks in the same order.
        if own.is_there && own.migration != Some(TableMigration::Complete) {
            let request = reading(&self.beside.coordinator_table, "GetItem");
            let row = self.row_if_there(request, COORDINATOR_KEY, CLIENT_VERSION_ROW).await?;
            if let Some(row) = row.flatten() {
                return decode(request, &row).map(Some);
            }
        }
        let request = reading(&self.table, "GetItem");
        let row = self.row_if_there(request, LEASE_KEY, CLIENT_VERSION_ROW).await?;
        row.flatten().map(|row| decode(request, &row)).transpose()
    }

    /// Changes the row that [`client_version_row`](Self::client_version_row) gave, if it still has the version that it had
    /// then. Whether the application may go from one to the other is not asked here.
    ///
    /// # Errors
    /// Like those of other writes: after [`StoreError::Ambiguous`] the row tells what became of it.
    pub async fn change_client_version(
        &self,
        row: &ClientVersionRow,
        to: ClientVersion,
        by: &str,
        at: Timestamp,
    ) -> Result<MigrationOutcome, StoreError> {
        let request = Request {
            table: &row.table,
            operation: StoreOperation::Update,
            action: "UpdateItem",
        };
        let changed = row.changed(to, by, at);
        let key = if *row.table == *self.table {
            LEASE_KEY
        } else {
            COORDINATOR_KEY
        };
        let update = self
            .writes
            .update_item()
            .table_name(&row.table)
            .key(key, text(CLIENT_VERSION_ROW))
            .condition_expression("#version = :previous")
            .update_expression("SET #version = :version, #by = :by, #at = :at, #history = :history")
            .expression_attribute_names("#version", CLIENT_VERSION)
            .expression_attribute_names("#by", MODIFIED_BY)
            .expression_attribute_names("#at", MODIFIED)
            .expression_attribute_names("#history", HISTORY)
            .expression_attribute_values(":previous", text(row.version.as_str()))
            .expression_attribute_values(":version", text(to.as_str()))
            .expression_attribute_values(":by", text(by))
            .expression_attribute_values(":at", number(at.epoch_millis()))
            .expression_attribute_values(":history", history(&changed));
        match update.send().await {
            Ok(_) => Ok(MigrationOutcome::Applied(changed)),
            Err(SdkError::ServiceError(answer)) if answer.err().is_conditional_check_failed_exception() => {
                Ok(MigrationOutcome::Conflict(self.client_version_row().await?))
            }
            Err(error) => Err(request.failed(error)),
        }
    }
}

fn decode(request: Request<'_>, row: &Item) -> Result<ClientVersionRow, StoreError> {
    read(request.table, row).map_err(|reason| {
        let key = CLIENT_VERSION_ROW.to_owned();
        let row = request.unreadable(UnreadableRow { key, reason });
        StoreError::Unusable {
            problem: row.to_string(),
            source: Some(row),
        }
    })
}

fn read(table: &str, row: &Item) -> Result<ClientVersionRow, String> {
    let attributes = Attributes(row);
    let millis: Option<i64> = attributes.number(MODIFIED)?;
    let steps = match attributes.any(HISTORY) {
        None => [].as_slice(),
        Some(AttributeValue::L(steps)) => steps,
        Some(other) => return Err(Attributes::wrong_type(HISTORY, other, "L")),
    };
    Ok(ClientVersionRow {
        table: table.to_owned(),
        version: codec::state(row, CLIENT_VERSION)?,
        modified_by: attributes.text(MODIFIED_BY)?.map(str::to_owned),
        modified_at: millis.map(Timestamp::from_epoch_millis),
        history: steps.iter().map(step).collect::<Result<_, _>>()?,
    })
}

fn step(step: &AttributeValue) -> Result<ClientVersionStep, String> {
    let AttributeValue::M(step) = step else {
        return Err(Attributes::wrong_type(HISTORY, step, "a list of M"));
    };
    let step = Attributes(step);
    let read = || -> Result<ClientVersionStep, String> {
        Ok(ClientVersionStep {
            version: step.required(CLIENT_VERSION, Attributes::text)?.to_owned(),
            modified_by: step.required(MODIFIED_BY, Attributes::text)?.to_owned(),
            modified_at: Timestamp::from_epoch_millis(step.required(MODIFIED, Attributes::number)?),
        })
    };
    read().map_err(|reason| format!("{HISTORY}: {reason}"))
}

fn history(row: &ClientVersionRow) -> AttributeValue {
    let steps = row.history.iter().map(|step| {
        AttributeValue::M(HashMap::from([
            (CLIENT_VERSION.to_owned(), text(&step.version)),
            (MODIFIED_BY.to_owned(), text(&step.modified_by)),
            (MODIFIED.to_owned(), number(step.modified_at.epoch_millis())),
        ]))
    });
    AttributeValue::L(steps.collect())
}
