//! The Rust SDK against the broker: one client of `integration/interop`, which runs it and reads what it prints.
//!
//! Endpoint, region and credentials come from the environment, as they do for every program that uses the SDK.

mod fanout;
mod records;
mod streams;
mod tables;

use std::{error::Error, fmt::Debug, future::Future, process::ExitCode, time::Duration};

use aws_config::BehaviorVersion;
use aws_sdk_kinesis::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::StreamDescriptionSummary,
};

/// What a scenario answers: the detail that is shown beside `ok`, or what went wrong.
type Outcome = Result<String, Box<dyn Error>>;

/// The longest that a scenario may take.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
const LOOKS: u32 = 100;

/// The clients, and what names are made of.
struct Interop {
    kinesis: aws_sdk_kinesis::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
}

#[tokio::main]
async fn main() -> ExitCode {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let interop = Interop {
        kinesis: aws_sdk_kinesis::Client::new(&config),
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        cloudwatch: aws_sdk_cloudwatch::Client::new(&config),
    };
    let all = [
        told("streams", streams::streams(&interop)).await,
        told("put", records::put(&interop)).await,
        told("poll", records::poll(&interop)).await,
        told("reshard", records::reshard(&interop)).await,
        told("consumers", fanout::consumers(&interop)).await,
        told("fanout", fanout::fanout(&interop)).await,
        told("tables", tables::tables(&interop)).await,
        told("metrics", tables::metrics(&interop)).await,
        told("errors", streams::errors(&interop)).await,
    ];
    if all.iter().all(|worked| *worked) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs one scenario, and prints its result in one line.
async fn told(capability: &str, scenario: impl Future<Output = Outcome>) -> bool {
    let outcome = match tokio::time::timeout(LIMIT, scenario).await {
        Ok(outcome) => outcome,
        Err(_) => Err("no end within a minute".into()),
    };
    match outcome {
        Ok(detail) => {
            println!("RESULT {capability} ok {detail}");
            true
        }
        Err(error) => {
            let line = error.to_string();
            println!(
                "RESULT {capability} FAIL {}",
                line.split_whitespace().collect::<Vec<_>>().join(" ")
            );
            false
        }
    }
}

/// Why a call failed, with all its causes.
fn cause<E, R>(error: SdkError<E, R>) -> Box<dyn Error>
where
    E: Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    format!("{}", DisplayErrorContext(error)).into()
}

/// Expects the call to be refused with an error of this name.
fn refused<T, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E>>, code: &str) -> Result<(), Box<dyn Error>> {
    match answer {
        Ok(_) => Err(format!("a call succeeded, and should have failed with {code}").into()),
        Err(error) if error.code() == Some(code) && error.message().is_some() => Ok(()),
        Err(error) => Err(format!(
            "expected {code} with a message, got {:?} with {:?}",
            error.code(),
            error.message()
        )
        .into()),
    }
}

/// Expects something to be so.
fn check(so: bool, otherwise: impl Into<String>) -> Result<(), Box<dyn Error>> {
    if so { Ok(()) } else { Err(otherwise.into().into()) }
}

impl Interop {
    /// Makes a stream under a name of this process, and waits until it can be used.
    async fn new_stream(&self, name: &str, shards: i32) -> Result<String, Box<dyn Error>> {
        let name = named(name);
        let create = self.kinesis.create_stream().stream_name(&name).shard_count(shards);
        create.send().await.map_err(cause)?;
        self.active(&name).await?;
        Ok(name)
    }

    async fn summary(&self, name: &str) -> Result<StreamDescriptionSummary, Box<dyn Error>> {
        let answer = self.kinesis.describe_stream_summary().stream_name(name).send().await;
        answer
            .map_err(cause)?
            .stream_description_summary
            .ok_or_else(|| "no summary".into())
    }

    async fn active(&self, name: &str) -> Result<(), Box<dyn Error>> {
        for _ in 0..LOOKS {
            if self.summary(name).await?.stream_status.as_str() == "ACTIVE" {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("{name} does not become ACTIVE").into())
    }
}

/// A name that no other run uses.
fn named(name: &str) -> String {
    format!("rust-{}-{name}", std::process::id())
}
