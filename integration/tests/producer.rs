//! The aggregating producer against the broker: order, trouble, reshards, bounds, and its end.

use std::time::Duration;

use kcl_core::{
    HashKey,
    aggregate::UserRecord,
    producer::{ProducerConfig, PutFailure},
};
use kcl_runtime::{
    producer::{Producer, PutError, Putting},
    testing::{ServiceFault, TestWorld},
};

fn producer(world: &TestWorld, change: impl FnOnce(&mut ProducerConfig)) -> Producer {
    let mut config = ProducerConfig::default();
    change(&mut config);
    let builder = Producer::builder(world.client(), world.stream().clone())
        .config(config)
        .seed(7);
    builder.build().expect("good settings")
}

async fn put_numbers(producer: &Producer, count: usize, keys: usize) -> Vec<Putting> {
    let mut putting = Vec::new();
    for number in 0..count {
        let record = UserRecord::new(format!("key-{}", number % keys), number.to_string());
        putting.push(producer.put(record).await.expect("accepted"));
    }
    putting
}

/// What a worker gets of the stream, by key.
async fn consumed(world: &TestWorld) -> std::collections::BTreeMap<String, Vec<u64>> {
    let seen = world.recorder();
    let worker = world.start(world.worker("w1").function(seen.succeed()));
    world.until_checkpointed().await;
    worker.stop().await;
    let mut by_key = std::collections::BTreeMap::<String, Vec<u64>>::new();
    for record in seen.records() {
        let number = std::str::from_utf8(&record.data)
            .expect("text")
            .parse()
            .expect("a number");
        by_key.entry(record.partition_key.to_string()).or_default().push(number);
    }
    by_key
}

#[tokio::test(start_paused = true)]
async fn what_is_put_is_consumed_and_each_record_says_where_it_is() {
    let world = TestWorld::new("orders", 3).await;
    let producer = producer(&world, |_| {});
    let mut outer = std::collections::BTreeSet::new();
    let mut placed = Vec::new();
    for putting in put_numbers(&producer, 1000, 7).await {
        let place = putting.await.expect("written");
        outer.insert(place.sequence_number.clone());
        placed.push(place);
    }
    assert!(outer.len() <= 6, "{} records of the service for 1,000", outer.len());
    producer.close().await;
    let by_key = consumed(&world).await;
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), 1000);
    assert!(by_key.values().all(|numbers| numbers.is_sorted()));
    assert!(placed.iter().any(|place| place.sub_sequence_number > 0));
}

#[tokio::test(start_paused = true)]
async fn throttling_and_lost_calls_change_no_order_where_order_is_asked_for() {
    let world = TestWorld::new("orders", 2).await;
    for fault in [
        ServiceFault::throttle().on("PutRecords").records(0.3),
        ServiceFault::internal_error().on("PutRecords").probability(0.2),
    ] {
        world.service_faults().add(fault).expect("a fault");
    }
    let producer = producer(&world, |config| {
        config.ordered = true;
        config.aggregation_max_count = 5;
        config.collection_max_count = 4;
    });
    let mut again = 0;
    for putting in put_numbers(&producer, 600, 20).await {
        again += putting.await.expect("written").attempts - 1;
    }
    assert!(again > 0, "there was trouble");
    producer.close().await;
    world.service_faults().clear();
    let by_key = consumed(&world).await;
    for (key, numbers) in &by_key {
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
    let mut all: Vec<_> = by_key.into_values().flatten().collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 600);
}

#[tokio::test(start_paused = true)]
async fn after_a_split_every_record_ends_up_in_the_shard_of_its_key() {
    let world = TestWorld::new("orders", 1).await;
    let producer = producer(&world, |_| {});
    for putting in put_numbers(&producer, 20, 20).await {
        putting.await.expect("written");
    }
    world.split(&world.shard(0));
    let shards = world.shards();
    let mut putting = Vec::new();
    for number in 0..20_u128 {
        let key = HashKey(u128::MAX / 20 * number);
        let record = UserRecord::new("k", number.to_string()).with_explicit_hash_key(key);
        putting.push((key, producer.put(record).await.expect("accepted")));
    }
    for (key, putting) in putting {
        let placed = putting.await.expect("written");
        let shard = shards
            .iter()
            .find(|shard| shard.id == placed.shard)
            .expect("a shard of the stream");
        assert!(shard.hash_key_range.contains(key) && shard.is_open());
    }
    producer.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_written_in_its_time_is_told_so() {
    let world = TestWorld::new("orders", 1).await;
    world
        .service_faults()
        .add(ServiceFault::throttle().on("PutRecords"))
        .expect("a fault");
    let producer = producer(&world, |config| config.record_ttl = Duration::from_secs(5));
    let putting = producer.put(UserRecord::new("k", "late")).await.expect("accepted");
    let failed = putting.await.expect_err("given up");
    let PutError::Failed(PutFailure::Expired { attempts, last }) = &failed else {
        panic!("{failed:?}");
    };
    assert!(*attempts > 1 && last.is_some(), "{failed}");
    producer.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_exist_is_told_at_once() {
    let world = TestWorld::new("orders", 1).await;
    let nowhere = kcl_core::StreamName::new("nowhere").expect("a name");
    let producer = Producer::builder(world.client(), nowhere)
        .build()
        .expect("good settings");
    let putting = producer.put(UserRecord::new("k", "lost")).await.expect("accepted");
    let failed = putting.await.expect_err("refused");
    assert!(failed.to_string().contains("ResourceNotFoundException"), "{failed}");
    producer.close().await;
}

#[tokio::test(start_paused = true)]
async fn put_waits_while_too_much_is_outstanding() {
    let world = TestWorld::new("orders", 1).await;
    let fault = world
        .service_faults()
        .add(ServiceFault::throttle().on("PutRecords"))
        .expect("a fault");
    let producer = producer(&world, |config| config.max_outstanding_records = 3);
    let first = put_numbers(&producer, 3, 1).await;
    let clone = producer.clone();
    let fourth = clone.put(UserRecord::new("k", "4"));
    let mut fourth = std::pin::pin!(fourth);
    assert!(
        tokio::time::timeout(Duration::from_secs(5), &mut fourth).await.is_err(),
        "there is no room"
    );
    world.service_faults().remove(fault);
    for putting in first {
        putting.await.expect("written");
    }
    fourth.await.expect("accepted").await.expect("written");
    producer.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_before_the_end_is_written_and_nothing_is_accepted_after() {
    let world = TestWorld::new("orders", 2).await;
    let producer = producer(&world, |config| {
        config.record_max_buffered_time = Duration::from_secs(3600)
    });
    let clone = producer.clone();
    drop(put_numbers(&producer, 50, 5).await);
    producer.close().await;
    assert!(world.elapsed() < Duration::from_secs(60), "it did not wait for more");
    assert_eq!(
        clone.put(UserRecord::new("k", "late")).await.expect_err("closed"),
        PutError::Closed
    );
    assert_eq!(consumed(&world).await.values().map(Vec::len).sum::<usize>(), 50);
}

#[tokio::test(start_paused = true)]
async fn what_the_service_would_refuse_is_refused_at_once() {
    let world = TestWorld::new("orders", 1).await;
    let producer = producer(&world, |_| {});
    for record in [
        UserRecord::new("", "d"),
        UserRecord::new("k".repeat(257), "d"),
        UserRecord::new("k", vec![0; 1 << 20]),
    ] {
        assert!(matches!(producer.put(record).await, Err(PutError::Invalid(_))));
    }
    producer.close().await;
}
