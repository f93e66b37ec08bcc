//! What is said about an application and a step.

use kcl_checkpoint::ClientVersionRow;
use kcl_core::{
    ApplicationName,
    coordination::{ClientVersion, TableMigration},
};
use serde::Serialize;

use super::plan::{Plan, Situation, Step, holders, named, publishes, without_metrics};
use crate::{error::Error, output};

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Written {
    Yes,
    No,
    /// It is asked whether to.
    NotYet,
    NothingToDo,
    Refused,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    application: &'a ApplicationName,
    table: Option<&'a str>,
    /// None where the application does not come from KCL 2.x.
    version: Option<&'static str>,
    modified_by: Option<&'a str>,
    modified_at: Option<String>,
    history: Vec<Past<'a>>,
    table_migration: Option<&'static str>,
    leader: Option<&'a str>,
    /// Whether the leader published metrics lately. One that does not may be gone: its lock stays.
    leader_publishes: Option<bool>,
    lease_owners: Vec<String>,
    without_metrics: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Taken>,
}

#[derive(Debug, Serialize)]
struct Past<'a> {
    version: &'a str,
    modified_by: &'a str,
    modified_at: String,
}

#[derive(Debug, Serialize)]
struct Taken {
    name: &'static str,
    writes: &'static str,
    allowed: bool,
    checks: Vec<Checked>,
    notes: Vec<String>,
    written: Written,
}

#[derive(Debug, Serialize)]
struct Checked {
    holds: bool,
    text: String,
}

impl<'a> Report<'a> {
    /// Where the application is.
    pub(super) fn of_status(
        app: &'a ApplicationName,
        row: Option<&'a ClientVersionRow>,
        situation: &Situation<'a>,
    ) -> Self {
        let history = row.into_iter().flat_map(|row| &row.history).map(|step| Past {
            version: &step.version,
            modified_by: &step.modified_by,
            modified_at: step.modified_at.to_string(),
        });
        let leader = situation.coordination.leader.as_ref();
        Self {
            application: app,
            table: row.map(|row| &*row.table),
            version: row.map(|row| row.version.as_str()),
            modified_by: row.and_then(|row| row.modified_by.as_deref()),
            modified_at: row.and_then(|row| row.modified_at).map(|at| at.to_string()),
            history: history.collect(),
            table_migration: situation.coordination.table_migration.map(TableMigration::as_str),
            leader: leader.map(|leader| leader.owner.as_str()),
            leader_publishes: leader.map(|leader| publishes(situation, &leader.owner)),
            lease_owners: holders(situation).iter().map(ToString::to_string).collect(),
            without_metrics: without_metrics(situation).iter().map(ToString::to_string).collect(),
            step: None,
        }
    }

    /// Where the application is, and what is asked for.
    pub(super) fn of_step(
        app: &'a ApplicationName,
        row: &'a ClientVersionRow,
        situation: &Situation<'a>,
        step: Step,
        plan: &Plan,
    ) -> Self {
        let checks = plan.checks.iter().map(|check| Checked {
            holds: check.holds,
            text: check.text.clone(),
        });
        Self {
            step: Some(Taken {
                name: step.as_str(),
                writes: step.target().as_str(),
                allowed: plan.is_allowed(),
                checks: checks.collect(),
                notes: plan.notes.clone(),
                written: Written::NotYet,
            }),
            ..Self::of_status(app, Some(row), situation)
        }
    }

    pub(super) fn with(mut self, written: Written) -> Self {
        if let Some(step) = &mut self.step {
            step.written = written;
        }
        self
    }

    pub(super) fn show(&self, json: bool) -> Result<(), Error> {
        if json {
            return output::json(self);
        }
        match &self.step {
            None => self.show_status(),
            Some(step) => self.show_step(step),
        }
    }

    fn show_status(&self) -> Result<(), Error> {
        if let Some(version) = self.version {
            let meaning = version.parse().map(meaning).unwrap_or_default();
            output::line(&format!("{} is at {version}: {meaning}", self.application))?;
            let when = self.modified_at.as_deref().unwrap_or("an unknown time");
            let by = self.modified_by.unwrap_or("somebody");
            let table = self.table.unwrap_or_default();
            output::line(&format!("  written by {by} at {when}, in the table {table}"))?;
        } else {
            output::line(&format!(
                "{} has no row Migration3.0: it does not come from KCL 2.x, or no worker of 3.x has begun the way from there, or \
                 --app, --lease-table or --coordinator-table name another one",
                self.application
            ))?;
        }
        for past in &self.history {
            output::line(&format!(
                "  before that {}, by {} at {}",
                past.version, past.modified_by, past.modified_at
            ))?;
        }
        if let Some(state) = self.table_migration {
            output::line(&format!("  on the way into one table: {state}"))?;
        }
        let doubt = match self.leader_publishes {
            Some(false) => {
                " by the lock, but it publishes no metrics and may be gone: `kclctl leases doctor` finds out"
            }
            _ => "",
        };
        output::line(&format!("  leader: {}{doubt}", self.leader.unwrap_or("none")))?;
        let (all, silent) = (self.lease_owners.len(), self.without_metrics.len());
        let mut owners = format!("  workers with leases: {all}");
        if silent > 0 {
            let those = named(&self.without_metrics);
            owners = format!("{owners}, of which {silent} of Java's publish no metrics: {those}");
        }
        output::line(&owners)
    }

    fn show_step(&self, step: &Taken) -> Result<(), Error> {
        if step.written == Written::NothingToDo {
            return output::line(&format!(
                "nothing to do: {} is at {} already",
                self.application, step.writes
            ));
        }
        let verb = if step.written == Written::Yes {
            "wrote"
        } else {
            "would write"
        };
        output::line(&format!(
            "{verb} {} over {} in the row Migration3.0 of the table {}",
            step.writes,
            self.version.unwrap_or_default(),
            self.table.unwrap_or_default()
        ))?;
        for check in &step.checks {
            let word = if check.holds { "yes" } else { "no" };
            output::line(&format!("  {word}: {}", check.text))?;
        }
        for note in &step.notes {
            output::line(&format!("  note: {note}"))?;
        }
        match step.written {
            Written::No => output::line("nothing was written; --yes writes it"),
            Written::Yes => output::line("the workers find out within a minute and a half"),
            Written::NotYet | Written::NothingToDo | Written::Refused => Ok(()),
        }
    }
}

const fn meaning(version: ClientVersion) -> &'static str {
    match version {
        ClientVersion::UpgradeFrom2x => "the workers use the algorithms of 2.x and get ready for those of 3.x",
        ClientVersion::TwoX => "the workers use the algorithms of 2.x again, after a rollback",
        ClientVersion::ThreeXWithRollback => "the workers use the algorithms of 3.x, and there is a way back",
        ClientVersion::ThreeX => "the workers use the algorithms of 3.x, and there is no way back",
        _ => "a state of a newer version",
    }
}
