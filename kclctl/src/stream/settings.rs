//! Changing how long records are kept, who counts the shards, and how many there are.

use std::time::Duration;

use aws_sdk_kinesis::types::{ScalingType, StreamDescriptionSummary, StreamMode, StreamModeDetails};
use kcl_core::StreamName;

use super::ready::{summary, wait_until_active};
use crate::{aws::Kinesis, error::Error, output};

/// Keeps records for so long.
pub(crate) async fn retention(kinesis: &Kinesis, stream: &StreamName, period: Duration) -> Result<(), Error> {
    let hours = i32::try_from(period.as_secs() / 3600).unwrap_or(i32::MAX);
    let before = existing(kinesis, stream).await?.retention_period_hours;
    if hours < before {
        let request = kinesis.client.decrease_stream_retention_period();
        let request = request.stream_name(stream.as_str()).retention_period_hours(hours);
        let answer = request.send().await;
        answer.map_err(|error| kinesis.stream_error("DecreaseStreamRetentionPeriod", stream, &error))?;
    } else {
        let request = kinesis.client.increase_stream_retention_period();
        let request = request.stream_name(stream.as_str()).retention_period_hours(hours);
        let answer = request.send().await;
        answer.map_err(|error| kinesis.stream_error("IncreaseStreamRetentionPeriod", stream, &error))?;
    }
    wait_until_active(kinesis, stream).await?;
    output::line(&format!("{stream} keeps records for {hours} h, after {before} h"))
}

/// Gives the stream a mode.
pub(crate) async fn mode(kinesis: &Kinesis, stream: &StreamName, mode: StreamMode) -> Result<(), Error> {
    let arn = existing(kinesis, stream).await?.stream_arn;
    let name = mode.as_str().to_owned();
    let details = StreamModeDetails::builder().stream_mode(mode).build();
    let details = details.map_err(|error| Error::Usage(error.to_string()))?;
    let request = kinesis.client.update_stream_mode().stream_arn(arn);
    let answer = request.stream_mode_details(details).send().await;
    answer.map_err(|error| kinesis.stream_error("UpdateStreamMode", stream, &error))?;
    wait_until_active(kinesis, stream).await?;
    output::line(&format!("{stream} is {name}"))
}

/// Splits and merges shards until there are so many.
pub(crate) async fn scale(kinesis: &Kinesis, stream: &StreamName, shards: i32) -> Result<(), Error> {
    let request = kinesis.client.update_shard_count().stream_name(stream.as_str());
    let request = request
        .target_shard_count(shards)
        .scaling_type(ScalingType::UniformScaling);
    let answer = request.send().await;
    let answer = answer.map_err(|error| kinesis.stream_error("UpdateShardCount", stream, &error))?;
    wait_until_active(kinesis, stream).await?;
    let before = answer.current_shard_count.unwrap_or_default();
    output::line(&format!("{stream} has {shards} open shards, after {before}"))
}

async fn existing(kinesis: &Kinesis, stream: &StreamName) -> Result<StreamDescriptionSummary, Error> {
    let found = summary(kinesis, stream).await?;
    found.ok_or_else(|| kinesis.unknown_stream(stream))
}
