//! What can go wrong, in the words that the user sees.

use std::{error::Error as StdError, io, net::SocketAddr, path::PathBuf, process::ExitCode};

use kcl_core::{ApplicationName, ShardId, StoreError, StreamName};
use kcl_runtime::{ConfigError, WorkerError};

use crate::{
    aws::ServiceError,
    dlq::DlqError,
    leases::{LeasesError, TableArgs},
    own_door::OwnDoorError,
    put::PutError,
};

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const BAD_INPUT: u8 = 3;
/// What shells report for a program that SIGINT ended.
pub(crate) const CUT_SHORT: u8 = 130;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("--log {filter:?} is not a filter such as `info` or `warn,kcl_runtime=debug`")]
    LogFilter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("the runtime cannot start")]
    Runtime(#[source] io::Error),
    #[error("SIGTERM and SIGINT cannot be listened to")]
    Signals(#[source] io::Error),
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
    #[error(transparent)]
    Listen(#[from] kcl_broker::BindError),
    #[error(transparent)]
    Certificate(#[from] kcl_broker::CertificateError),
    #[error("the certificate cannot be written to {}", .path.display())]
    CertificateOut { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(
        "the stream {stream} does not exist at {place}; create it with `kclctl stream create {stream} --shards 1`, \
         or see which exist with `kclctl stream list`"
    )]
    UnknownStream { stream: StreamName, place: String },
    #[error("the stream {stream} exists already at {place}; see `kclctl stream describe {stream}`")]
    StreamExists { stream: StreamName, place: String },
    #[error("the stream {stream} has no shard {shard}; see `kclctl stream describe {stream}`")]
    UnknownShard { stream: StreamName, shard: ShardId },
    #[error("the shard {shard} of {stream} is closed: it was split or merged already")]
    ClosedShard { stream: StreamName, shard: ShardId },
    #[error("the shard {shard} of {stream} serves a single hash key and cannot be split")]
    NarrowShard { stream: StreamName, shard: ShardId },
    #[error("the stream {stream} did not become ready within {seconds} s; see `kclctl stream describe {stream}`")]
    NotReady { stream: StreamName, seconds: u64 },
    #[error(
        "the stream {stream} has no consumer {consumer}; register it with \
         `kclctl consumer register {stream} {consumer}`, or see which exist with `kclctl consumer list {stream}`"
    )]
    UnknownConsumer { stream: StreamName, consumer: String },
    #[error(
        "the stream {stream} has a consumer {consumer} already; see `kclctl consumer describe {stream} {consumer}`"
    )]
    ConsumerExists { stream: StreamName, consumer: String },
    #[error(
        "the consumer {consumer} of {stream} did not become ready within {seconds} s; see \
         `kclctl consumer describe {stream} {consumer}`"
    )]
    ConsumerNotReady {
        stream: StreamName,
        consumer: String,
        seconds: u64,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error(transparent)]
    Mapping(#[from] crate::lambda::ConfigError),
    #[error(transparent)]
    DeadLetters(#[from] kcl_runtime::dead_letter::DeadLetterError),
    #[error(transparent)]
    Replay(#[from] kcl_runtime::replay::ReplayError),
    #[error("metrics cannot be served at {address}")]
    Metrics {
        address: SocketAddr,
        source: metrics_exporter_prometheus::BuildError,
    },
    #[error(
        "the lease table {table} is not named after the application {app}, and would be changed for it: a table in DynamoDB \
         holds the leases of one application, mostly of its own name. Check --app and --lease-table; if {table} is {app}'s, \
         add --other-name"
    )]
    OtherName { app: ApplicationName, table: String },
    #[error(
        "these rows of the lease table are no leases, and if they are of shards, nobody reads those: {rows}. See `kclctl leases doctor {table}`"
    )]
    NotRead { rows: String, table: TableArgs },
    #[error("nothing was confirmed, so nothing was done")]
    NotConfirmed,
    #[error("{} cannot be written, where --cloudwatch-metrics wants the metrics", .path.display())]
    EmbeddedMetrics { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Put(#[from] PutError),
    #[error(transparent)]
    OwnDoor(#[from] OwnDoorError),
    #[error(transparent)]
    Leases(#[from] LeasesError),
    #[error(transparent)]
    Dlq(#[from] DlqError),
    #[cfg(feature = "dynamodb")]
    #[error(transparent)]
    Migrate(#[from] crate::migrate::MigrateError),
}

impl Error {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_)
            | Self::LogFilter { .. }
            | Self::OtherName { .. }
            | Self::Config(_)
            | Self::Mapping(_)
            | Self::Certificate(_) => WRONG_USAGE,
            Self::OwnDoor(OwnDoorError::NoEndpoint) => WRONG_USAGE,
            #[cfg(feature = "dynamodb")]
            Self::Migrate(crate::migrate::MigrateError::NotInDynamoDb { .. }) => WRONG_USAGE,
            Self::Put(error) if error.is_input() => BAD_INPUT,
            _ => FAILED,
        })
    }

    /// One line on stderr: the error and its causes.
    pub(crate) fn print(&self) {
        // Nothing is left to do if even stderr is gone.
        let _ = io::Write::write_all(&mut io::stderr().lock(), format!("error: {}\n", chain(self)).as_bytes());
    }
}

/// An error and its causes in one line; causes that the text before names already are left out.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_in_one_line_and_are_not_repeated() {
        let error = Error::Output(io::Error::other("no\nspace"));
        assert_eq!(chain(&error), "the output cannot be written: no space");
        let told = Error::Usage("a".to_owned());
        assert_eq!(chain(&told), "a");
    }
}
