//! Bills orders as they come.

use std::{error::Error, process::ExitCode, sync::Arc};

use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use kcl_checkpoint::SqliteLeaseStore;
use kcl_core::{ApplicationName, Batch, StreamName};
use kcl_runtime::{KinesisSource, Worker, shutdown_signal};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt::init(); // shows what goes on
    match consume().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}"); // with {}, not {:?}: the text says what to do
            ExitCode::FAILURE
        }
    }
}

async fn consume() -> Result<(), Failure> {
    // The built-in broker. On AWS: `Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await)`.
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "local"))
        .endpoint_url("http://127.0.0.1:4567");
    let client = aws_sdk_kinesis::Client::from_conf(config.build());

    let billing = ApplicationName::new("billing")?;
    let source = KinesisSource::new(client, StreamName::new("orders")?);
    let leases = SqliteLeaseStore::open("leases.db", billing.clone()).await?;
    Worker::builder(billing, source, Arc::new(leases))
        .function(|batch: Batch| async move {
            for record in &batch {
                bill(&record.data).await?;
            }
            Ok::<_, Failure>(())
        })
        .build()?
        .run_until(async { shutdown_signal().await.unwrap_or_default() })
        .await?;
    Ok(())
}

/// An error makes the same records come again, as often as it takes.
async fn bill(order: &[u8]) -> Result<(), Failure> {
    println!("{}", String::from_utf8_lossy(order));
    Ok(())
}
