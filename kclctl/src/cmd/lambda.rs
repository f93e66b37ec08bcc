//! `kclctl lambda`.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Subcommand;
use kcl_core::{ApplicationName, InitialPosition, StreamArn, WorkerId};
use kcl_lambda::{
    Invoke, MappedFunction,
    mapping::{DeadLetterPlace, EventSourceMapping},
    process::{Output, ProcessConfig, ProcessPool},
};
use kcl_runtime::{
    Config, ShardSelector, Worker,
    dead_letter::{DeadLetters, SqliteDeadLetters},
};

use crate::{
    aws::{ConnectionArgs, Kinesis},
    consume::{failure, serve_metrics, until_idle},
    error::Error,
    lambda::MappingFile,
    lease_table::{BesideArgs, LeaseTable, open_patiently},
    leases::TableArgs,
    parse,
    signals::Signals,
    stream::StreamArg,
};

/// Run functions that were written for AWS Lambda on streams: run.
#[derive(Debug, Subcommand)]
pub(crate) enum LambdaCommand {
    Run(Box<RunArgs>),
}

/// Run a Lambda function on a stream.
///
/// The function is a program that speaks Lambda's Runtime API, as the runtimes and clients of AWS do: `python3 -m awslambdaric
/// app.handler`, `npx aws-lambda-ric app.handler`, or a binary made with lambda_runtime. It is started as often as batches are
/// handled at once, supervised, and started again when it crashed.
///
/// How the stream comes to the function is an event source mapping, in a file in the shape of AWS's API, as JSON or TOML: `BatchSize`,
/// `ParallelizationFactor`, `FilterCriteria`, `BisectBatchOnFunctionError`, `MaximumRetryAttempts` and all others. What the file
/// does not say has AWS's default; the stream and the name of the function may come from the options.
///
/// What the function prints goes to stderr, beside the log. SIGTERM or SIGINT stops it: invocations under way end and are
/// checkpointed, the leases are given back, and the processes are asked to end.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The stream, by name or by ARN [default: EventSourceArn of the mapping].
    #[arg(long, value_name = "NAME|ARN")]
    stream: Option<StreamArg>,

    /// The application: workers of the same name share the shards and the checkpoints [default: the name of the table in DynamoDB].
    #[arg(long, value_name = "NAME")]
    app: Option<ApplicationName>,

    /// The event source mapping: JSON where the name ends in .json, else TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where leases and checkpoints are kept: `memory`, `sqlite:PATH`, or `dynamodb:NAME`, as with `kclctl consume`.
    #[arg(long, value_name = "TABLE", default_value_t = LeaseTable::Memory)]
    lease_table: LeaseTable,

    /// The table in DynamoDB is this application's though it has another name.
    #[arg(long)]
    other_name: bool,

    /// This worker's name in the lease table, different from all others' [default: a drawn one].
    #[arg(long, value_name = "ID")]
    worker_id: Option<WorkerId>,

    /// How long a lease may go without renewal before another worker takes it.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,

    /// How long a stop waits for invocations under way [default: 30s, or --timeout and 10s if that is longer].
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    shutdown_grace: Option<Duration>,

    /// Stop when there was nothing to do for so long.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    until_idle: Option<Duration>,

    /// Serve metrics in Prometheus' format at this address, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS", value_parser = parse::address)]
    metrics: Option<SocketAddr>,

    /// Create no other table with a lease table in DynamoDB.
    #[arg(long)]
    single_table: bool,

    #[command(flatten)]
    function: FunctionArgs,

    #[command(flatten)]
    beside: BesideArgs,
}

/// The function's processes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Function")]
struct FunctionArgs {
    /// How long an invocation may take; then the process is ended, and the batch has failed.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    /// The memory that the function is told it has, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    memory_size: u32,

    /// Have the system keep to that: what a process allocates beyond it fails. Linux only.
    #[arg(long)]
    limit_memory: bool,

    /// The most processes at once [default: one for each batch that shards may have under way, up to 16].
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,

    /// What the function finds in `_HANDLER` [default: the last word of the command].
    #[arg(long, value_name = "NAME")]
    handler: Option<String>,

    /// A variable for the function; may be given several times.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,

    /// The program and its arguments.
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<OsString>,
}

/// What an invocation may take besides its own time: the start of a process.
const SPARE: Duration = Duration::from_secs(10);

/// The most processes unless more are asked for: each takes the memory of an interpreter.
const MOST_PROCESSES: usize = 16;

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("use NAME=VALUE".to_owned()),
    }
}

impl FunctionArgs {
    fn pool(&self, mapping: &EventSourceMapping) -> Result<ProcessPool, Error> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Error::Usage("the command of the function is needed behind `--`".to_owned()))?;
        let lanes = mapping
            .extensions
            .lanes_per_key
            .unwrap_or(mapping.parallelization_factor) as usize;
        // A worker may hold several shards, each with its lanes.
        let concurrency = self.concurrency.unwrap_or_else(|| (lanes * 4).clamp(4, MOST_PROCESSES));
        let mut config = ProcessConfig::new(program, arguments)
            .concurrency(concurrency)
            .function_name(mapping.function_name.as_str())
            .output(Output::Stderr);
        config.memory_size_mib = self.memory_size;
        config.limit_memory = self.limit_memory;
        config.region = Some(mapping.event_source_arn.stream().region().to_owned());
        if let Some(handler) = &self.handler {
            config.handler.clone_from(handler);
        }
        for (name, value) in &self.variables {
            config = config.variable(name, value);
        }
        ProcessPool::new(config).map_err(|invalid| Error::Usage(invalid.to_string()))
    }
}

