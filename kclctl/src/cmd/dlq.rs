//! `kclctl dlq`.

use std::path::PathBuf;

use clap::Subcommand;
use kcl_core::{ApplicationName, ShardId, StreamName, Timestamp};
use kcl_runtime::dead_letter::{LetterId, Selection};

use crate::{aws::ConnectionArgs, consent::ConsentArgs, dlq, error::Error};

/// Look at the records that workers gave up, put them into their stream again, or remove them.
///
/// What changes something says first what it would do, and asks (`--dry-run`, `--yes`). Workers may run meanwhile.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Show the letters in a table, in the order in which they came.
    ///
    /// A letter has the records of one batch. `keys` shows which keys are in quarantine, so that what follows them is kept
    /// too.
    List(ListArgs),
    /// Show one letter whole, as JSON: its history, and its records with their data as text, or in base64 if it is none.
    Show(ShowArgs),
    /// Put records into the stream that they came from again, and remove each once the stream has it.
    ///
    /// The records of one key are put oldest first, each after the one before it was taken. Keys in quarantine are released
    /// first, and their records put when the workers that read the stream know of it, which takes some ten seconds. Records that
    /// producers put meanwhile come in between. A key that fails again goes into quarantine again, and what is left of it is
    /// kept. If the command ends early, begin it again: a few records are put twice then. Every application that reads the
    /// stream sees the records.
    Redrive(RedriveArgs),
    /// Remove records for good. Keys in quarantine stay there.
    Purge(PurgeArgs),
    /// Show the partition keys in quarantine.
    Keys(KeysArgs),
    /// Release keys from quarantine without putting their records again: what comes from now on is delivered.
    Release(ReleaseArgs),
}

/// The file.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// The file that workers keep dead letters in.
    #[arg(long, value_name = "FILE")]
    pub(crate) store: PathBuf,
}

/// Which records.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SelectionArgs {
    /// Those of one application.
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Option<ApplicationName>,

    /// Those of one stream.
    #[arg(long, value_name = "NAME")]
    stream: Option<StreamName>,

    /// Those of one shard.
    #[arg(long, value_name = "ID")]
    shard: Option<ShardId>,

    /// Those with this partition key; may be given several times.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,

    /// Those that were given up for this reason.
    #[arg(long, value_name = "REASON", value_parser = REASONS)]
    reason: Option<String>,

    /// Those that were given up at or after this time, such as 2013-01-01T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,

    /// Those that were given up before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,

    /// Those of one letter; may be given several times.
    #[arg(long = "letter", value_name = "NUMBER")]
    letters: Vec<LetterId>,
}

const REASONS: [&str; 4] = [
    "RetryAttemptsExhausted",
    "RecordAgeExceeded",
    "PayloadTooLarge",
    "Quarantined",
];

impl SelectionArgs {
    pub(crate) fn selection(&self) -> Selection {
        let mut selection = Selection::default();
        selection.letters.clone_from(&self.letters);
        selection.application.clone_from(&self.app);
        selection.stream.clone_from(&self.stream);
        selection.shard.clone_from(&self.shard);
        selection.keys = self.keys.iter().map(|key| key.as_str().into()).collect();
        selection.reason.clone_from(&self.reason);
        (selection.from, selection.until) = (self.from, self.until);
        selection
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Print a JSON object with `letters`.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// The letter's number, as `list` shows it.
    pub(crate) letter: LetterId,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Into this stream, instead of the one that they came from. Keys in quarantine stay there then.
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Option<StreamName>,

    /// No more than so many records, the oldest.
    #[arg(long, value_name = "RECORDS")]
    pub(crate) limit: Option<u64>,

    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// All there is; needed if nothing else says which.
    #[arg(long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Print a JSON object with `keys`.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Only for this application.
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Option<ApplicationName>,

    /// Only in this stream.
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<StreamName>,

    /// The keys.
    #[arg(value_name = "KEY", required = true)]
    pub(crate) keys: Vec<String>,

    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// How a change is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    pub(crate) consent: ConsentArgs,

    /// Print a JSON object with what was done, or would be.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) async fn run(command: DlqCommand, connection: &ConnectionArgs) -> Result<(), Error> {
    match command {
        DlqCommand::List(args) => dlq::list(&args).await,
        DlqCommand::Show(args) => dlq::show(&args).await,
        DlqCommand::Redrive(args) => dlq::redrive(args, connection).await,
        DlqCommand::Purge(args) => dlq::purge(&args).await,
        DlqCommand::Keys(args) => dlq::keys(&args).await,
        DlqCommand::Release(args) => dlq::release(&args).await,
    }
}
