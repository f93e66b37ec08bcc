//! Waiting for a change of a stream to take effect.

use std::time::Duration;

use aws_sdk_kinesis::types::{StreamDescriptionSummary, StreamStatus};
use kcl_core::StreamName;

use crate::{aws::Kinesis, clock::Stopwatch, error::Error};

/// The service takes half a minute as a rule; a broker is ready at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// Pauses grow to the latter: a broker may take a moment, the service takes its time.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// Waits until the stream takes requests.
pub(crate) async fn wait_until_active(kinesis: &Kinesis, stream: &StreamName) -> Result<(), Error> {
    let active = |summary: Option<&StreamDescriptionSummary>| {
        summary.is_some_and(|summary| summary.stream_status == StreamStatus::Active)
    };
    wait(kinesis, stream, active).await
}

/// Waits until the name is free again.
pub(crate) async fn wait_until_gone(kinesis: &Kinesis, stream: &StreamName) -> Result<(), Error> {
    wait(kinesis, stream, |summary| summary.is_none()).await
}

/// The service's summary of a stream; `None` if there is no such stream.
pub(crate) async fn summary(kinesis: &Kinesis, stream: &StreamName) -> Result<Option<StreamDescriptionSummary>, Error> {
    match kinesis
        .client
        .describe_stream_summary()
        .stream_name(stream.as_str())
        .send()
        .await
    {
        Ok(answer) => Ok(answer.stream_description_summary),
        Err(error) => match error.as_service_error() {
            Some(refused) if refused.is_resource_not_found_exception() => Ok(None),
            _ => Err(kinesis.error("DescribeStreamSummary", &error).into()),
        },
    }
}

/// The ARN of a stream that must exist.
pub(crate) async fn arn(kinesis: &Kinesis, stream: &StreamName) -> Result<String, Error> {
    let found = summary(kinesis, stream).await?;
    let found = found.ok_or_else(|| kinesis.unknown_stream(stream))?;
    Ok(found.stream_arn)
}

async fn wait(
    kinesis: &Kinesis,
    stream: &StreamName,
    is_done: impl Fn(Option<&StreamDescriptionSummary>) -> bool,
) -> Result<(), Error> {
    let is_done = async || Ok(is_done(summary(kinesis, stream).await?.as_ref()));
    let not_ready = || Error::NotReady {
        stream: stream.clone(),
        seconds: PATIENCE.as_secs(),
    };
    wait_until(is_done, not_ready).await
}

/// Asks again and again, until it is done or patience is over.
pub(crate) async fn wait_until(
    is_done: impl AsyncFn() -> Result<bool, Error>,
    not_ready: impl FnOnce() -> Error,
) -> Result<(), Error> {
    let since = Stopwatch::start();
    let [mut pause, longest] = PAUSES;
    while !is_done().await? {
        if since.elapsed() > PATIENCE {
            return Err(not_ready());
        }
        tokio::time::sleep(pause).await;
        pause = longest.min(2 * pause);
    }
    Ok(())
}
