//! Bills orders as they come, with the leases in DynamoDB.

use std::{error::Error, process::ExitCode, sync::Arc};

use aws_config::BehaviorVersion;
use kcl_checkpoint::DynamoDbLeaseStore;
use kcl_core::{ApplicationName, Batch, StreamName};
use kcl_runtime::{KinesisSource, Worker, shutdown_signal};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt::init();
    match consume().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn consume() -> Result<(), Failure> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await; // AWS_ENDPOINT_URL names a broker
    let source = KinesisSource::new(aws_sdk_kinesis::Client::new(&config), StreamName::new("orders")?);
    let leases = DynamoDbLeaseStore::open(aws_sdk_dynamodb::Client::new(&config), "billing").await?;
    Worker::builder(ApplicationName::new("billing")?, source, Arc::new(leases))
        .function(|batch: Batch| async move {
            for record in &batch {
                println!("{}", String::from_utf8_lossy(&record.data));
            }
        })
        .build()?
        .run_until(async { shutdown_signal().await.unwrap_or_default() })
        .await?;
    Ok(())
}
