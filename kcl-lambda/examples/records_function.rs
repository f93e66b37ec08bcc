//! A function as it is written for Lambda: it handles each record by itself, and names those that failed.
//!
//! It runs wherever the Runtime API is: `cargo run --example drive -- target/debug/examples/records_function`.

use aws_lambda_events_1::event::{
    kinesis::{KinesisEvent, KinesisEventRecord},
    streams::KinesisEventResponse,
};
use lambda_runtime_1::{Error, LambdaEvent, run, service_fn};

#[tokio::main]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<KinesisEvent>) -> Result<KinesisEventResponse, Error> {
    let mut failed = KinesisEventResponse::default();
    for record in event.payload.records {
        if !is_handled(&record).await? {
            failed.add_failure(record.kinesis.sequence_number);
        }
    }
    Ok(failed)
}

/// Does what the record says.
async fn is_handled(record: &KinesisEventRecord) -> Result<bool, Error> {
    match record.kinesis.data.as_slice() {
        b"bad" => return Ok(false),
        b"throw" => return Err("it is bad".into()),
        b"crash" => std::process::exit(7),
        b"hang" => std::future::pending::<()>().await,
        b"print" => println!("hello from the function"),
        _ => {}
    }
    Ok(true)
}
