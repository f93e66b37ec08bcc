//! Trouble with the service: unreachable at the start, lost while running, answers that fail, hang or get lost.

use std::time::Duration;

use integration::{LinkState, Running, World, held, shard_id};
use kcl_core::shard::Waiting;

const TROUBLES: [LinkState; 4] = [
    LinkState::Refused,
    LinkState::ServerError,
    LinkState::Hanging,
    LinkState::AnswersLost,
];

fn start(world: &World, name: &str) -> Running {
    world.worker(name).request_timeout(Duration::from_secs(10)).logging()
}

#[tokio::test(start_paused = true)]
async fn wound_40_a_worker_that_starts_without_the_service_begins_when_it_is_there() {
    for (seed, trouble) in (81..).zip(TROUBLES) {
        let world = World::new(seed, 2);
        world.put(20);
        world.link.set(trouble);
        let worker = start(&world, "one");
        world.pass(Duration::from_secs(45)).await;
        assert_eq!(world.log.numbers(), [0_u64; 0]);
        assert_eq!(world.leases().await, [], "without the service nobody knows the shards");
        world.link.set(LinkState::Up);
        let from = world.clock.elapsed();
        world.log.complete(20).await;
        let waited = world.clock.elapsed() - from;
        assert!(waited <= Duration::from_secs(16), "{trouble:?}: {waited:?}");
        worker.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_lost_for_thirty_seconds_costs_no_record_no_lease_and_no_replay() {
    for (seed, trouble) in (85..).zip(TROUBLES) {
        let world = World::new(seed, 3);
        let worker = start(&world, "one");
        world.put(30);
        world.log.complete(30).await;
        world.link.set(trouble);
        for _ in 0..30 {
            world.put(3);
            world.pass(Duration::from_secs(1)).await;
        }
        assert_eq!(
            held(&worker.report().await),
            3,
            "{trouble:?}: leases do not depend on the service"
        );
        world.link.set(LinkState::Up);
        let from = world.clock.elapsed();
        world.log.complete(120).await;
        let waited = world.clock.elapsed() - from;
        assert!(waited <= Duration::from_secs(16), "{trouble:?}: {waited:?}");
        worker.idle().await;
        worker.stop().await.unwrap();
        assert_eq!(world.log.replays(), 0, "{trouble:?}");
        world.log.assert_ordered();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_cannot_be_read_says_what_the_service_said() {
    let world = World::new(89, 1);
    let worker = start(&world, "one");
    worker.idle().await;
    world.link.set(LinkState::Refused);
    let report = worker
        .until(|report| matches!(report.shards[0].status.waiting, Waiting::ForService { .. }))
        .await;
    let waiting = report.shards[0].status.waiting.to_string();
    assert!(
        waiting.contains("unavailable") && waiting.contains("the test refuses the connection"),
        "{waiting}"
    );
    world.link.set(LinkState::Up);
    worker.idle().await;
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wound_42_failed_reads_are_repeated_with_growing_waits() {
    let world = World::new(90, 1);
    let worker = start(&world, "one");
    worker.idle().await;
    world.link.set(LinkState::Refused);
    world.pass(Duration::from_secs(300)).await;
    let refused = world.link.requests();
    world.pass(Duration::from_secs(60)).await;
    let per_minute = world.link.requests() - refused;
    // The SDK tries three times, and between two reads are at most 5 s.
    assert!(
        (20..=120).contains(&per_minute),
        "{per_minute} requests a minute for one shard"
    );
    world.link.set(LinkState::Up);
    world.put(1);
    world.log.complete(1).await;
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wound_39_a_connection_that_hangs_is_given_up_and_replaced() {
    let world = World::new(91, 1);
    let worker = start(&world, "one");
    worker.idle().await;
    world.link.set(LinkState::Hanging);
    world.pass(Duration::from_secs(2)).await;
    // The service is back, and the request that hangs stays without an answer.
    world.link.set(LinkState::Up);
    world.put(5);
    let from = world.clock.elapsed();
    world.log.complete(5).await;
    let waited = world.clock.elapsed() - from;
    assert!(waited <= Duration::from_secs(11), "{waited:?}");
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wound_24_an_iterator_that_expires_while_the_handler_works_is_opened_again_at_the_exact_place() {
    let world = World::new(92, 1);
    world.put(30);
    let log = world.log.clone();
    let worker =
        world
            .worker("one")
            .config(|config| config.max_records = 10)
            .function(move |batch: kcl_core::Batch| {
                log.note("one", &batch);
                // Longer than the five minutes that an iterator lives.
                tokio::time::sleep(Duration::from_secs(400))
            });
    world.log.complete(30).await;
    worker.until(kcl_runtime::Report::is_idle).await;
    worker.stop().await.unwrap();
    assert_eq!(world.log.numbers(), (0..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_fleet_reads_on_while_one_worker_has_lost_the_service() {
    let world = World::new(93, 2);
    let cut = integration::Link::new(&world.broker);
    let one = world.worker("one").link(&cut).logging();
    let two = world.worker("two").logging();
    one.until(|report| held(report) == 1).await;
    two.until(|report| held(report) == 1).await;
    cut.set(LinkState::Refused);
    world.put(40);
    world.pass(Duration::from_secs(20)).await;
    assert!(!world.log.numbers().is_empty(), "the other shard goes on");
    cut.set(LinkState::Up);
    world.log.complete(40).await;
    world.split(&shard_id(0));
    world.put(10);
    world.log.complete(50).await;
    one.stop().await.unwrap();
    two.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
}
