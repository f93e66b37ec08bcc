//! Every flight counts once, though workers die at the worst moment.
//!
//! A worker applies a week of flights to a database, in one transaction per batch with its position in the shard
//! (`kcl_idempotency::sink`). Several times it is dropped after a transaction is committed and before the checkpoint is written; the next one
//! gets the same records again. At the end the program checks in the database that each flight was applied exactly once.

#[path = "flights/data.rs"]
#[expect(dead_code, reason = "shared with the fleet, which does more with flights")]
mod data;

use std::{
    collections::BTreeMap,
    error::Error,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_kinesis::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use kcl_broker::{Broker, Server};
use kcl_checkpoint::SqliteLeaseStore;
use kcl_core::{ApplicationName, Batch, BoxError, Record, StreamName, WorkerId};
use kcl_idempotency::{
    rusqlite::{Connection, Transaction},
    sink::{Applied, EffectivelyOnce, SinkShard, SqliteSink, TransactionalSink},
};
use kcl_runtime::{KinesisSource, Worker};
use tokio::sync::Notify;

use crate::data::Flight;

const STREAM: &str = "flights";
const SHARDS: i32 = 4;
const FLIGHTS_PER_CALL: usize = 500;
/// How many workers die, and after how many transactions each.
const CRASHES: usize = 5;
const TRANSACTIONS_PER_LIFE: usize = 3;
/// Small, so that there are many transactions to die after.
const RECORDS_PER_READ: u32 = 100;
/// Long enough for a slow machine; the run itself takes a few seconds.
const DEADLINE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match tokio::time::timeout(DEADLINE, run()).await {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("failed: not done after {} s", DEADLINE.as_secs());
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let flights = data::flights()?;
    let server = Server::bind(Broker::new(), ([127, 0, 0, 1], 0)).await?;
    let client = client(&server.endpoint_url());
    let create = client.create_stream().stream_name(STREAM).shard_count(SHARDS);
    create.send().await?;
    for chunk in flights.chunks(FLIGHTS_PER_CALL) {
        data::put(&client, STREAM, chunk).await?;
    }
    println!("{} flights in {SHARDS} shards", flights.len());

    let folder = tempfile::tempdir()?;
    let (leases, database) = (folder.path().join("leases.db"), folder.path().join("flights.db"));
    let connection = Connection::open(&database)?;
    // No key on purpose: what is applied twice is there twice.
    connection.execute_batch("CREATE TABLE applied (flight INTEGER NOT NULL, carrier TEXT NOT NULL)")?;
    let sink = Arc::new(SqliteSink::new(connection, apply).await?);
    let tally = Arc::new(Tally::default());

    for life in 1..=CRASHES {
        let dying = Arc::new(Watched::new(Arc::clone(&sink), &tally, TRANSACTIONS_PER_LIFE));
        let worker = tokio::spawn(worker(&client, &leases, &dying).await?.run());
        dying.over.notified().await;
        // As a crash does: nothing is finished, checkpointed or told to anybody.
        worker.abort();
        println!("life {life} ended after {TRANSACTIONS_PER_LIFE} transactions or more; {tally}");
    }
    let living = Arc::new(Watched::new(Arc::clone(&sink), &tally, usize::MAX));
    let worker = worker(&client, &leases, &living).await?;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    handle.wait_until(|report| report.is_idle()).await;
    handle.shutdown().await;
    running.await??;
    println!("the last worker finished; {tally}");
    server.shutdown().await;
    check(&Connection::open(&database)?, &flights, &tally)
}

/// The effect: one row per flight.
fn apply(transaction: &Transaction<'_>, records: &[Record]) -> Result<(), BoxError> {
    let mut insert = transaction.prepare_cached("INSERT INTO applied VALUES (?1, ?2)")?;
    for record in records {
        let flight: Flight = serde_json::from_slice(&record.data)?;
        insert.execute((i64::try_from(flight.row)?, flight.carrier))?;
    }
    Ok(())
}

/// What the transactions said. A worker may die before it hears it: only the database knows all.
#[derive(Debug, Default)]
struct Tally {
    applied: AtomicUsize,
    skipped: AtomicUsize,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [applied, skipped] = [&self.applied, &self.skipped].map(|count| count.load(Ordering::Relaxed));
        write!(f, "so far {applied} applied and {skipped} left out")
    }
}

/// A sink that is counted, and that hangs after so many transactions: committed, and not answered.
struct Watched<S> {
    sink: Arc<S>,
    tally: Arc<Tally>,
    transactions: AtomicUsize,
    last: usize,
    over: Notify,
}

impl<S> Watched<S> {
    fn new(sink: Arc<S>, tally: &Arc<Tally>, last: usize) -> Self {
        Self {
            sink,
            tally: Arc::clone(tally),
            transactions: AtomicUsize::new(0),
            last,
            over: Notify::new(),
        }
    }
}

impl<S: TransactionalSink> TransactionalSink for Watched<S> {
    async fn apply(&self, shard: &SinkShard, batch: &Batch) -> Result<Applied, BoxError> {
        let applied = self.sink.apply(shard, batch).await?;
        self.tally.applied.fetch_add(applied.applied, Ordering::Relaxed);
        self.tally.skipped.fetch_add(applied.skipped, Ordering::Relaxed);
        if self.transactions.fetch_add(1, Ordering::Relaxed) + 1 >= self.last {
            self.over.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(applied)
    }
}

/// The next life of one worker: under its old name it resumes its leases at once.
async fn worker<S: TransactionalSink>(client: &Client, leases: &Path, sink: &Arc<S>) -> Result<Worker, Box<dyn Error>> {
    let application = ApplicationName::new("departures")?;
    let store = SqliteLeaseStore::open(leases, application.clone()).await?;
    let source = KinesisSource::new(client.clone(), StreamName::new(STREAM)?);
    let mut builder =
        Worker::builder(application.clone(), source, Arc::new(store)).worker_id(WorkerId::new("worker-1")?);
    builder.configure(|config| config.max_records = RECORDS_PER_READ);
    Ok(builder
        .processor(EffectivelyOnce::new(application, Arc::clone(sink)))
        .build()?)
}

/// Compares the database with the file, flight by flight.
fn check(database: &Connection, flights: &[Flight], tally: &Tally) -> Result<(), Box<dyn Error>> {
    let mut select = database.prepare("SELECT flight, carrier FROM applied")?;
    let mut times: BTreeMap<i64, usize> = BTreeMap::new();
    for row in select.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))? {
        let (number, carrier) = row?;
        let flight = usize::try_from(number).ok().and_then(|row| flights.get(row));
        if flight.is_none_or(|flight| flight.carrier != carrier) {
            return Err(format!("flight {number} of {carrier} is not in the file").into());
        }
        *times.entry(number).or_default() += 1;
    }
    if let Some((flight, times)) = times.iter().find(|(_, times)| **times != 1) {
        return Err(format!("flight {flight} was applied {times} times").into());
    }
    if times.len() != flights.len() {
        return Err(format!("{} of {} flights were applied", times.len(), flights.len()).into());
    }
    if tally.skipped.load(Ordering::Relaxed) == 0 {
        return Err("no record came again: no worker died between effect and checkpoint".into());
    }
    println!("each of {} flights was applied exactly once", flights.len());
    Ok(())
}

/// A client for a broker on this machine: any credentials do.
fn client(endpoint: &str) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "flights"))
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}
