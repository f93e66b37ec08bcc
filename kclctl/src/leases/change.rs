//! Changes to rows: told, confirmed, made, and told again.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use kcl_core::{ApplicationName, LeaseKey};
use serde::Serialize;

use super::error::LeasesError;
use crate::{error::Error, output};

/// How a change is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,

    /// Do not ask whether to do it. Needed with --json, and where stdin is no terminal.
    #[arg(long, short)]
    yes: bool,

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
        if self.dry_run {
            self.print(app, plan)?;
            self.remark(notes);
            return Ok(false);
        }
        if self.yes {
            self.remark(notes);
            return Ok(true);
        }
        if self.json || !io::stdin().is_terminal() {
            let problem = "there is no terminal to ask at, or --json is given: give --yes to do it, or --dry-run to see what would be done";
            return Err(Error::Usage(problem.to_owned()));
        }
        table(plan)?;
        self.remark(notes);
        if ask(plan.len())? {
            return Ok(true);
        }
        Err(LeasesError::NotConfirmed.into())
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
            dry_run: self.dry_run,
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

fn ask(count: usize) -> Result<bool, Error> {
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "make {count} changes? [y/N] ").and_then(|()| stderr.flush());
    asked.map_err(Error::Output)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Error::Output)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
