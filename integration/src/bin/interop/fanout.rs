//! Consumers, and what is pushed to them.

use std::error::Error;

use aws_sdk_kinesis::{
    operation::subscribe_to_shard::SubscribeToShardOutput,
    types::{ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream},
};

use crate::{
    Interop, LOOKS, Outcome, PAUSE, cause, check,
    records::{numbered, text},
    refused,
};

pub(crate) async fn consumers(interop: &Interop) -> Outcome {
    let kinesis = &interop.kinesis;
    let name = interop.new_stream("consumers", 1).await?;
    let (stream, consumer) = interop.new_consumer(&name).await?;
    let again = kinesis
        .register_stream_consumer()
        .stream_arn(&stream)
        .consumer_name("reader")
        .send()
        .await;
    refused(again, "ResourceInUseException")?;
    let listed = kinesis
        .list_stream_consumers()
        .stream_arn(&stream)
        .send()
        .await
        .map_err(cause)?;
    check(
        listed.consumers().len() == 1,
        format!("consumers {:?}", listed.consumers()),
    )?;
    kinesis
        .deregister_stream_consumer()
        .consumer_arn(&consumer)
        .send()
        .await
        .map_err(cause)?;
    Ok(String::new())
}

pub(crate) async fn fanout(interop: &Interop) -> Outcome {
    let name = interop.new_stream("fanout", 1).await?;
    let (_, consumer) = interop.new_consumer(&name).await?;
    let (early, live) = (numbered("a", 20), numbered("b", 20));
    interop.put_all(&name, &early).await?;
    let shard = interop.shards(&name).await?.remove(0).shard_id;
    let mut subscription = interop.subscribe(&consumer, &shard).await?;
    let mut seen = Vec::new();
    let mut children = Vec::new();
    let mut is_split = false;
    while let Some(event) = next(&mut subscription).await? {
        for record in &event.records {
            seen.push(text(record)?);
        }
        children = event.child_shards.unwrap_or_default();
        let ended = event.continuation_sequence_number.is_empty();
        check(
            ended != children.is_empty(),
            format!("ended is {ended}, with children {children:?}"),
        )?;
        if seen.len() == early.len() && !ended {
            // What is put while the subscription is open arrives through it.
            interop.put_all(&name, &live).await?;
        } else if seen.len() == early.len() + live.len() && !is_split {
            is_split = true;
            let split = interop.kinesis.split_shard().stream_name(&name).shard_to_split(&shard);
            split
                .new_starting_hash_key((1_u128 << 127).to_string())
                .send()
                .await
                .map_err(cause)?;
        }
    }
    check(seen == [early, live].concat(), format!("{seen:?}"))?;
    check(children.len() == 2, format!("children at the end: {children:?}"))?;
    interop.put_all(&name, &["c".to_owned()]).await?;
    let mut found = Vec::new();
    for child in children {
        let mut subscription = interop.subscribe(&consumer, &child.shard_id).await?;
        let event = next(&mut subscription)
            .await?
            .ok_or("the subscription to a child ended at once")?;
        for record in &event.records {
            found.push(text(record)?);
        }
    }
    check(found == ["c"], format!("the children had {found:?}"))?;
    Ok(String::new())
}

async fn next(subscription: &mut SubscribeToShardOutput) -> Result<Option<SubscribeToShardEvent>, Box<dyn Error>> {
    match subscription.event_stream.recv().await.map_err(cause)? {
        Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) => Ok(Some(event)),
        Some(other) => Err(format!("an event that the SDK does not know: {other:?}").into()),
        None => Ok(None),
    }
}

impl Interop {
    /// Registers a consumer, and waits until it can be used. Returns the ARNs of the stream and of the consumer.
    async fn new_consumer(&self, name: &str) -> Result<(String, String), Box<dyn Error>> {
        let stream = self.summary(name).await?.stream_arn;
        let register = self
            .kinesis
            .register_stream_consumer()
            .stream_arn(&stream)
            .consumer_name("reader");
        let consumer = register
            .send()
            .await
            .map_err(cause)?
            .consumer
            .ok_or("no consumer")?
            .consumer_arn;
        for _ in 0..LOOKS {
            let found = self
                .kinesis
                .describe_stream_consumer()
                .consumer_arn(&consumer)
                .send()
                .await
                .map_err(cause)?;
            let found = found.consumer_description.ok_or("no description")?;
            if found.consumer_status.as_str() == "ACTIVE" {
                return Ok((stream, consumer));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err("the consumer does not become ACTIVE".into())
    }

    async fn subscribe(&self, consumer: &str, shard: &str) -> Result<SubscribeToShardOutput, Box<dyn Error>> {
        let start = StartingPosition::builder()
            .r#type(ShardIteratorType::TrimHorizon)
            .build()?;
        let request = self.kinesis.subscribe_to_shard().consumer_arn(consumer).shard_id(shard);
        request.starting_position(start).send().await.map_err(cause)
    }
}
