//! `kclctl consumer`.

use clap::Subcommand;
use kcl_core::StreamName;

use crate::{
    aws::{ConnectionArgs, Kinesis},
    consumer,
    error::Error,
    parse::tag,
};

/// Register, list, describe and deregister consumers with dedicated throughput.
///
/// Commands that change a consumer return when the change is in effect.
#[derive(Debug, Subcommand)]
pub(crate) enum ConsumerCommand {
    /// Register a consumer with a stream; prints its ARN.
    Register {
        /// The stream's name.
        stream: StreamName,
        /// The consumer's name.
        name: String,
        /// A tag to begin with; can be given more than once.
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
        tags: Vec<(String, String)>,
    },
    /// List the consumers of a stream in a table: name, status, creation time, ARN.
    List {
        /// The stream's name.
        stream: StreamName,
        /// Print `{"consumers": [...]}`.
        #[arg(long)]
        json: bool,
    },
    /// Show a consumer.
    Describe {
        /// The stream's name.
        stream: StreamName,
        /// The consumer's name.
        name: String,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Deregister a consumer, which ends its subscriptions.
    Deregister {
        /// The stream's name.
        stream: StreamName,
        /// The consumer's name.
        name: String,
    },
}

pub(crate) async fn run(command: ConsumerCommand, connection: &ConnectionArgs) -> Result<(), Error> {
    let kinesis = Kinesis::connect(connection).await?;
    match command {
        ConsumerCommand::Register { stream, name, tags } => consumer::register(&kinesis, &stream, &name, tags).await,
        ConsumerCommand::List { stream, json } => consumer::list(&kinesis, &stream, json).await,
        ConsumerCommand::Describe { stream, name, json } => consumer::describe(&kinesis, &stream, &name, json).await,
        ConsumerCommand::Deregister { stream, name } => consumer::deregister(&kinesis, &stream, &name).await,
    }
}
