//! `kclctl fault`.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use kcl_broker::trouble::{Fault, FaultId, FaultStatus};
use serde::{Deserialize, Serialize};

use crate::{
    aws::ConnectionArgs,
    error::Error,
    output,
    own_door::{FAULTS, OwnDoor},
};

/// Make the clients of a broker meet trouble: add, list, clear.
///
/// Only a broker of `kclctl broker` on this machine can be asked. Faults are asked in the order in which they were added:
/// latencies add up, and of the others the first that strikes a call is what the call meets.
#[derive(Debug, Subcommand)]
pub(crate) enum FaultCommand {
    /// Add a fault; prints its number.
    ///
    /// Without options it strikes every call that it can happen to, until it is cleared.
    Add(Box<AddArgs>),
    /// List the faults, and how often each has struck.
    List {
        /// Print `{"faults": [...]}`.
        #[arg(long)]
        json: bool,
    },
    /// Take faults out: the one of this number, or all.
    Clear {
        /// The fault's number.
        #[arg(value_name = "NUMBER")]
        id: Option<u64>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// What happens.
    #[arg(value_enum)]
    fault: Kind,

    /// To calls of this operation, such as PutRecords, DynamoDB.UpdateItem, DynamoDB.* or *.
    #[arg(long, value_name = "OPERATION", default_value = "*")]
    on: String,

    /// To calls about this stream.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,

    /// To calls about this shard; of PutRecords, throttle and internal_error strike the records that go there.
    #[arg(long, value_name = "ID")]
    shard: Option<String>,

    /// To calls about this DynamoDB table.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,

    /// For latency, how long calls are held up; for stale_shards, how old the listing is.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    time: Option<Duration>,

    /// For disconnect: after how many events of a subscription.
    #[arg(long, value_name = "N")]
    events: Option<u32>,

    /// For throttle and internal_error: of PutRecords, only this share of the records, from 0 to 1.
    #[arg(long, value_name = "SHARE")]
    records: Option<f64>,

    /// How likely it is for each of these calls, from 0 to 1.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    probability: f64,

    /// How many of these calls pass first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,

    /// How often it strikes at most [default: any number of times].
    #[arg(long, value_name = "N")]
    times: Option<u64>,

    /// What chance follows from.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Kind {
    /// Throughput is exceeded.
    Throttle,
    /// The service fails with status 500.
    InternalError,
    /// The service is unavailable, with status 503.
    Unavailable,
    /// Calls are held up; takes --time.
    Latency,
    /// The connection is cut before the call is carried out.
    DropRequest,
    /// The connection is cut after the call was carried out.
    DropAnswer,
    /// GetRecords: the iterator has expired.
    ExpiredIterator,
    /// GetRecords: neither an iterator nor children, though the shard is open.
    NullIterator,
    /// ListShards: the shards of some time ago; takes --time.
    StaleShards,
    /// SubscribeToShard: opens and sends nothing.
    SilentSubscription,
    /// SubscribeToShard: the connection is cut after --events events.
    Disconnect,
    /// SubscribeToShard and what changes streams: the resource is in use.
    ResourceInUse,
}

/// What the broker answers where faults come in numbers.
#[derive(Debug, Deserialize, Serialize)]
struct Faults {
    faults: Vec<FaultStatus>,
}

#[derive(Debug, Deserialize)]
struct Added {
    id: FaultId,
}

pub(crate) async fn run(command: FaultCommand, connection: &ConnectionArgs) -> Result<(), Error> {
    match command {
        FaultCommand::Add(args) => {
            let fault = args.fault()?;
            let json = serde_json::to_string(&fault).map_err(|error| Error::Usage(error.to_string()))?;
            let Added { id } = OwnDoor::at(connection)?.ask("POST", FAULTS, json).await?;
            output::line(&format!("added fault {id}"))
        }
        FaultCommand::List { json } => {
            let listed: Faults = OwnDoor::at(connection)?.ask("GET", FAULTS, String::new()).await?;
            if json {
                output::json(&listed)
            } else {
                show(&listed.faults)
            }
        }
        FaultCommand::Clear { id } => {
            let path = match id {
                Some(id) => format!("{FAULTS}/{id}"),
                None => FAULTS.to_owned(),
            };
            let cleared: Faults = OwnDoor::at(connection)?.ask("DELETE", &path, String::new()).await?;
            match (id, cleared.faults.len()) {
                (Some(id), _) => output::line(&format!("cleared fault {id}")),
                (None, 1) => output::line("cleared 1 fault"),
                (None, count) => output::line(&format!("cleared {count} faults")),
            }
        }
    }
}

impl AddArgs {
    fn fault(self) -> Result<Fault, Error> {
        let kind = self.fault;
        let name = kind.to_possible_value().map(|value| value.get_name().to_owned());
        let name = name.unwrap_or_default();
        let takes = |option: &str| Error::Usage(format!("{name} takes {option}"));
        let takes_time = matches!(kind, Kind::Latency | Kind::StaleShards);
        if self.time.is_some() && !takes_time {
            return Err(takes("no --time"));
        }
        if self.events.is_some() && kind != Kind::Disconnect {
            return Err(takes("no --events"));
        }
        let time = || self.time.ok_or_else(|| takes("--time, such as --time 200ms"));
        let mut fault = match kind {
            Kind::Throttle => Fault::throttle(),
            Kind::InternalError => Fault::internal_error(),
            Kind::Unavailable => Fault::unavailable(),
            Kind::Latency => Fault::latency(time()?),
            Kind::DropRequest => Fault::drop_request(),
            Kind::DropAnswer => Fault::drop_answer(),
            Kind::ExpiredIterator => Fault::expired_iterator(),
            Kind::NullIterator => Fault::null_iterator(),
            Kind::StaleShards => Fault::stale_shards(time()?),
            Kind::SilentSubscription => Fault::silent_subscription(),
            Kind::Disconnect => {
                let events = self.events.ok_or_else(|| takes("--events, such as --events 3"))?;
                Fault::disconnect(events)
            }
            Kind::ResourceInUse => Fault::resource_in_use(),
        };
        fault.operation = self.on;
        fault.stream = self.stream;
        fault.shard = self.shard;
        fault.table = self.table;
        fault.records = self.records;
        fault.times = self.times;
        Ok(fault.probability(self.probability).after(self.after).seed(self.seed))
    }
}

fn show(faults: &[FaultStatus]) -> Result<(), Error> {
    if faults.is_empty() {
        return output::line("there are no faults");
    }
    let header = ["FAULT", "WHAT", "ON", "ABOUT", "MATCHED", "STRUCK", "OF"];
    let rows = faults.iter().map(|status| {
        let fault = &status.fault;
        let about = [&fault.table, &fault.stream, &fault.shard];
        let about: Vec<&str> = about.into_iter().flatten().map(String::as_str).collect();
        [
            status.id.to_string(),
            fault.kind.name().to_owned(),
            fault.operation.clone(),
            about.join("/"),
            status.matched.to_string(),
            status.struck.to_string(),
            fault.times.map(|times| times.to_string()).unwrap_or_default(),
        ]
    });
    output::table(header, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_the_name_that_it_has_in_json() {
        for kind in Kind::value_variants() {
            let args = AddArgs {
                fault: *kind,
                on: "*".to_owned(),
                stream: None,
                shard: None,
                table: None,
                time: matches!(kind, Kind::Latency | Kind::StaleShards).then_some(Duration::from_secs(1)),
                events: (*kind == Kind::Disconnect).then_some(3),
                records: None,
                probability: 1.0,
                after: 0,
                times: None,
                seed: 0,
            };
            let name = kind.to_possible_value().unwrap();
            assert_eq!(args.fault().unwrap().kind.name(), name.get_name());
        }
    }
}
