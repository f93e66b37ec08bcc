//! `kclctl consume`.

use std::{net::SocketAddr, time::Duration};

use clap::ValueEnum;
use kcl_core::{
    ApplicationName, InitialPosition, WorkerId, assign::LeaseAssignment, fetch::FetchFailureKind, shard::Lanes,
};
use kcl_runtime::{Config, ConsumerSelector, RecordSource as _, RetrievalMode, StreamConfig, Worker};

use crate::{
    aws::{ConnectionArgs, Kinesis},
    consume::{CloudWatchArgs, Sink, failure, serve_metrics, until_idle},
    error::Error,
    lease_table::{BesideArgs, LeaseTable, open_patiently},
    leases::TableArgs,
    parse,
    signals::Signals,
    stream::StreamArg,
};

/// Write the records of streams to stdout, one JSON object per line.
///
/// The keys of a line are `stream`, `shard_id`, `sequence_number`, `sub_sequence_number`, `partition_key`,
/// `approximate_arrival_timestamp` (RFC 3339), and `data`, or `data_base64` where the data is not UTF-8. Where several streams
/// are read there is also `stream_id`, which is `account:stream:epoch`.
///
/// Every record is written at least once. A batch is checkpointed only after all its lines went to stdout. Start several
/// with the same --app and the same lease table, and they share the shards; start one again, and it goes on where it was.
///
/// SIGTERM or SIGINT stops it: the batches under way are written and checkpointed and the leases are given back. A second
/// signal ends it at once. It also stops when the reader of its stdout is gone.
#[derive(Debug, clap::Args)]
pub(crate) struct ConsumeArgs {
    /// The stream, by name, or by ARN if it is another account's. Give it several times to read several streams: their shards
    /// are shared by all workers of the application together, and their leases have keys of their own, so that an
    /// application that read one stream does not go on as one of several.
    #[arg(long = "stream", value_name = "NAME|ARN", required = true)]
    streams: Vec<StreamArg>,

    /// Keep the leases as those of several streams also while there is one: others can then be added.
    #[arg(long)]
    multi_stream: bool,

    /// The application: those of the same name share the shards and the checkpoints [default: the name of the table in
    /// DynamoDB].
    #[arg(long, value_name = "NAME")]
    app: Option<ApplicationName>,

    /// Where leases and checkpoints are kept: `memory`, which is gone afterwards, `sqlite:PATH`, a file that the processes of
    /// this machine share, or `dynamodb:NAME`, a table that all machines and Java KCL share. `dynamodb` alone means a table
    /// of the application's name. It is created if need be.
    #[arg(long, value_name = "TABLE", default_value_t = LeaseTable::Memory)]
    lease_table: LeaseTable,

    /// The table in DynamoDB is this application's though it has another name.
    #[arg(long)]
    other_name: bool,

    /// Where to start with shards that the application has not read before: `trim-horizon` (with the oldest record),
    /// `latest` (with records from now on) or a time such as 2013-01-01T10:00:00Z.
    #[arg(long, value_name = "POSITION", default_value = "trim-horizon")]
    from: InitialPosition,

    /// How to read: by `polling`, by `fan-out`, where the service sends the records as they come to a registered consumer, for
    /// which AWS charges, or `auto`: by fan-out if a consumer is there or may be registered, else by polling. While fan-out
    /// does not work, the shards are polled, and the log says so.
    #[arg(long, value_name = "MODE", default_value_t = RetrievalMode::Polling)]
    mode: RetrievalMode,

    /// The consumer that subscribes in fan-out, by name or ARN. It is registered if there is none of the name; `kclctl
    /// consumer deregister` ends it [default: one named as the application].
    #[arg(long, value_name = "NAME|ARN")]
    consumer: Option<ConsumerSelector>,

    /// This worker's name in the lease table, different from all others' [default: a drawn one].
    #[arg(long, value_name = "ID")]
    worker_id: Option<WorkerId>,

    /// How long a lease may go without renewal before another worker takes it.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,

    /// Stop when there was nothing to do for so long: every shard that this worker holds is read to its tip, and every
    /// other one has a holder that was seen alive. Fails if the table has rows that are no leases: if they are of shards,
    /// nobody reads those.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    until_idle: Option<Duration>,

    /// Serve metrics in Prometheus' format at this address, such as 127.0.0.1:9464: kcl_records_total,
    /// kcl_iterator_age_milliseconds, kcl_handler_seconds, kcl_leases_held and others.
    #[arg(long, value_name = "ADDRESS", value_parser = parse::address)]
    metrics: Option<SocketAddr>,

    /// Checkpoint at the latest so long after a record was written.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    checkpoint_interval: Duration,

    /// Create no other table with a lease table in DynamoDB: for applications that no worker of Java KCL before 3.5 joins.
    #[arg(long)]
    single_table: bool,

    #[command(flatten)]
    cloudwatch: CloudWatchArgs,

    #[command(flatten)]
    tuning: TuningArgs,

    #[command(flatten)]
    beside: BesideArgs,
}

/// Settings that are right by default.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Tuning")]
struct TuningArgs {
    /// The most records that one read asks for, up to 10000.
    #[arg(long, value_name = "N")]
    max_records: Option<u32>,

