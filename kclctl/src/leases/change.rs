//! Changes to rows: told, confirmed, made, and told again.

use std::io::{self, Write as _};

use kcl_core::{ApplicationName, LeaseKey};
use serde::Serialize;

use super::error::LeasesError;
use crate::{
    consent::{Consent, ConsentArgs, ask},
    error::Error,
    output,
};

/// How a change is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    consent: ConsentArgs,

    /// Print a JSON object with `application`, `dry_run` and `changes`.
    #[arg(long)]
    json: bool,
}

/// A change of one row, planned or made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) lease_key: LeaseKey,
    /// Who held the lease.
    pub(crate) owner: Option<String>,
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) result: Outcome,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Planned,
    Done,
    Failed(String),
}

#[derive(Debug, Serialize)]
struct Changes<'a> {
    application: &'a ApplicationName,
    dry_run: bool,
    changes: &'a [Change],
}

impl ChangeArgs {
    /// Shows what is planned and asks for consent. Says whether to go on.
    pub(crate) fn consent(&self, app: &ApplicationName, plan: &[Change], notes: &[String]) -> Result<bool, Error> {
        if plan.is_empty() {
            if self.json {
                self.print(app, plan)?;
            } else {
                output::line("nothing to do")?;
            }
            return Ok(false);
        }
        let consent = self.consent.consent(self.json)?;
        match consent {
            Consent::DryRun => self.print(app, plan)?,
            Consent::Given => {}
            Consent::Ask => table(plan)?,
        }
        self.remark(notes);
        if consent == Consent::Ask {
            ask(&format!("make {} changes?", plan.len()))?;
        }
        Ok(consent != Consent::DryRun)
    }

    /// Shows what was done; an error if not all of it was.
    pub(crate) fn conclude(&self, app: &ApplicationName, made: &[Change]) -> Result<(), Error> {
        self.print(app, made)?;
        let failed = made.iter().filter(|change| change.result != Outcome::Done).count();
        if failed == 0 {
            return Ok(());
        }
        let all = made.len();
        Err(LeasesError::Incomplete { failed, all }.into())
    }

    fn print(&self, app: &ApplicationName, changes: &[Change]) -> Result<(), Error> {
        if !self.json {
            return table(changes);
        }
        output::json(&Changes {
            application: app,
            dry_run: self.consent.is_dry_run(),
            changes,
        })
    }

    /// What goes with the change, on stderr, so that stdout stays the changes alone.
    fn remark(&self, notes: &[String]) {
        for note in notes {
            // Nothing is left to do if even stderr is gone.
            let _ = writeln!(io::stderr().lock(), "note: {note}");
        }
    }
}

fn table(changes: &[Change]) -> Result<(), Error> {
    let rows = changes.iter().map(|change| {
        let result = match &change.result {
            Outcome::Planned => "planned".to_owned(),
            Outcome::Done => "done".to_owned(),
            Outcome::Failed(why) => format!("failed: {why}"),
        };
        [
            change.lease_key.to_string(),
            change.owner.clone().unwrap_or_default(),
            change.before.clone(),
            change.after.clone(),
            result,
        ]
    });
    output::table(["LEASE", "OWNER", "BEFORE", "AFTER", "RESULT"], rows)
}
