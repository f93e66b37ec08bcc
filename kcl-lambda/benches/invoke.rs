//! What an invocation costs besides the function: one that does nothing, in this program and in a process of its own.
//!
//! `cargo bench -p kcl-lambda --features lambda-runtime-1 --bench invoke -- 20000`: how many invocations in this program; a
//! process gets a tenth.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lambda_events_1::event::{kinesis::KinesisEvent, streams::KinesisEventResponse};
use kcl_core::{Batch, Record, ShardId, StreamName, Timestamp};
use kcl_lambda::{
    InvokeRecords, RecordsInvocation, RequestId,
    event::EventSource,
    hosted::{JsonFunction, lambda_runtime_1::Handler},
    process::{Output, ProcessConfig, ProcessPool},
};
use lambda_runtime_1::{LambdaEvent, service_fn};
use serde_json::{Value, value::RawValue};

type Failure = Box<dyn Error + Send + Sync>;

const IS_FUNCTION: &str = "BENCH_IS_FUNCTION";
/// Each is measured so often, and the median told.
const ROUNDS: usize = 5;
const RECORDS: [usize; 3] = [1, 100, 1_000];
const DATA_BYTES: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    if std::env::var_os(IS_FUNCTION).is_some() {
        return lambda_runtime_1::run(service_fn(ignore)).await;
    }
    let number = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let invocations: usize = number.unwrap_or(20_000);
    println!("{:<44} {:>8} {:>14}", "", "records", "us/invocation");
    for records in RECORDS {
        let calls = (invocations / records).max(50);
        let json = JsonFunction::new(|_: Box<RawValue>, _| async { Ok::<_, Failure>(Value::Null) });
        measure("in process, event as JSON, not read", &json, records, calls).await?;
        let json = JsonFunction::new(|_: KinesisEvent, _| async { Ok::<_, Failure>(Value::Null) });
        measure("in process, event as JSON, read", &json, records, calls).await?;
        let handler = Handler::kinesis(service_fn(|_: LambdaEvent<KinesisEvent>| async {
            Ok::<_, lambda_runtime_1::Error>(KinesisEventResponse::default())
        }));
        measure("in process, lambda_runtime handler, no JSON", &handler, records, calls).await?;
        let config = ProcessConfig::new(std::env::current_exe()?, [""; 0]).variable(IS_FUNCTION, "1");
        let pool = ProcessPool::new(config.output(Output::Discard))?;
        measure("in a process, Runtime API", &pool, records, (calls / 10).max(50)).await?;
        pool.shutdown().await;
    }
    Ok(())
}

/// The function in the process: it does not read the event either.
async fn ignore(_: LambdaEvent<Box<RawValue>>) -> Result<Value, lambda_runtime_1::Error> {
    Ok(Value::Null)
}

async fn measure(what: &str, function: &dyn InvokeRecords, records: usize, calls: usize) -> Result<(), Failure> {
    let invocation = invocation(records)?;
    // The first one starts the process.
    function.invoke_records(invocation.clone()).await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(timed(function, &invocation, calls).await?);
    }
    rounds.sort_unstable();
    let each = rounds[ROUNDS / 2].as_secs_f64() * 1e6 / calls as f64;
    println!("{what:<44} {records:>8} {each:>14.1}");
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock; nothing is decided by it"
)]
async fn timed(
    function: &dyn InvokeRecords,
    invocation: &RecordsInvocation,
    calls: usize,
) -> Result<Duration, Failure> {
    let started = Instant::now();
    for _ in 0..calls {
        function.invoke_records(invocation.clone()).await?;
    }
    Ok(started.elapsed())
}

fn invocation(records: usize) -> Result<RecordsInvocation, Failure> {
    let record = |place: usize| -> Result<Record, Failure> {
        let number = format!("49650000000000000000000000000000000000{place:018}");
        Ok(Record::new(
            number.parse()?,
            "key",
            Timestamp::from_epoch_millis(1_763_700_000_125),
            vec![7; DATA_BYTES],
        ))
    };
    let records = (0..records).map(record).collect::<Result<_, _>>()?;
    let batch = Batch::new(
        StreamName::new("telemetry")?,
        ShardId::new("shardId-000000000003")?,
        records,
    );
    let source = EventSource {
        event_source_arn: "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry".to_owned(),
        region: "eu-west-1".to_owned(),
        invoke_identity_arn: "arn:aws:iam::111122223333:role/esm".to_owned(),
    };
    let id = RequestId::random(&mut fastrand::Rng::with_seed(7));
    let arn = "arn:aws:lambda:eu-west-1:111122223333:function:probe";
    Ok(RecordsInvocation::new(
        id,
        batch,
        Arc::new(source),
        Duration::from_secs(60),
        arn,
    ))
}