    /// From one read of a shard to the next while there is more to read.
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = humantime::parse_duration)]
    idle_time_between_reads: Duration,

    /// From one read of a shard to the next at its tip.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    idle_time_at_tip: Duration,

    /// The most leases that this worker holds [default: no limit].
    #[arg(long, value_name = "N")]
    max_leases: Option<usize>,

    /// What is balanced among the workers: `lease-count`, or `throughput` as well, so that busy shards are spread. All workers
    /// are to have the same.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Assignment::LeaseCount)]
    assignment: Assignment,

    /// How many batches of a shard may be under way at once: `one`, in the shard's order, `hashed:N`, each in one of N lanes that
    /// partition keys are spread over, or `per-key:N`, each of a key that nothing else is under way of. A key's records keep their
    /// order, and others may overtake them.
    #[arg(long, value_name = "LANES", default_value = "one", value_parser = parse::lanes)]
    lanes: Lanes,

    /// The memory for records that are read and not yet written.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse::bytes)]
    memory_budget: u64,

    /// How often the stream's shards are compared with the leases.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    shard_sync_interval: Duration,

    /// How long a batch may take to be written at shutdown.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    shutdown_grace: Duration,
}

/// What workers balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Assignment {
    LeaseCount,
    Throughput,
}

impl From<Assignment> for LeaseAssignment {
    fn from(assignment: Assignment) -> Self {
        match assignment {
            Assignment::LeaseCount => Self::LeaseCount,
            Assignment::Throughput => Self::Throughput,
        }
    }
}

impl ConsumeArgs {
    fn table(&self) -> Result<TableArgs, Error> {
        TableArgs::resolve(self.app.clone(), self.lease_table.clone(), self.other_name).map_err(Error::Usage)
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.initial_position = self.from;
        config.failover_time = self.failover_time;
        config.shard_sync_interval = self.tuning.shard_sync_interval;
        config.max_leases = self.tuning.max_leases;
        config.lease_assignment = self.tuning.assignment.into();
        config.shutdown_grace = self.tuning.shutdown_grace;
        config.idle_time_between_reads = self.tuning.idle_time_between_reads;
        config.idle_time_at_tip = self.tuning.idle_time_at_tip;
        config.retrieval_mode = self.mode;
        config.consumer = self.consumer.clone();
        config.memory_budget = self.tuning.memory_budget;
        config.lanes = self.tuning.lanes;
        if let Some(records) = self.tuning.max_records {
            config.max_records = records;
        }
        config
    }
}

/// Looks for the streams. The worker looks again and again for one that does not exist, and reads the others meanwhile; whoever
/// wants it to end when there is nothing to do would wait for ever.
async fn found(kinesis: &Kinesis, args: &ConsumeArgs) -> Result<Vec<StreamConfig>, Error> {
    let mut found = Vec::new();
    for stream in &args.streams {
        let source = stream.source(kinesis);
        match source.identify().await {
            Ok(id) => found.push(StreamConfig::new(source).id(id)),
            Err(failure) if failure.kind == FetchFailureKind::NotFound => {
                let unknown = kinesis.unknown_stream(stream.name());
                if args.until_idle.is_some() {
                    return Err(unknown);
                }
                tracing::warn!("{unknown}. It is looked for again and again, and read as soon as it is there");
                found.push(StreamConfig::new(source));
            }
            // The worker tries again, and says so.
            Err(_) => found.push(StreamConfig::new(source)),
        }
    }
    Ok(found)
}

pub(crate) async fn run(args: ConsumeArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    args.config().validate()?;
    let table = args.table()?;
    table.may_write()?;
    let mut signals = Signals::listen()?;
    if let Some(address) = args.metrics {
        serve_metrics(address)?;
    }
    let kcl_metrics = args.cloudwatch.metrics(connection).await?;
    let kinesis = Kinesis::connect(connection).await?;
    // What fails later tells why, and this where.
    let streams: Vec<&str> = args.streams.iter().map(|stream| stream.name().as_str()).collect();
    tracing::info!(streams = streams.join(","), app = %table.app, lease_table = %table.lease_table, "reading from {}", kinesis.place);
    let place = (&args.lease_table, args.single_table);
    let Some(store) = open_patiently(place, &table.app, args.from, &args.beside, connection, &mut signals).await?
    else {
        return Ok(());
    };
    let sink = Sink::stdout();
    let builder = match &args.streams[..] {
        [stream] if !args.multi_stream => Worker::builder(table.app.clone(), stream.source(&kinesis), store),
        _ => Worker::of_streams(table.app.clone(), found(&kinesis, &args).await?, store),
    };
    let mut builder = builder.config(args.config());
    if let Some(id) = &args.worker_id {
        builder = builder.worker_id(id.clone());
    }
    if let Some(metrics) = kcl_metrics {
        builder = builder.kcl_metrics(metrics);
    }
    let writer = sink.clone();
    let worker = builder
        .function(move |batch| {
            let writer = writer.clone();
            async move { writer.write(batch).await }
        })
        .checkpoint_interval(args.checkpoint_interval)
        .build()?;

    let handle = worker.handle();
    // A task of its own, so that a slow report never delays the worker.
    let mut running = tokio::spawn(worker.run());
    let mut unread = Vec::new();
    let ended_early = tokio::select! {
        biased;
        ended = &mut running => Some(ended),
        () = signals.next() => None,
        () = sink.closed() => None,
        rows = until_idle(&handle, || sink.records(), args.until_idle) => {
            unread = rows;
            None
        }
    };
    let ended = match ended_early {
        Some(ended) => ended,
        None => {
            handle.shutdown().await;
            signals.or_exit(running).await
        }
    };
    match ended {
        Ok(result) => result.map_err(|error| failure(error, &kinesis, args.streams.first().map(StreamArg::name)))?,
        // A panic of the worker is a fault of ours: let it be seen as one.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
    sink.finish()?;
    if unread.is_empty() {
        return Ok(());
    }
    Err(Error::NotRead {
        rows: unread.join(", ").escape_debug().to_string(),
        table,
    })
}
