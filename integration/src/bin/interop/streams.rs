//! Streams, and how errors arrive.

use aws_sdk_kinesis::types::ShardIteratorType;

use crate::{Interop, Outcome, cause, check, named, refused};

pub(crate) async fn streams(interop: &Interop) -> Outcome {
    let kinesis = &interop.kinesis;
    let name = interop.new_stream("streams", 3).await?;
    let summary = interop.summary(&name).await?;
    check(
        summary.open_shard_count == 3,
        format!("{} open shards", summary.open_shard_count),
    )?;
    let raise = kinesis
        .increase_stream_retention_period()
        .stream_name(&name)
        .retention_period_hours(48);
    raise.send().await.map_err(cause)?;
    let hours = interop.summary(&name).await?.retention_period_hours;
    check(hours == 48, format!("a retention of {hours} hours"))?;
    kinesis
        .add_tags_to_stream()
        .stream_name(&name)
        .tags("ort", "Köln")
        .send()
        .await
        .map_err(cause)?;
    let tags = kinesis
        .list_tags_for_stream()
        .stream_name(&name)
        .send()
        .await
        .map_err(cause)?;
    check(
        tags.tags().len() == 1 && tags.tags()[0].value() == Some("Köln"),
        format!("tags {:?}", tags.tags()),
    )?;
    let mut pages = kinesis.list_streams().into_paginator().page_size(1).send();
    let mut listed = false;
    while let Some(page) = pages.next().await {
        listed |= page.map_err(cause)?.stream_names().contains(&name);
    }
    check(listed, "the stream is not listed")?;
    kinesis.delete_stream().stream_name(&name).send().await.map_err(cause)?;
    refused(
        kinesis.describe_stream_summary().stream_name(&name).send().await,
        "ResourceNotFoundException",
    )?;
    Ok(String::new())
}

pub(crate) async fn errors(interop: &Interop) -> Outcome {
    let kinesis = &interop.kinesis;
    let missing = kinesis
        .describe_stream_summary()
        .stream_name(named("nowhere"))
        .send()
        .await;
    let typed = missing.as_ref().is_err_and(|error| {
        error
            .as_service_error()
            .is_some_and(|error| error.is_resource_not_found_exception())
    });
    check(typed, format!("a stream that is not there: {missing:?}"))?;
    refused(
        kinesis.get_records().shard_iterator("nonsense").send().await,
        "InvalidArgumentException",
    )?;
    let name = interop.new_stream("errors", 1).await?;
    let again = kinesis.create_stream().stream_name(&name).shard_count(1).send().await;
    refused(again, "ResourceInUseException")?;
    let without_number = kinesis
        .get_shard_iterator()
        .stream_name(&name)
        .shard_id("shardId-000000000000");
    let answer = without_number
        .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
        .send()
        .await;
    refused(answer, "InvalidArgumentException")?;
    Ok(String::new())
}
