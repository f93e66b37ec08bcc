//! The consumers that subscribe: registered once, waited for, deregistered by others.

use kcl_core::fetch::{FetchFailureKind, Retrieval};
use kcl_runtime::{RetrievalMode, broker::api};

use crate::{SECOND, assert_exact, calls, register, status_of, stream_arn, until_read_by, world, world_of};

#[tokio::test(start_paused = true)]
async fn given_a_fleet_that_starts_at_once_when_the_consumer_is_registered_then_it_is_so_once() {
    let world = world(6).await;
    let seen = world.recorder();
    let workers = ["w1", "w2", "w3"].map(|name| world.start(world.worker(name).function(seen.succeed())));
    for number in 0..30 {
        world.put(format!("customer-{number}"), "data");
    }
    world.until_idle().await;
    assert_eq!(seen.data().len(), 30);
    assert_eq!(calls(&world, "RegisterStreamConsumer").1, 1);
    assert!(
        calls(&world, "DescribeStreamConsumer").0 <= 9,
        "{:?}",
        calls(&world, "DescribeStreamConsumer")
    );
    for worker in workers {
        until_read_by(&worker, Retrieval::FanOut).await;
        worker.stop().await;
    }
    let listed = world
        .broker()
        .untroubled()
        .call(api::ListStreamConsumers::new(stream_arn(&world)))
        .unwrap();
    let names: Vec<&str> = listed.consumers.iter().map(|one| one.consumer_name.as_str()).collect();
    assert_eq!(names, ["test"], "it is named as the application, and stays");
}

#[tokio::test(start_paused = true)]
async fn given_as_many_consumers_as_there_may_be_when_one_goes_then_fan_out_takes_over_from_polling() {
    let world = world_of(1, RetrievalMode::Auto).await;
    let seen = world.recorder();
    let others: Vec<String> = (0..20)
        .map(|number| register(&world, &format!("other-{number}")))
        .collect();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    world.put("customer-7", "0");
    world.until_idle().await;
    let status = status_of(&worker, &world.shard(0)).await;
    let fallback = status.fallback.unwrap();
    assert_eq!(
        (status.retrieval, fallback.kind),
        (Retrieval::Polling, FetchFailureKind::Throttled)
    );
    assert!(
        fallback.message.contains("LimitExceededException"),
        "{}",
        fallback.message
    );
    let (asked, _) = calls(&world, "RegisterStreamConsumer");
    assert!(asked < 20, "{asked} registrations");
    let request = api::DeregisterStreamConsumer {
        consumer_arn: Some(others[0].clone()),
        ..Default::default()
    };
    world.broker().untroubled().call(request).unwrap();
    until_read_by(&worker, Retrieval::FanOut).await;
    world.put("customer-7", "1");
    world.until_idle().await;
    assert_exact(&seen.data(), 2);
}

#[tokio::test(start_paused = true)]
async fn given_a_consumer_that_somebody_deregisters_when_subscribed_then_no_record_is_lost() {
    let world = world(1).await;
    let seen = world.recorder();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    until_read_by(&worker, Retrieval::FanOut).await;
    for number in 0..300 {
        if number == 100 {
            let mut request = api::DeregisterStreamConsumer::default();
            (request.stream_arn, request.consumer_name) = (Some(stream_arn(&world)), Some("test".to_owned()));
            world.broker().untroubled().call(request).unwrap();
        }
        world.put("customer-7", number.to_string());
        world.advance(SECOND).await;
    }
    world.until_idle().await;
    assert_exact(&seen.data(), 300);
    until_read_by(&worker, Retrieval::FanOut).await;
    assert_eq!(calls(&world, "RegisterStreamConsumer").1, 2);
}
