//! The way of an application from KCL 2.x to 3.x, as the row `Migration3.0` says it.

mod error;
mod plan;
mod show;

#[cfg(test)]
mod tests;

use std::time::Duration;

use kcl_checkpoint::{ClientVersionRow, DynamoDbLeaseStore, MigrationOutcome, OwnerIndex};
use kcl_core::{LeaseListing, LeaseStore as _, Timestamp, coordination::Coordination};

pub(crate) use self::{error::MigrateError, plan::Step};
use self::{
    plan::{Plan, Situation},
    show::{Report, Written},
};
use crate::{
    aws::ConnectionArgs,
    clock::wall,
    consent::{self, Consent, ConsentArgs},
    error::Error,
    lease_table::BesideArgs,
    leases::TableArgs,
};

/// Beyond the failover time, every worker that lives has renewed its leases.
const MARGIN: Duration = Duration::from_millis(500);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) step: Step,
    pub(crate) consent: ConsentArgs,
    pub(crate) failover_time: Duration,
    pub(crate) json: bool,
}

/// What was read of an application.
struct Found {
    /// None where the application does not come from KCL 2.x.
    row: Option<ClientVersionRow>,
    listing: LeaseListing,
    coordination: Coordination,
    at: Timestamp,
    has_owner_index: bool,
}

impl Found {
    fn situation<'a>(&'a self, earlier: Option<&'a LeaseListing>) -> Situation<'a> {
        Situation {
            coordination: &self.coordination,
            listing: &self.listing,
            earlier,
            has_owner_index: self.has_owner_index,
            now: self.at,
        }
    }
}

/// Shows where the application is.
pub(crate) async fn status(
    table: &TableArgs,
    beside: &BesideArgs,
    json: bool,
    connection: &ConnectionArgs,
) -> Result<(), Error> {
    let store = open(table, beside, connection).await?;
    let found = look(&store).await?;
    Report::of_status(&table.app, found.row.as_ref(), &found.situation(None)).show(json)
}

/// Says what a step would write and whether it is allowed, and writes it if that is asked for.
pub(crate) async fn step(
    table: &TableArgs,
    beside: &BesideArgs,
    ask: &Ask,
    connection: &ConnectionArgs,
) -> Result<(), Error> {
    table.may_write()?;
    let consent = ask.consent.consent(ask.json)?;
    let store = open(table, beside, connection).await?;
    let mut earlier = None;
    if ask.step.needs_the_living() {
        earlier = Some(store.list().await?);
        tokio::time::sleep(ask.failover_time + MARGIN).await;
    }
    let found = look(&store).await?;
    let Some(row) = &found.row else {
        return Err(MigrateError::NoRow {
            app: table.app.clone(),
            coordinator_table: store.coordinator_table().to_owned(),
            lease_table: store.table().to_owned(),
        }
        .into());
    };
    let situation = found.situation(earlier.as_ref());
    let plan = Plan::of(ask.step, row.version, &situation);
    let report = Report::of_step(&table.app, row, &situation, ask.step, &plan);
    if plan.is_done {
        return report.with(Written::NothingToDo).show(ask.json);
    }
    if !plan.is_allowed() {
        report.with(Written::Refused).show(ask.json)?;
        let (step, reasons) = (ask.step, plan.reasons());
        return Err(MigrateError::Refused { step, reasons }.into());
    }
    match consent {
        Consent::DryRun => return report.with(Written::No).show(ask.json),
        Consent::Given => {}
        Consent::Ask => {
            report.show(ask.json)?;
            consent::ask("write it?")?;
        }
    }
    write(&store, row, ask.step).await?;
    report.with(Written::Yes).show(ask.json)
}

async fn open(
    table: &TableArgs,
    beside: &BesideArgs,
    connection: &ConnectionArgs,
) -> Result<DynamoDbLeaseStore, Error> {
    let store = table
        .lease_table
        .open_in_dynamodb(&table.app, beside, connection)
        .await?;
    let elsewhere = || MigrateError::NotInDynamoDb {
        table: table.lease_table.to_string(),
    };
    Ok(store.ok_or_else(elsewhere)?)
}

async fn look(store: &DynamoDbLeaseStore) -> Result<Found, Error> {
    // The scan first: it tells what is in the lease table besides leases.
    let listing = store.list().await?;
    Ok(Found {
        row: store.client_version_row().await?,
        listing,
        coordination: store.coordination().await?,
        at: wall(),
        has_owner_index: *store.owner_index() == OwnerIndex::Present,
    })
}

/// Writes the row. An answer that was lost is looked up: only the row as the write makes it proves that it was made.
async fn write(store: &DynamoDbLeaseStore, row: &ClientVersionRow, step: Step) -> Result<(), Error> {
    let (by, at) = (format!("kclctl-{step}"), wall());
    let made = row.changed(step.target(), &by, at);
    let outcome = match store.change_client_version(row, step.target(), &by, at).await {
        Err(error) if error.may_have_applied() => match store.client_version_row().await {
            Ok(Some(now)) if now == made => return Ok(()),
            // The error of the look would say that nothing was changed.
            _ => return Err(error.into()),
        },
        outcome => outcome?,
    };
    match outcome {
        MigrationOutcome::Applied(_) => Ok(()),
        MigrationOutcome::Conflict(Some(now)) => Err(MigrateError::Conflict { now: now.version }.into()),
        MigrationOutcome::Conflict(None) => Err(MigrateError::Removed.into()),
    }
}
