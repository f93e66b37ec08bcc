//! One application, one stream: leases of another stream, and of an earlier life of this one, are left alone.

use std::{sync::Arc, time::Duration};

use integration::World;
use kcl_broker::api::{CreateStream, PutRecord};
use kcl_core::{ApplicationName, InitialPosition, Lease, StreamName, worker::WorkerFailure};
use kcl_runtime::{Config, ConfigError, KinesisSource, Worker, WorkerError};

/// The rows as they matter: whose checkpoints are where.
fn checkpoints(leases: &[Lease]) -> Vec<String> {
    leases
        .iter()
        .map(|lease| format!("{} {}", lease.key, lease.checkpoint))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_another_stream_stops_and_leaves_the_leases_alone() {
    let world = World::new(171, 3);
    world.put(30);
    let first = world.worker("one").logging();
    world.log.complete(30).await;
    first.stop().await.expect("a clean stop");
    let before = checkpoints(&world.leases().await);

    world.broker.call(CreateStream::new("tiny", 1)).expect("a new stream");
    world
        .broker
        .call(PutRecord::new("tiny", "key", "data"))
        .expect("a record");
    let application = ApplicationName::new("app").expect("a valid name");
    let source = KinesisSource::new(
        world.worker("any").client(),
        StreamName::new("tiny").expect("a valid name"),
    );
    let mistaken = Worker::builder(application, source, Arc::clone(&world.store))
        .function(|batch| async move { assert!(batch.is_empty(), "nothing may be delivered under these leases") })
        .build()
        .expect("valid settings");
    let error = mistaken.run().await.expect_err("it stops");
    assert!(
        matches!(error, WorkerError::Failed(WorkerFailure::OtherStream { .. })),
        "{error:?}"
    );
    assert!(error.to_string().contains("tiny"), "{error}");
    assert_eq!(checkpoints(&world.leases().await), before);

    world.put(30);
    let second = world.worker("two").logging();
    world.log.complete(60).await;
    second.stop().await.expect("a clean stop");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_created_again_ends_the_worker_and_says_what_to_do() {
    for shards in [3, 1] {
        let world = World::new(172, 3);
        world.put(30);
        let first = world.worker("one").logging();
        world.log.complete(30).await;
        first.stop().await.expect("a clean stop");
        let before = checkpoints(&world.leases().await);
        world.delete_stream();
        world.create_stream(shards);

        let second = world.worker("two").logging();
        let error = second
            .ended()
            .await
            .expect_err("its checkpoints are of no use in the new stream");
        assert!(
            matches!(error, WorkerError::Failed(WorkerFailure::StreamReplaced { .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains("created again"), "{error}");
        assert_eq!(checkpoints(&world.leases().await), before, "with {shards} shards");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_created_again_before_the_first_checkpoint_ends_the_worker_too() {
    let world = World::new(173, 3);
    let first = world.worker("one").logging();
    first.idle().await;
    first.stop().await.expect("a clean stop");
    assert!(world.leases().await.iter().all(|lease| lease.checkpoint.is_start()));
    world.delete_stream();
    world.create_stream(3);

    let error = world
        .worker("two")
        .logging()
        .ended()
        .await
        .expect_err("it is another stream");
    assert!(
        matches!(error, WorkerError::Failed(WorkerFailure::StreamReplaced { .. })),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_in_the_future_is_refused() {
    let world = World::new(173, 1);
    let application = ApplicationName::new("app").expect("a valid name");
    let source = KinesisSource::new(
        world.worker("any").client(),
        StreamName::new("rides").expect("a valid name"),
    );
    let mut config = Config::default();
    config.initial_position = InitialPosition::AtTimestamp("2999-01-01T00:00:00Z".parse().expect("an instant"));
    let refused = Worker::builder(application, source, Arc::clone(&world.store))
        .config(config)
        .function(|_| async {})
        .build()
        .expect_err("nothing starts in the future");
    assert!(
        matches!(
            refused,
            ConfigError::OutOfRange {
                setting: "initial_position",
                ..
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fleet_is_not_idle_before_every_other_holder_was_seen_alive() {
    let world = World::new(174, 1);
    world.put(30);
    let dead = world
        .worker("dead")
        .checkpoint_interval(Duration::from_secs(3600))
        .function(|_| async {
            std::future::pending::<()>().await;
        });
    dead.until(|report| integration::held(report) == 1).await;
    dead.crash().await;
    let heir = world.worker("heir").logging();
    heir.idle().await;
    assert_eq!(world.log.all().len(), 30, "idle means that everything was handled");
    heir.stop().await.expect("a clean stop");
}
