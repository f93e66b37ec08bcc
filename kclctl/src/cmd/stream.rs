//! `kclctl stream`.

use std::time::Duration;

use aws_sdk_kinesis::types::{StreamMode, StreamModeDetails};
use clap::{Subcommand, ValueEnum};
use kcl_core::{HashKey, ShardId, StreamName};

use crate::{
    aws::{ConnectionArgs, Kinesis},
    error::Error,
    output, parse,
    stream::{describe, listing, ready, reshard, settings},
};

/// Create, delete, list, describe, split, merge, scale and change.
///
/// Commands that change a stream return when the change is in effect.
#[derive(Debug, Subcommand)]
pub(crate) enum StreamCommand {
    /// Create a stream.
    Create {
        /// The stream's name.
        name: StreamName,
        /// The number of shards.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
        shards: i32,
    },
    /// Delete a stream and all that it holds.
    Delete {
        /// The stream's name.
        name: StreamName,
        /// Delete its consumers with it; a stream that has consumers is not deleted otherwise.
        #[arg(long)]
        with_consumers: bool,
    },
    /// List the streams, one name per line.
    List {
        /// Print `{"streams": [NAME, ...]}`.
        #[arg(long)]
        json: bool,
    },
    /// Show a stream and its shards.
    ///
    /// The shards come in a table: id, open or closed, parents, hash keys, sequence numbers.
    Describe {
        /// The stream's name.
        name: StreamName,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Split a shard in two.
    Split {
        /// The stream's name.
        name: StreamName,
        /// The shard to split.
        #[arg(long, value_name = "ID")]
        shard: ShardId,
        /// The first hash key of the upper half, a decimal number [default: the middle of the shard's range].
        #[arg(long, value_name = "HASHKEY")]
        at: Option<HashKey>,
    },
    /// Merge two shards whose hash keys adjoin.
    Merge {
        /// The stream's name.
        name: StreamName,
        /// One of the shards.
        #[arg(long, value_name = "ID")]
        shard: ShardId,
        /// The other one.
        #[arg(long, value_name = "ID")]
        with: ShardId,
    },
    /// Split and merge shards until there are so many of the same width.
    ///
    /// At most twice as many as there are, and at least half as many. The stream must be provisioned.
    Scale {
        /// The stream's name.
        name: StreamName,
        /// The number of open shards.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        shards: i32,
    },
    /// Change how long records are kept.
    ///
    /// Records that are older than a shorter time are gone at once, and do not come back with a longer one.
    Retention {
        /// The stream's name.
        name: StreamName,
        /// From 24h to 8760h.
        #[arg(value_name = "DURATION", value_parser = parse::hours)]
        period: Duration,
    },
    /// Change who counts the shards.
    Mode {
        /// The stream's name.
        name: StreamName,
        /// The new mode.
        #[arg(value_enum)]
        mode: ChosenMode,
    },
}

/// Who counts the shards of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChosenMode {
    /// Its owner.
    Provisioned,
    /// The service, by what is written.
    OnDemand,
}

impl From<ChosenMode> for StreamMode {
    fn from(chosen: ChosenMode) -> Self {
        match chosen {
            ChosenMode::Provisioned => Self::Provisioned,
            ChosenMode::OnDemand => Self::OnDemand,
        }
    }
}

pub(crate) async fn run(command: StreamCommand, connection: &ConnectionArgs) -> Result<(), Error> {
    let kinesis = Kinesis::connect(connection).await?;
    match command {
        StreamCommand::Create { name, shards } => create(&kinesis, &name, shards).await,
        StreamCommand::Delete { name, with_consumers } => delete(&kinesis, &name, with_consumers).await,
        StreamCommand::List { json } => listing::streams(&kinesis, json).await,
        StreamCommand::Describe { name, json } => describe::stream(&kinesis, &name, json).await,
        StreamCommand::Split { name, shard, at } => reshard::split(&kinesis, &name, &shard, at).await,
        StreamCommand::Merge { name, shard, with } => reshard::merge(&kinesis, &name, &shard, &with).await,
        StreamCommand::Scale { name, shards } => settings::scale(&kinesis, &name, shards).await,
        StreamCommand::Retention { name, period } => settings::retention(&kinesis, &name, period).await,
        StreamCommand::Mode { name, mode } => settings::mode(&kinesis, &name, mode.into()).await,
    }
}

async fn create(kinesis: &Kinesis, name: &StreamName, shards: i32) -> Result<(), Error> {
    let mode = StreamModeDetails::builder()
        .stream_mode(StreamMode::Provisioned)
        .build();
    let request = kinesis
        .client
        .create_stream()
        .stream_name(name.as_str())
        .shard_count(shards);
    let mode = mode.map_err(|error| Error::Usage(error.to_string()))?;
    if let Err(error) = request.stream_mode_details(mode).send().await {
        let exists = error
            .as_service_error()
            .is_some_and(|error| error.is_resource_in_use_exception());
        return Err(match exists {
            true => Error::StreamExists {
                stream: name.clone(),
                place: kinesis.place.clone(),
            },
            false => kinesis.error("CreateStream", &error).into(),
        });
    }
    ready::wait_until_active(kinesis, name).await?;
    output::line(&format!(
        "created {name} with {shards} {}",
        if shards == 1 { "shard" } else { "shards" }
    ))
}

async fn delete(kinesis: &Kinesis, name: &StreamName, with_consumers: bool) -> Result<(), Error> {
    let request = kinesis.client.delete_stream().stream_name(name.as_str());
    request
        .enforce_consumer_deletion(with_consumers)
        .send()
        .await
        .map_err(|error| kinesis.stream_error("DeleteStream", name, &error))?;
    ready::wait_until_gone(kinesis, name).await?;
    output::line(&format!("deleted {name}"))
}
