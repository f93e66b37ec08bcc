//! `kclctl operations`.

use std::{collections::BTreeMap, time::Duration};

use kcl_broker::operations_log::{OperationCounts, OperationEntry, OperationFilter, OperationsSnapshot};

use crate::{
    aws::ConnectionArgs,
    error::Error,
    output,
    own_door::{OPERATIONS, OwnDoor},
    signals::Signals,
};

/// How often a broker is asked for what is new.
const PAUSE: Duration = Duration::from_millis(250);

/// Show who called what on a broker, and how it went.
///
/// One line per call, the latest last: its number, the time on the broker's clock, the operation, what it was about, the
/// outcome (`ok`, the type of the error, or `dropped`), records and bytes of request and answer, the fault that struck,
/// and who called. Data and partition keys are never logged. Only a broker of `kclctl broker` on this machine can be asked.
#[derive(Debug, clap::Args)]
pub(crate) struct OperationsArgs {
    /// Those of this operation, such as GetRecords or DynamoDB.UpdateItem.
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,

    /// Those about this stream.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,

    /// Those about this shard.
    #[arg(long, value_name = "ID")]
    shard: Option<String>,

    /// Those about this DynamoDB table.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,

    /// Those of callers whose address, access key id or user agent contains this.
    #[arg(long, value_name = "TEXT")]
    caller: Option<String>,

    /// Those that were refused or got no answer.
    #[arg(long)]
    failed: bool,

    /// Those that a fault struck.
    #[arg(long)]
    struck: bool,

    /// Of all these the last so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,

    /// Go on with those that come, until SIGTERM or SIGINT.
    #[arg(long, short)]
    follow: bool,

    /// Show how often each operation was called since the broker started instead, whatever else is asked for.
    #[arg(long, conflicts_with = "follow")]
    counts: bool,

    /// Print one JSON object per line; with --counts one object.
    #[arg(long)]
    json: bool,
}

impl OperationsArgs {
    fn filter(&self) -> OperationFilter {
        let mut filter = OperationFilter::default().last(self.last);
        filter.operation.clone_from(&self.operation);
        filter.stream.clone_from(&self.stream);
        filter.shard.clone_from(&self.shard);
        filter.table.clone_from(&self.table);
        filter.caller.clone_from(&self.caller);
        filter.failed = self.failed;
        filter.struck = self.struck;
        filter
    }
}

pub(crate) async fn run(args: OperationsArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let door = OwnDoor::at(connection)?;
    let mut filter = args.filter();
    let first = read(&door, &filter).await?;
    if !first.is_on {
        tracing::warn!("this broker keeps no log");
    }
    if args.counts {
        return show_counts(&first.counts, args.json);
    }
    print(&first.operations, args.json)?;
    filter.last = None;
    filter.after = Some(first.last_serial);
    while args.follow && output::is_read() {
        tokio::select! {
            biased;
            () = signals.next() => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let more = read(&door, &filter).await?;
        print(&more.operations, args.json)?;
        filter.after = Some(more.last_serial);
    }
    Ok(())
}

async fn read(door: &OwnDoor, filter: &OperationFilter) -> Result<OperationsSnapshot, Error> {
    let query = serde_urlencoded::to_string(filter).map_err(|error| Error::Usage(error.to_string()))?;
    door.ask("GET", &format!("{OPERATIONS}?{query}"), String::new()).await
}

fn print(calls: &[OperationEntry], json: bool) -> Result<(), Error> {
    let line = |call: &OperationEntry| match json {
        true => serde_json::to_string(call).map_err(|error| Error::Output(error.into())),
        false => Ok(shown(call)),
    };
    let lines = calls.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    if lines.is_empty() {
        return Ok(());
    }
    output::line(&lines.join("\n"))
}

/// The columns are as wide as what is usually in them, since what comes later is not known.
fn shown(call: &OperationEntry) -> String {
    let about = [&call.table, &call.stream, &call.shard];
    let about: Vec<&str> = about.into_iter().flatten().map(String::as_str).collect();
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let faults: Vec<&str> = call.faults.iter().map(|hit| &*hit.fault).collect();
    let load = |load: kcl_broker::Load| match load.records {
        0 => "-".to_owned(),
        records => format!("{records}/{}B", load.bytes),
    };
    let caller = &call.caller;
    let address = caller.address.map(|address| address.to_string());
    let who = [caller.access_key_id.clone(), address, caller.user_agent.clone()];
    let who: Vec<String> = who.into_iter().flatten().collect();
    format!(
        "{:<6} {} {:<22} {:<36} {:<12} {:<12} {:<12} {:<14} {}",
        call.serial,
        call.at,
        call.operation,
        or_dash(about.join("/")),
        call.outcome,
        load(call.request),
        load(call.answer),
        or_dash(faults.join(",")),
        or_dash(who.join(" ")),
    )
}

fn show_counts(counts: &BTreeMap<String, OperationCounts>, json: bool) -> Result<(), Error> {
    if json {
        return output::json(counts);
    }
    let header = ["OPERATION", "CALLS", "ERRORS", "DROPPED", "STRUCK"];
    let rows = counts.iter().map(|(operation, counts)| {
        let numbers = [counts.calls, counts.errors, counts.dropped, counts.struck];
        let [calls, errors, dropped, struck] = numbers.map(|number| number.to_string());
        [operation.clone(), calls, errors, dropped, struck]
    });
    output::table(header, rows)
}
