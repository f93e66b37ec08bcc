//! Fleets whose leases are in DynamoDB, on the broker that also has their stream.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryPartition},
    types::AttributeValue,
};
use integration::{Running, World, held, shard_id};
use kcl_broker::trouble::Fault;
use kcl_checkpoint::DynamoDbLeaseStore;
use kcl_core::{LeaseKey, LeaseStore, Position, Session, WorkerId};

const TABLE: &str = "billing";

/// Retry tokens are shared by all clients of a process unless each has a partition of its own.
static PARTITIONS: AtomicU64 = AtomicU64::new(0);

fn client(world: &World) -> Client {
    let partition = format!("leases-{}", PARTITIONS.fetch_add(1, Ordering::Relaxed));
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "world"))
        .endpoint_url("http://dynamodb.local")
        .retry_partition(RetryPartition::new(partition))
        .time_source(world.clock)
        .http_client(world.broker.http_client());
    Client::from_conf(config.build())
}

/// What a worker of its own process has: a client and a store for itself.
async fn store(world: &World) -> DynamoDbLeaseStore {
    DynamoDbLeaseStore::open(client(world), TABLE).await.unwrap()
}

async fn start(world: &World, name: &str) -> Running {
    run(world, name, store(world).await)
}

fn run(world: &World, name: &str, store: DynamoDbLeaseStore) -> Running {
    let spec = world.worker(name).store(store).config(|config| {
        config.failover_time = Duration::from_secs(3);
        config.shard_sync_interval = Duration::from_secs(10);
        config.max_records = 5;
    });
    spec.checkpoint_interval(Duration::from_secs(1)).logging()
}