pub(crate) async fn run(command: LambdaCommand, connection: &ConnectionArgs) -> Result<(), Error> {
    match command {
        LambdaCommand::Run(args) => run_function(*args, connection).await,
    }
}

/// The ARN of the stream, which the mapping of events needs.
async fn arn_of(stream: &StreamArg, kinesis: &Kinesis) -> Result<StreamArn, Error> {
    if let StreamArg::Arn(arn) = stream {
        return Ok(arn.clone());
    }
    let described = kinesis.client.describe_stream_summary();
    let described = described.stream_name(stream.name().as_str()).send().await;
    let described = described.map_err(|error| kinesis.stream_error("DescribeStreamSummary", stream.name(), &error))?;
    let arn = described.stream_description_summary.map(|summary| summary.stream_arn);
    let arn = arn.ok_or_else(|| kinesis.unknown_stream(stream.name()))?;
    arn.parse()
        .map_err(|invalid| Error::Usage(format!("the service gave {arn:?} for an ARN: {invalid}")))
}

/// Who keeps what is given up: a file in the current directory, unless the mapping names another place.
async fn dead_letters(mapping: &EventSourceMapping, app: &ApplicationName) -> Result<Arc<dyn DeadLetters>, Error> {
    let path = match (&mapping.extensions.dead_letters, &mapping.on_failure) {
        (Some(DeadLetterPlace::Sqlite(path)), _) => PathBuf::from(path),
        (Some(place), _) => {
            return Err(Error::Usage(format!(
                "KclExtensions.DeadLetters is {place}: kclctl keeps dead letters in a file, use sqlite:PATH"
            )));
        }
        (None, Some(destination)) => {
            return Err(Error::Usage(format!(
                "DestinationConfig.OnFailure.Destination is {}: kclctl keeps dead letters in a file, use \
                 KclExtensions.DeadLetters = \"sqlite:PATH\"",
                destination.arn()
            )));
        }
        (None, None) => PathBuf::from(format!("{app}-dead-letters.db")),
    };
    Ok(Arc::new(SqliteDeadLetters::open(path).await?))
}

async fn run_function(args: RunArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let table =
        TableArgs::resolve(args.app.clone(), args.lease_table.clone(), args.other_name).map_err(Error::Usage)?;
    table.may_write()?;
    let file = match &args.config {
        Some(path) => MappingFile::read(path)?,
        None => MappingFile::default(),
    };
    let stream = file.stream(args.stream.as_ref())?;
    let mut config = Config::default();
    config.failover_time = args.failover_time;
    // What runs when a stop or another worker comes may take as long as it is allowed to.
    let longest_call = args.function.timeout + SPARE;
    config.shutdown_grace = args
        .shutdown_grace
        .unwrap_or_else(|| config.shutdown_grace.max(longest_call));
    config.hand_off_timeout = config.hand_off_timeout.max(longest_call);
    config.validate()?;
    if args.function.timeout.is_zero() {
        return Err(Error::Usage("--timeout is 0s: an invocation needs time".to_owned()));
    }
    if matches!(args.lease_table, LeaseTable::Memory) {
        tracing::warn!(
            "checkpoints are kept in memory: another run begins anew; give --lease-table sqlite:PATH or dynamodb:NAME to go on"
        );
    }
    let mut signals = Signals::listen()?;
    if let Some(address) = args.metrics {
        serve_metrics(address)?;
    }
    let kinesis = Kinesis::connect(connection).await?;
    let mapping = file.mapping(&arn_of(&stream, &kinesis).await?, table.app.as_str())?;
    let pool = args.function.pool(&mapping)?;
    let letters = dead_letters(&mapping, &table.app).await?;
    let from: InitialPosition = mapping.starting_position;
    let place = (&args.lease_table, args.single_table);
    let Some(store) = open_patiently(place, &table.app, from, &args.beside, connection, &mut signals).await? else {
        return Ok(());
    };
    tracing::info!(stream = stream.name().as_str(), app = %table.app, function = mapping.function_name.as_str(), "the function runs on records of {}", kinesis.place);
    let mut builder = Worker::builder(table.app.clone(), stream.source(&kinesis), store).config(config);
    if let Some(id) = &args.worker_id {
        builder = builder.worker_id(id.clone());
    }
    let is_enabled = mapping.enabled;
    let mapped = MappedFunction::new(mapping).timeout(args.function.timeout);
    let function: Arc<dyn Invoke> = Arc::new(pool.clone());
    let worker = mapped
        .invoking(builder, function)
        .map_err(|invalid| Error::Usage(invalid.to_string()))?;
    let worker = worker.dead_letters(mapped.counted(letters)).build()?;
    let handle = worker.handle();
    let mut running = tokio::spawn(worker.run());
    if !is_enabled {
        tracing::warn!("the mapping is not enabled: nothing is read, and positions are kept");
        handle.pause(ShardSelector::All).await;
    }
    let ended = tokio::select! {
        biased;
        ended = &mut running => Some(ended),
        () = signals.next() => None,
        _ = until_idle(&handle, || 0, args.until_idle) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            handle.shutdown().await;
            signals.or_exit(running).await
        }
    };
    pool.shutdown().await;
    match ended {
        Ok(result) => result.map_err(|error| failure(error, &kinesis, Some(stream.name()))),
        // A panic of the worker is a fault of ours: let it be seen as one.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
