//! A function as it would run on AWS Lambda, on a week of real flights: a filter, a poison record, bisection, a dead letter, and
//! a redrive once the function is mended. It checks itself.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_sdk_kinesis::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    primitives::Blob,
    types::PutRecordsRequestEntry,
};
use kcl_broker::Broker;
use kcl_checkpoint::MemoryLeaseStore;
use kcl_core::{ApplicationName, Batch, StreamName};
use kcl_lambda::{MappedFunction, mapping::EventSourceMapping};
use kcl_runtime::{
    BatchOutcome, Config, KinesisSource, Worker, WorkerHandle,
    dead_letter::{DeadLetters, Redrive, Selection, SqliteDeadLetters},
};
use serde::Deserialize;
use serde_json::{Value, json};

type Failure = Box<dyn Error + Send + Sync>;

/// Every flight that left New York's airports from 1 to 7 January 2013 (US Bureau of Transportation Statistics).
const CSV: &str = include_str!("../../../data/flights-2013-01-week1.csv");

const STREAM: &str = "flights";

/// The row whose delay is spoilt on its way.
const SPOILT: u64 = 1_000;

/// As AWS's API has it.
fn mapping() -> Result<EventSourceMapping, serde_json::Error> {
    serde_json::from_value(json!({
        "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/flights",
        "FunctionName": "delays",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 64,
        "ParallelizationFactor": 2,
        "BisectBatchOnFunctionError": true,
        "MaximumRetryAttempts": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "FilterCriteria": {"Filters": [{"Pattern": r#"{"data":{"carrier":["UA","B6"],"origin":["EWR"]}}"#}]},
    }))
}

/// What the function sees of a flight.
#[derive(Deserialize)]
struct Flight {
    row: u64,
    carrier: String,
    dep_delay: String,
}

/// The function: minutes of delay by carrier.
#[derive(Debug, Default)]
struct Delays {
    /// The delay of each flight that was handled.
    handled: Mutex<BTreeMap<u64, (String, i64)>>,
    /// It knows what to do with delays that are no numbers.
    is_mended: AtomicBool,
}

impl Delays {
    fn handle(&self, batch: &Batch) -> Result<BatchOutcome, Failure> {
        for record in batch {
            let flight: Flight = serde_json::from_slice(&record.data)?;
            let delay = match flight.dep_delay.parse::<i64>() {
                Ok(delay) => delay,
                Err(_) if flight.dep_delay == "NA" || self.is_mended.load(Ordering::Relaxed) => 0,
                Err(error) => return Err(error.into()),
            };
            let mut handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
            handled.insert(flight.row, (flight.carrier, delay));
        }
        Ok(BatchOutcome::success())
    }

    fn rows(&self) -> Vec<u64> {
        let handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
        handled.keys().copied().collect()
    }
}

/// The rows as JSON, one of them spoilt.
fn flights() -> Result<Vec<Value>, csv::Error> {
    let rows = csv::Reader::from_reader(CSV.as_bytes()).into_deserialize();
    let numbered = |(row, flight): (u64, Result<BTreeMap<String, String>, csv::Error>)| {
        flight.map(|flight| {
            let mut flight = json!(flight);
            flight["row"] = row.into();
            if row == SPOILT {
                flight["carrier"] = "UA".into();
                flight["origin"] = "EWR".into();
                flight["dep_delay"] = "ten past".into();
            }
            flight
        })
    };
    (0..).zip(rows).map(numbered).collect()
}

async fn put(client: &Client, flights: &[Value]) -> Result<(), Failure> {
    for some in flights.chunks(500) {
        let entry = |flight: &Value| {
            let key = flight["tailnum"].as_str().unwrap_or_default();
            let data = Blob::new(flight.to_string());
            PutRecordsRequestEntry::builder().partition_key(key).data(data).build()
        };
        let entries = some.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let answer = client.put_records().stream_name(STREAM).set_records(Some(entries));
        let refused = answer.send().await?.failed_record_count.unwrap_or_default();
        if refused > 0 {
            return Err(format!("the broker, which has no limits, refused {refused} records").into());
        }
    }
    Ok(())
}

/// The rows that the filter lets through.
fn wanted(flights: &[Value]) -> Vec<u64> {
    let is_wanted = |flight: &&Value| {
        let of = |member: &str| flight[member].as_str().unwrap_or_default();
        of("origin") == "EWR" && ["UA", "B6"].contains(&of("carrier"))
    };
    let wanted = flights.iter().filter(is_wanted);
    wanted.filter_map(|flight| flight["row"].as_u64()).collect()
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let broker = Broker::new();
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "example"))
        .endpoint_url("http://kinesis.local")
        .http_client(broker.http_client())
        .build();
    let client = Client::from_conf(config);
    client.create_stream().stream_name(STREAM).shard_count(2).send().await?;
    let flights = flights()?;
    put(&client, &flights).await?;
    println!("put {} flights, of which row {SPOILT} is spoilt", flights.len());

    let directory = tempfile::tempdir()?;
    let letters = SqliteDeadLetters::open(directory.path().join("dead-letters.db")).await?;
    let delays = Arc::new(Delays::default());
    let handle = start(&client, &delays, Arc::new(letters.clone())).await?;

    let expected = wanted(&flights);
    let without: Vec<u64> = expected.iter().copied().filter(|row| *row != SPOILT).collect();
    settled(&handle).await?;
    check("flights handled", delays.rows() == without, delays.rows().len())?;
    let kept = letters.list(&Selection::default()).await?;
    let is_alone = matches!(&kept[..], [letter] if letter.records == 1);
    check("dead letters", is_alone, kept.len())?;
    for letter in &kept {
        let error = letter.last_try.error.as_deref().unwrap_or_default();
        println!(
            "  {} after {} tries: {error}",
            letter.last_try.reason, letter.last_try.attempts
        );
    }

    println!("the function is mended, and the dead letter goes into the stream again");
    delays.is_mended.store(true, Ordering::Relaxed);
    let redriven = Redrive::new(letters.clone(), client).run().await?;
    check("records redriven", redriven.records == 1, 1)?;
    handle
        .wait_until(|_| delays.rows() == expected)
        .await
        .ok_or("the worker ended")?;
    check("flights handled", delays.rows() == expected, expected.len())?;
    let kept = letters.list(&Selection::default()).await?;
    check("dead letters", kept.is_empty(), kept.len())?;
    handle.shutdown().await;
    Ok(())
}

/// Starts a worker that calls the function as the mapping says.
async fn start(client: &Client, delays: &Arc<Delays>, letters: Arc<dyn DeadLetters>) -> Result<WorkerHandle, Failure> {
    let source = KinesisSource::new(client.clone(), StreamName::new(STREAM)?);
    let mut config = Config::default();
    config.idle_time_at_tip = Duration::from_millis(50);
    config.idle_time_between_reads = Duration::from_millis(20);
    let worker = Worker::builder(
        ApplicationName::new("delays")?,
        source,
        Arc::new(MemoryLeaseStore::new()),
    );
    let mapped = MappedFunction::new(mapping()?);
    let function = Arc::clone(delays);
    let worker = mapped.calling(worker.config(config), move |batch: Batch| {
        let function = Arc::clone(&function);
        async move { function.handle(&batch) }
    })?;
    let worker = worker.dead_letters(mapped.counted(letters)).build()?;
    let handle = worker.handle();
    tokio::spawn(worker.run());
    Ok(handle)
}

/// Waits until everything that is in the stream was handled or given up.
async fn settled(handle: &WorkerHandle) -> Result<(), Failure> {
    let settled = handle.wait_until(|report| report.is_idle()).await;
    settled.map(|_| ()).ok_or_else(|| "the worker ended".into())
}

fn check(what: &str, holds: bool, count: usize) -> Result<(), Failure> {
    println!("{what}: {count}");
    if holds {
        Ok(())
    } else {
        Err(format!("{what} are not as expected").into())
    }
}
