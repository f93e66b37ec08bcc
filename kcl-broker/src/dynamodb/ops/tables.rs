//! `DescribeTable`, `DeleteTable` and `ListTables`.

use std::ops::Bound;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Operation;
use crate::dynamodb::{
    Tables,
    error::{DynamoError, DynamoErrorKind},
    request::{ranged, table_name},
    table::{Table, TablePhase},
};

const PAGE_LEN_MAX: i64 = 100;

impl Tables {
    /// A table that is there, in whatever phase.
    pub(super) fn known(&self, name: &str) -> Result<&Table, DynamoError> {
        self.tables.get(name).ok_or_else(|| {
            DynamoError::new(
                DynamoErrorKind::ResourceNotFound,
                format!("Requested resource not found: Table: {name} not found"),
            )
        })
    }

    /// A table that no change is under way for.
    pub(super) fn settled_mut(&mut self, name: &str) -> Result<&mut Table, DynamoError> {
        let phase = self.known(name)?.phase;
        let in_use = |what: &str| {
            DynamoError::new(
                DynamoErrorKind::ResourceInUse,
                format!("Attempt to change a resource which is still in use: Table is being {what}: {name}"),
            )
        };
        match phase {
            TablePhase::Creating(_) => Err(in_use("created")),
            TablePhase::Updating(_) => Err(in_use("updated")),
            TablePhase::Deleting(_) => Err(in_use("deleted")),
            TablePhase::Active => self.tables.get_mut(name).ok_or_else(DynamoError::no_such_table),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeTable {
    table_name: Option<String>,
}

impl Operation for DescribeTable {
    const NAME: &'static str = "DescribeTable";
    type Output = Value;

    fn execute(self, tables: &mut Tables) -> Result<Value, DynamoError> {
        let name = table_name(self.table_name)?;
        Ok(json!({"Table": tables.describe(tables.known(&name)?)}))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteTable {
    table_name: Option<String>,
}

impl Operation for DeleteTable {
    const NAME: &'static str = "DeleteTable";
    type Output = Value;

    fn execute(self, tables: &mut Tables) -> Result<Value, DynamoError> {
        let name = table_name(self.table_name)?;
        let done = tables.change_done();
        let table = tables.settled_mut(&name)?;
        if table.settings.deletion_protection {
            return Err(DynamoError::invalid(
                "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
            ));
        }
        table.phase = TablePhase::Deleting(done);
        Ok(json!({"TableDescription": tables.describe(tables.known(&name)?)}))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTables {
    exclusive_start_table_name: Option<String>,
    limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTablesOutput {
    table_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_table_name: Option<String>,
}

impl Operation for ListTables {
    const NAME: &'static str = "ListTables";
    type Output = ListTablesOutput;

    fn execute(self, tables: &mut Tables) -> Result<ListTablesOutput, DynamoError> {
        let limit = ranged("limit", self.limit, 1..=PAGE_LEN_MAX)?.unwrap_or(PAGE_LEN_MAX);
        let start = self.exclusive_start_table_name;
        let after = start.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut names = tables
            .tables
            .range::<str, _>((after, Bound::Unbounded))
            .map(|(name, _)| name.clone());
        let table_names: Vec<_> = names.by_ref().take(limit.unsigned_abs() as usize).collect();
        let last = table_names.last().filter(|_| names.next().is_some()).cloned();
        Ok(ListTablesOutput {
            table_names,
            last_evaluated_table_name: last,
        })
    }
}
