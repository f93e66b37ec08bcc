//! Streams of deliveries: every record is answered by itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, time::Duration};

use integration::{World, held, shard_id};
use kcl_core::{LeaseWrite, Session, WorkerId, WriteOutcome};
use kcl_runtime::{Deliveries, Delivery, DeliveryLost};

fn number(delivery: &Delivery) -> u64 {
    let text = std::str::from_utf8(&delivery.record().data).unwrap();
    text.trim().parse().unwrap()
}

async fn next(deliveries: &mut Deliveries) -> Delivery {
    let soon = tokio::time::timeout(Duration::from_secs(600), deliveries.next());
    soon.await.expect("a delivery").expect("the worker runs")
}

/// Whether nothing comes for a minute.
async fn is_quiet(deliveries: &mut Deliveries) -> bool {
    tokio::time::timeout(Duration::from_secs(60), deliveries.next())
        .await
        .is_err()
}

#[tokio::test(start_paused = true)]
async fn given_records_in_several_shards_when_all_are_acknowledged_then_all_are_committed_and_the_stream_ends_with_its_worker()
 {
    let world = World::new(321, 3);
    world.put(300);
    let (worker, mut deliveries) = world.worker("one").stream(|stream| stream);
    let handle = worker.handle.clone();
    let mut seen = BTreeSet::new();
    while let Some(delivery) = deliveries.next().await {
        assert!(seen.insert(number(&delivery)), "{delivery:?} came twice");
        delivery.ack().unwrap();
        if seen.len() == 300 {
            handle.shutdown().await;
        }
    }
    worker.ended().await.unwrap();
    assert_eq!(seen.len(), 300);
    assert!(
        world
            .leases()
            .await
            .iter()
            .all(|lease| lease.checkpoint.record().is_some())
    );
    let next = world.worker("two").logging();
    next.idle().await;
    next.stop().await.unwrap();
    assert!(world.log.numbers().is_empty(), "nothing is handled twice");
}

#[tokio::test(start_paused = true)]
async fn given_a_window_when_nothing_is_acknowledged_then_so_many_records_come_and_no_more() {
    let world = World::new(322, 1);
    world.put(50);
    let (worker, mut deliveries) = world.worker("one").stream(|stream| stream.window(7));
    let mut open = Vec::new();
    for expected in 0..7 {
        let delivery = next(&mut deliveries).await;
        assert_eq!(number(&delivery), expected);
        open.push(delivery);
    }
    assert!(is_quiet(&mut deliveries).await);
    open.pop().unwrap().ack().unwrap();
    assert_eq!(number(&next(&mut deliveries).await), 7);
    worker.crash().await;
}

#[tokio::test(start_paused = true)]
async fn given_a_record_that_is_wanted_later_when_there_is_no_order_then_only_it_comes_again_and_not_too_soon() {
    let world = World::new(323, 1);
    world.put_keyed("anna", 3);
    let (worker, mut deliveries) = world.worker("one").stream(|stream| stream);
    next(&mut deliveries).await.nack(Duration::from_secs(30)).unwrap();
    let from = world.clock.elapsed();
    for expected in 1..3 {
        let delivery = next(&mut deliveries).await;
        assert_eq!((number(&delivery), delivery.attempt()), (expected, 1));
        delivery.ack().unwrap();
    }
    let again = next(&mut deliveries).await;
    assert_eq!((number(&again), again.attempt()), (0, 2));
    let waited = world.clock.elapsed() - from;
    assert!(
        (Duration::from_secs(30)..Duration::from_secs(31)).contains(&waited),
        "{waited:?}"
    );
    again.ack().unwrap();
    worker
        .until(|report| report.shards[0].status.handled_records == 3)
        .await;
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn given_key_order_when_a_record_is_wanted_later_then_its_key_waits_and_others_do_not() {
    let world = World::new(324, 1);
    for key in ["anna", "bert", "anna", "bert"] {
        world.put_keyed(key, 1);
    }
    let (worker, mut deliveries) = world.worker("one").stream(|stream| stream.key_order());
    let mut order = Vec::new();
    while order.len() < 4 {
        let delivery = next(&mut deliveries).await;
        if number(&delivery) == 0 && delivery.attempt() < 3 {
            delivery.nack(Duration::from_secs(20)).unwrap();
        } else {
            order.push(number(&delivery));
            delivery.ack().unwrap();
        }
    }
    assert_eq!(order, [1, 3, 0, 2]);
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn given_a_delivery_when_it_is_dropped_without_an_answer_then_it_comes_again_and_the_report_says_so() {
    let world = World::new(325, 1);
    world.put(1);
    let (worker, mut deliveries) = world.worker("one").stream(|stream| stream);
    drop(next(&mut deliveries).await);
    let report = worker.until(|report| report.shards[0].status.lanes.failing == 1).await;
    let failing = report.shards[0].status.lanes.oldest_failing.clone().unwrap();
    assert_eq!(failing.error, "the delivery was dropped without an answer");
    let again = next(&mut deliveries).await;
    assert_eq!(again.attempt(), 2);
    again.ack().unwrap();
    worker
        .until(|report| report.shards[0].status.handled_records == 1)
        .await;
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn given_a_delivery_when_its_lease_is_lost_then_the_acknowledgement_says_so() {
    let world = World::new(326, 1);
    world.put(3);
    let (worker, mut deliveries) = world.worker("one").stream(|stream| stream);
    let delivery = next(&mut deliveries).await;
    let row = world.lease(&shard_id(0)).await;
    let theft = LeaseWrite::take(&row, &WorkerId::new("thief").unwrap(), Session(1));
    assert!(matches!(
        world.store.update(&theft).await.unwrap(),
        WriteOutcome::Applied(_)
    ));
    worker.until(|report| held(report) == 0).await;
    assert!(delivery.is_lost());
    assert_eq!(delivery.ack(), Err(DeliveryLost));
    // The others were on their way, and are not this worker's any more.
    assert!(
        tokio::time::timeout(Duration::from_secs(5), deliveries.next())
            .await
            .is_err()
    );
    worker.stop().await.unwrap();
    assert!(deliveries.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn given_a_stop_when_deliveries_are_open_then_it_waits_for_their_answers() {
    let world = World::new(327, 1);
    world.put(5);
    let (worker, mut deliveries) = world.worker("one").stream(|stream| stream.window(2));
    let first = next(&mut deliveries).await;
    let second = next(&mut deliveries).await;
    let stopping = tokio::spawn(worker.stop());
    world.pass(Duration::from_secs(10)).await;
    second.ack().unwrap();
    first.ack().unwrap();
    stopping.await.unwrap().unwrap();
    assert!(deliveries.next().await.is_none());
    let next = world.worker("two").logging();
    world.log.complete_from(2, 5).await;
    next.stop().await.unwrap();
    assert_eq!(world.log.numbers(), [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn given_a_stream_when_it_is_dropped_then_its_worker_stops_and_gives_its_leases_back() {
    let world = World::new(328, 2);
    world.put(100);
    let (worker, mut deliveries) = world.worker("one").stream(|stream| stream);
    for _ in 0..10 {
        next(&mut deliveries).await.ack().unwrap();
    }
    drop(deliveries);
    worker.ended().await.unwrap();
    assert!(world.leases().await.iter().all(|lease| lease.holder().is_none()));
}
