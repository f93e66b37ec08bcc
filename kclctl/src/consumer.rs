//! What the consumer commands do with a consumer.

use aws_sdk_kinesis::{
    primitives::DateTime,
    types::{ConsumerDescription, ConsumerStatus},
};
use kcl_core::{StreamName, Timestamp};
use serde::Serialize;
use serde_json::json;

use crate::{
    aws::Kinesis,
    error::Error,
    output,
    stream::ready::{self, PATIENCE},
};

/// A consumer, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Row {
    consumer: String,
    status: String,
    created: Option<String>,
    arn: String,
}

impl Row {
    fn new(consumer: String, status: &ConsumerStatus, created: &DateTime, arn: String) -> Self {
        let created = created.to_millis().ok();
        Self {
            consumer,
            status: status.as_str().to_owned(),
            created: created.map(|millis| Timestamp::from_epoch_millis(millis).to_string()),
            arn,
        }
    }
}

/// Registers a consumer and waits until it can read.
pub(crate) async fn register(
    kinesis: &Kinesis,
    stream: &StreamName,
    name: &str,
    tags: Vec<(String, String)>,
) -> Result<(), Error> {
    let arn = ready::arn(kinesis, stream).await?;
    let request = kinesis.client.register_stream_consumer();
    let request = request.stream_arn(&arn).consumer_name(name);
    // No tags are not a map without tags, which the service refuses.
    let tags = Some(tags).filter(|tags| !tags.is_empty());
    let request = request.set_tags(tags.map(|tags| tags.into_iter().collect()));
    if let Err(error) = request.send().await {
        // The service also answers that a stream is in use that is not ready.
        if error
            .as_service_error()
            .is_some_and(|error| error.is_resource_in_use_exception())
            && find(kinesis, &arn, name).await?.is_some()
        {
            return Err(Error::ConsumerExists {
                consumer: name.to_owned(),
                stream: stream.clone(),
            });
        }
        return Err(kinesis.stream_error("RegisterStreamConsumer", stream, &error));
    }
    let is_active = async || {
        let found = find(kinesis, &arn, name).await?;
        Ok(found.is_some_and(|found| found.consumer_status == ConsumerStatus::Active))
    };
    ready::wait_until(is_active, || not_ready(stream, name)).await?;
    let registered = described(kinesis, stream, name).await?;
    output::line(&format!("registered {name}: {}", registered.consumer_arn))
}

/// Prints the consumers of a stream.
pub(crate) async fn list(kinesis: &Kinesis, stream: &StreamName, json: bool) -> Result<(), Error> {
    let arn = ready::arn(kinesis, stream).await?;
    let mut rows = Vec::new();
    let mut token = None;
    loop {
        let request = kinesis.client.list_stream_consumers().stream_arn(&arn);
        let page = request
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| kinesis.stream_error("ListStreamConsumers", stream, &error))?;
        rows.extend(page.consumers.unwrap_or_default().into_iter().map(|consumer| {
            Row::new(
                consumer.consumer_name,
                &consumer.consumer_status,
                &consumer.consumer_creation_timestamp,
                consumer.consumer_arn,
            )
        }));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    if json {
        return output::json(&json!({ "consumers": rows }));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows
        .into_iter()
        .map(|row| [row.consumer, row.status, row.created.unwrap_or_default(), row.arn]);
    output::table(["CONSUMER", "STATUS", "CREATED", "ARN"], rows)
}

/// Prints a consumer.
pub(crate) async fn describe(kinesis: &Kinesis, stream: &StreamName, name: &str, json: bool) -> Result<(), Error> {
    let found = described(kinesis, stream, name).await?;
    let row = Row::new(
        found.consumer_name,
        &found.consumer_status,
        &found.consumer_creation_timestamp,
        found.consumer_arn,
    );
    if json {
        return output::json(&row);
    }
    output::line(&format!(
        "consumer  {}\nstatus    {}\ncreated   {}\narn       {}",
        row.consumer,
        row.status,
        row.created.as_deref().unwrap_or("-"),
        row.arn,
    ))
}

/// Deregisters a consumer and waits until its name is free again.
pub(crate) async fn deregister(kinesis: &Kinesis, stream: &StreamName, name: &str) -> Result<(), Error> {
    let found = described(kinesis, stream, name).await?;
    let request = kinesis.client.deregister_stream_consumer();
    request
        .consumer_arn(&found.consumer_arn)
        .send()
        .await
        .map_err(|error| kinesis.error("DeregisterStreamConsumer", &error))?;
    let is_gone = async || Ok(find(kinesis, &found.stream_arn, name).await?.is_none());
    ready::wait_until(is_gone, || not_ready(stream, name)).await?;
    output::line(&format!("deregistered {name}"))
}

/// A consumer that must exist.
pub(crate) async fn described(
    kinesis: &Kinesis,
    stream: &StreamName,
    name: &str,
) -> Result<ConsumerDescription, Error> {
    let arn = ready::arn(kinesis, stream).await?;
    let found = find(kinesis, &arn, name).await?;
    found.ok_or_else(|| Error::UnknownConsumer {
        consumer: name.to_owned(),
        stream: stream.clone(),
    })
}

/// The consumer of this name, if there is one.
async fn find(kinesis: &Kinesis, stream_arn: &str, name: &str) -> Result<Option<ConsumerDescription>, Error> {
    let request = kinesis.client.describe_stream_consumer();
    match request.stream_arn(stream_arn).consumer_name(name).send().await {
        Ok(answer) => Ok(answer.consumer_description),
        Err(error) => match error.as_service_error() {
            Some(refused) if refused.is_resource_not_found_exception() => Ok(None),
            _ => Err(kinesis.error("DescribeStreamConsumer", &error).into()),
        },
    }
}

fn not_ready(stream: &StreamName, name: &str) -> Error {
    Error::ConsumerNotReady {
        consumer: name.to_owned(),
        stream: stream.clone(),
        seconds: PATIENCE.as_secs(),
    }
}
