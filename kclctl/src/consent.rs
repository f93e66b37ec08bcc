//! How a command that changes something is told to do it: it says first what it would do, and asks.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::error::Error;

/// Whether to do what is planned.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ConsentArgs {
    /// Only say what would be done.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do not ask whether to do it. Needed with --json, and where stdin is no terminal.
    #[arg(long, short)]
    yes: bool,
}

/// What the arguments say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// To say what would be done, and no more.
    DryRun,
    /// To do it.
    Given,
    /// To say what would be done, and to ask.
    Ask,
}

impl ConsentArgs {
    pub(crate) const fn is_dry_run(self) -> bool {
        self.dry_run
    }

    /// An error if somebody would have to be asked and cannot be.
    pub(crate) fn consent(self, json: bool) -> Result<Consent, Error> {
        match self {
            Self { dry_run: true, .. } => Ok(Consent::DryRun),
            Self { yes: true, .. } => Ok(Consent::Given),
            _ if json || !io::stdin().is_terminal() => {
                let problem = "there is no terminal to ask at, or --json is given: give --yes to do it, or --dry-run to see \
                               what would be done";
                Err(Error::Usage(problem.to_owned()))
            }
            _ => Ok(Consent::Ask),
        }
    }
}

/// Asks at the terminal. What is said no to is an error.
pub(crate) fn ask(question: &str) -> Result<(), Error> {
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    asked.map_err(Error::Output)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Error::Output)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::NotConfirmed),
    }
}
