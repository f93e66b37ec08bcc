//! `kclctl replay`.

use kcl_core::Timestamp;
use kcl_runtime::{
    Config, WorkerError,
    replay::{Replay, ReplayError},
};
use tokio::sync::oneshot;

use crate::{
    aws::{ConnectionArgs, Kinesis},
    consume::{Sink, failure},
    error::Error,
    parse,
    signals::Signals,
    stream::StreamArg,
};

/// Write the records of a stretch of time to stdout, as `consume` does, and end.
///
/// It has no application and no lease table: nobody's checkpoints change, and whoever reads the stream goes on as before. Shards
/// are read in the order of their descent, parents before children. How many records there were is told on stderr.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// The stream, by name, or by ARN if it is another account's.
    #[arg(long, value_name = "NAME|ARN")]
    stream: StreamArg,

    /// From the first record that arrived at or after this time, such as 2013-01-01T10:00:00Z [default: the oldest record].
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,

    /// To the last record that arrived before this time [default: now].
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,

    /// The memory for records that are read and not yet written.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse::bytes)]
    memory_budget: u64,
}

pub(crate) async fn run(args: ReplayArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let kinesis = Kinesis::connect(connection).await?;
    let mut config = Config::default();
    config.memory_budget = args.memory_budget;
    let (sink, (stop, stopped)) = (Sink::stdout(), oneshot::channel::<()>());
    let writer = sink.clone();
    let replay = Replay::new(args.stream.source(&kinesis)).config(config);
    let replay = args.from.into_iter().fold(replay, Replay::from);
    let replay = args.until.into_iter().fold(replay, Replay::until);
    let mut running = tokio::spawn(replay.function_until(
        move |batch| {
            let writer = writer.clone();
            async move { writer.write(batch).await }
        },
        async move {
            // Whoever asks for the end drops the sender or uses it.
            let _ = stopped.await;
        },
    ));
    let ended = tokio::select! {
        biased;
        ended = &mut running => Some(ended),
        () = signals.next() => None,
        () = sink.closed() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            drop(stop);
            signals.or_exit(running).await
        }
    };
    let result = match ended {
        Ok(result) => result,
        // A panic of the worker is a fault of ours: let it be seen as one.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    match result {
        Ok(replayed) => {
            let (records, bytes, shards) = (replayed.records, replayed.bytes, replayed.shards.len());
            tracing::info!(records, bytes, shards, "replayed");
        }
        // As was asked.
        Err(ReplayError::Stopped) => {}
        Err(ReplayError::Worker(WorkerError::Failed(error))) => {
            return Err(failure(error.into(), &kinesis, Some(args.stream.name())));
        }
        Err(error @ (ReplayError::Empty { .. } | ReplayError::Future { .. })) => {
            return Err(Error::Usage(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    }
    sink.finish()
}