#[tokio::test(start_paused = true)]
async fn given_two_workers_on_a_table_in_dynamodb_when_the_stream_is_resharded_then_both_read_it_to_the_end() {
    let world = World::new(91, 4);
    let (one, two) = tokio::join!(start(&world, "one"), start(&world, "two"));
    one.until(|report| held(report) == 2).await;
    two.until(|report| held(report) == 2).await;
    world.put(400);
    world.log.complete(200).await;
    world.split(&shard_id(0));
    world.merge(&shard_id(1), &shard_id(2));
    world.put(400);
    world.log.complete(800).await;
    one.idle().await;
    two.idle().await;
    one.stop().await.unwrap();
    two.stop().await.unwrap();

    assert_eq!(world.log.replays(), 0, "nobody crashed");
    world.log.assert_ordered();
    world.log.assert_parents_before_children(&world.shards());
    let workers: std::collections::BTreeSet<_> = world.log.all().into_iter().map(|seen| seen.worker).collect();
    assert_eq!(workers.len(), 2, "{workers:?}");
    let listing = store(&world).await.list().await.unwrap();
    assert!(listing.unreadable.is_empty());
    for lease in &listing.leases {
        assert_eq!((&lease.owner, lease.session), (&None, None), "{lease:?}");
        let finished = [0, 1, 2].map(shard_id).contains(&lease.shard);
        assert_eq!(lease.checkpoint == Position::ShardEnd, finished, "{lease:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn wound_53_given_no_table_when_a_worker_starts_then_the_first_record_comes_within_two_seconds() {
    let world = World::new(92, 1);
    world.put(1);
    let worker = start(&world, "one").await;
    world.log.complete(1).await;
    let took = world.clock.elapsed();
    assert!(took <= Duration::from_secs(2), "{took:?}");
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn given_a_service_in_trouble_when_workers_crash_and_shards_split_then_nothing_is_lost_and_order_is_kept() {
    for seed in [93, 193, 293] {
        splits_and_crashes_in_trouble(seed).await;
    }
}

async fn splits_and_crashes_in_trouble(seed: u64) {
    let world = World::new(seed, 3);
    // The table exists: whoever cannot open it does not begin, and a caller is told so.
    let [first, second] = [store(&world).await, store(&world).await];
    let begin = |name: &str, store: &DynamoDbLeaseStore| run(&world, name, store.clone());
    let trouble = world.broker.trouble();
    for (number, fault) in (0..).zip([
        Fault::throttle(),
        Fault::internal_error(),
        Fault::drop_request(),
        Fault::drop_answer(),
        Fault::latency(Duration::from_millis(400)),
    ]) {
        for operation in ["UpdateItem", "PutItem", "Scan", "GetItem", "DeleteItem"] {
            let fault = fault.clone().on(format!("DynamoDB.{operation}")).table(TABLE);
            trouble.add(fault.probability(0.07).seed(seed + number)).unwrap();
        }
    }
    let (mut one, two) = (begin("one", &first), begin("two", &second));
    for round in 0..4 {
        world.put(200);
        world.log.complete(100 + 200 * round).await;
        let widest = world.open_shards()[0].id.clone();
        world.split(&widest);
        one.crash().await;
        one = begin("one", &first);
    }
    world.log.complete(800).await;
    one.idle().await;
    two.idle().await;
    let struck: u64 = trouble.list().iter().map(|fault| fault.struck).sum();
    assert!(struck > 50, "{struck} strikes");
    trouble.clear();
    one.stop().await.unwrap();
    two.stop().await.unwrap();
    world.log.assert_ordered();
    world.log.assert_parents_before_children(&world.shards());
    let listing = first.list().await.unwrap();
    assert!(listing.unreadable.is_empty(), "{listing:?}");
    assert!(listing.leases.iter().all(|lease| lease.owner.is_none()), "{listing:?}");
}

#[tokio::test(start_paused = true)]
async fn given_leases_of_java_when_its_worker_is_gone_then_ours_goes_on_where_it_was() {
    let world = World::new(94, 1);
    world.put(10);
    let store = store(&world).await;
    let read = world.broker.call(kcl_broker::api::GetShardIterator::trim_horizon(
        "rides",
        shard_id(0).as_str(),
    ));
    let read = world
        .broker
        .call(kcl_broker::api::GetRecords::new(read.unwrap().shard_iterator))
        .unwrap();
    let fourth = read.records[3].sequence_number.to_string();
    // A row as KCL 3.x leaves it: no session, no stream, with what it measured.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: &str| AttributeValue::N(number.to_owned());
    client(&world)
        .put_item()
        .table_name(TABLE)
        .item("leaseKey", text(shard_id(0).as_str()))
        .item("leaseOwner", text("10.0.0.7:5d0f2b6e-9f7a-4d5c-8a6e-0d8b4b5f7a11"))
        .item("leaseCounter", number("1812"))
        .item("ownerSwitchesSinceCheckpoint", number("0"))
        .item("checkpoint", text(&fourth))
        .item("checkpointSubSequenceNumber", number("0"))
        .item("throughputKBps", number("12.345678"))
        .send()
        .await
        .unwrap();
    let worker = start(&world, "rust").await;
    world.log.complete_from(4, 10).await;
    assert_eq!(
        world.log.numbers(),
        [4, 5, 6, 7, 8, 9],
        "what Java had checkpointed does not come again"
    );
    worker.idle().await;
    let row = store.get(&LeaseKey::of_shard(&shard_id(0))).await.unwrap().unwrap();
    assert_eq!(row.owner, Some(WorkerId::new("rust").unwrap()));
    assert!(row.session > Some(Session(0)));
    assert_eq!(row.stream, None);
    worker.stop().await.unwrap();
    let row = client(&world)
        .get_item()
        .table_name(TABLE)
        .key("leaseKey", text(shard_id(0).as_str()));
    let row = row.send().await.unwrap().item.unwrap();
    assert_eq!(row["throughputKBps"], number("12.345678"));
    assert!(
        !row.contains_key("ownerSession") && !row.contains_key("leaseOwner"),
        "{row:?}"
    );
}

/// What a table costs per minute, in steady state.
#[derive(Debug)]
struct Minute {
    updates: f64,
    scans: f64,
    others: f64,
    read_units: f64,
    write_units: f64,
}

/// Lets a fleet with default settings run for three minutes after it has settled, with so many records per shard and second.
async fn cost(workers: usize, shards: i32, records: u64) -> Minute {
    const MINUTES: u64 = 3;
    let world = World::new(95, shards);
    let mut fleet = Vec::new();
    for number in 0..workers {
        let spec = world.worker(&format!("worker-{number}")).store(store(&world).await);
        let spec = spec.config(|config| config.idle_time_at_tip = Duration::from_secs(5));
        fleet.push(spec.function(|_| async {}));
    }
    let shards = usize::try_from(shards).unwrap();
    for worker in &fleet {
        worker.until(|report| held(report) >= shards / workers).await;
    }
    world.pass(Duration::from_secs(30)).await;
    let costs = || world.broker.table_costs(TABLE).unwrap();
    let before = costs();
    for _ in 0..MINUTES * 60 {
        if records > 0 {
            world.put(records * u64::try_from(shards).unwrap());
        }
        world.pass(Duration::from_secs(1)).await;
    }
    let after = costs();
    for worker in fleet {
        worker.stop().await.unwrap();
    }
    let minutes = MINUTES as f64;
    let requests = |operation| (after.of(operation).requests - before.of(operation).requests) as f64 / minutes;
    let (updates, scans) = (requests("UpdateItem"), requests("Scan"));
    Minute {
        updates,
        scans,
        others: (after.total().requests - before.total().requests) as f64 / minutes - updates - scans,
        read_units: (after.total().read_units - before.total().read_units) / minutes,
        write_units: (after.total().write_units - before.total().write_units) / minutes,
    }
}

#[tokio::test(start_paused = true)]
async fn given_settled_fleets_when_counted_then_the_table_costs_no_more_than_its_page_says() {
    for (workers, shards, records, read_units) in [
        (1, 1, 0, 6.0),
        (1, 1, 2, 6.0),
        (2, 10, 0, 120.0),
        (2, 10, 2, 120.0),
        (2, 50, 0, 600.0),
    ] {
        let minute = cost(workers, shards, records).await;
        let per_lease = minute.updates / f64::from(shards);
        assert!(per_lease <= 18.1, "{per_lease} updates per lease: {minute:?}");
        let per_worker = minute.scans / workers as f64;
        // A worker that holds everything learns from its renewals who else wants something.
        let scans = if workers == 1 { 6.4 } else { 60.1 };
        assert!(per_worker <= scans, "{per_worker} scans per worker: {minute:?}");
        assert!(minute.read_units <= read_units + 1.0, "{minute:?}");
        assert!(minute.others < 0.1, "{minute:?}");
        // No row is written with more than a kilobyte, and no index is written that nobody asked for.
        assert!(minute.write_units <= minute.updates + 0.1, "{minute:?}");
    }
}
