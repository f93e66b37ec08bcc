//! Why an application's algorithms were not shown or changed.

use kcl_core::{ApplicationName, coordination::ClientVersion};

use super::plan::Step;

/// Nothing was changed unless the text says so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    #[error(
        "{table} is no table in DynamoDB, and only such tables are shared with Java KCL; give --lease-table dynamodb:NAME"
    )]
    NotInDynamoDb { table: String },
    #[error(
        "there is no row Migration3.0 of {app}, neither in the table {coordinator_table} nor in {lease_table}: the application \
         does not come from KCL 2.x, no worker of 3.x has begun the way from there, or --app, --lease-table or \
         --coordinator-table name another one"
    )]
    NoRow {
        app: ApplicationName,
        coordinator_table: String,
        lease_table: String,
    },
    #[error("{step} is not allowed, and nothing was written: {}", .reasons.join("; "))]
    Refused { step: Step, reasons: Vec<String> },
    #[error(
        "somebody changed the row meanwhile, and nothing was written; it is {now} now. Look again before you repeat it"
    )]
    Conflict { now: ClientVersion },
    #[error("somebody removed the row meanwhile, and nothing was written")]
    Removed,
}
