//! `kclctl leases watch`.

mod history;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use kcl_core::Tick;

use self::history::{History, Sight};
use super::table_args::TableArgs;
use crate::{aws::ConnectionArgs, clock::Stopwatch, error::Error, output, signals::Signals};

/// Clears the screen and begins at its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// What is watched, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    table: TableArgs,

    /// End after this time [default: at Ctrl-C].
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,

    /// How often to look.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,

    /// Print each change as a JSON object on a line of its own.
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let shortest = Duration::from_millis(10);
    (interval >= shortest)
        .then_some(interval)
        .ok_or_else(|| "use 10ms or more".to_owned())
}

/// Shows the leases again and again, or on what is no terminal what changes.
pub(crate) async fn watch(args: WatchArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let table = args.table.open(connection).await?;
    let redraw = io::stdout().is_terminal() && !args.json;
    let stopwatch = Stopwatch::start();
    let mut history = History::default();
    loop {
        let listing = table.list().await?;
        let now = stopwatch.tick();
        let changes = history.look(now, &listing.leases);
        if redraw {
            output::line(&format!("{CLEAR}{}", heading(&args, now)))?;
            show(&history, now)?;
        } else {
            for change in changes {
                if args.json {
                    output::json_line(&change)?;
                } else {
                    output::line(&change.to_string())?;
                }
            }
        }
        let left = args.duration.map(|whole| whole.saturating_sub(stopwatch.elapsed()));
        if left == Some(Duration::ZERO) || !output::is_read() {
            return Ok(());
        }
        let pause = left.map_or(args.interval, |left| left.min(args.interval));
        tokio::select! {
            biased;
            () = signals.next() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn heading(args: &WatchArgs, now: Tick) -> String {
    let (app, seconds) = (&args.table.app, now.since_origin().as_secs());
    format!("leases of {app} in {}, watched for {seconds} s", args.table.lease_table)
}

fn show(history: &History, now: Tick) -> Result<(), Error> {
    let rows = history.sights().map(|sight: &Sight| {
        let lease = &sight.lease;
        [
            lease.key.to_string(),
            lease.holder().map(ToString::to_string).unwrap_or_default(),
            lease.checkpoint.to_string(),
            lease.counter.to_string(),
            format!("{:.1}s", sight.age(now).as_secs_f64()),
            format!("{:.1}", sight.checkpoints_per_minute(now)),
            sight.passed_to().unwrap_or_default(),
        ]
    });
    let header = [
        "LEASE",
        "OWNER",
        "CHECKPOINT",
        "COUNTER",
        "UNCHANGED FOR",
        "CHECKPOINTS/MIN",
        "PASSED TO",
    ];
    output::table(header, rows)
}
