//! Registering consumers, as an SDK sees it.

use aws_sdk_kinesis::types::{Consumer, ConsumerStatus};

use crate::doors::World;

const STREAM: &str = "rides";

async fn register(world: &World, stream_arn: &str, name: &str) -> Consumer {
    let registered = world
        .client()
        .register_stream_consumer()
        .stream_arn(stream_arn)
        .consumer_name(name)
        .send()
        .await
        .unwrap();
    registered.consumer().unwrap().clone()
}

pub(crate) async fn a_consumer_is_registered_described_listed_and_deregistered(world: &World) {
    let client = world.client();
    client
        .create_stream()
        .stream_name(STREAM)
        .shard_count(1)
        .send()
        .await
        .unwrap();
    let summary = || client.describe_stream_summary().stream_name(STREAM).send();
    let stream = summary().await.unwrap().stream_description_summary().unwrap().clone();
    assert_eq!(stream.consumer_count(), Some(0));

    let billing = register(world, stream.stream_arn(), "billing").await;
    assert_eq!(billing.consumer_status(), &ConsumerStatus::Creating);
    assert_eq!(
        billing.consumer_creation_timestamp().to_millis().unwrap(),
        1_357_034_400_250
    );
    let described = client
        .describe_stream_consumer()
        .consumer_arn(billing.consumer_arn())
        .send()
        .await
        .unwrap();
    let described = described.consumer_description().unwrap();
    assert_eq!(described.consumer_status(), &ConsumerStatus::Active);
    assert_eq!(described.stream_arn(), stream.stream_arn());
    let again = client
        .register_stream_consumer()
        .stream_arn(stream.stream_arn())
        .consumer_name("billing")
        .send()
        .await;
    assert!(again.unwrap_err().into_service_error().is_resource_in_use_exception());

    for name in ["audit", "fraud"] {
        register(world, stream.stream_arn(), name).await;
    }
    let pages = client
        .list_stream_consumers()
        .stream_arn(stream.stream_arn())
        .max_results(2)
        .into_paginator()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .unwrap();
    let names: Vec<_> = pages
        .iter()
        .flat_map(|page| page.consumers())
        .map(Consumer::consumer_name)
        .collect();
    assert_eq!(names, ["audit", "billing", "fraud"]);
    assert_eq!(
        summary()
            .await
            .unwrap()
            .stream_description_summary()
            .unwrap()
            .consumer_count(),
        Some(3)
    );

    client
        .deregister_stream_consumer()
        .consumer_arn(billing.consumer_arn())
        .send()
        .await
        .unwrap();
    let described = client
        .describe_stream_consumer()
        .stream_arn(stream.stream_arn())
        .consumer_name("billing")
        .send()
        .await;
    assert!(
        described
            .unwrap_err()
            .into_service_error()
            .is_resource_not_found_exception()
    );
    let delete = client.delete_stream().stream_name(STREAM);
    let refused = delete.clone().send().await.unwrap_err();
    assert!(refused.into_service_error().is_resource_in_use_exception());
    delete.enforce_consumer_deletion(true).send().await.unwrap();
}
