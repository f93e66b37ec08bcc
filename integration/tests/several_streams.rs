//! One application, several streams: shared by one fleet, each with its own shards, place and trouble.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use integration::{Link, Running, World, held, shard_id};
use kcl_broker::{
    Broker, EngineConfig,
    api::{CreateStream, PutRecord},
    operations_log::OperationFilter,
};
use kcl_core::{
    ApplicationName, Batch, InitialPosition, Lease, Position, StreamArn, StreamId, StreamName, WorkerId,
    worker::{FormerStreams, WorkerFailure},
};
use kcl_runtime::{Config, KinesisSource, StreamConfig, Worker, WorkerError};

fn stream_of(world: &World) -> StreamConfig {
    StreamConfig::new(KinesisSource::new(world.worker("any").client(), world.stream.clone()))
}

fn config() -> Config {
    let mut config = Config::default();
    config.failover_time = Duration::from_secs(3);
    config.shard_sync_interval = Duration::from_secs(10);
    config.max_records = 20;
    config
}

/// Starts a worker that reads these streams and notes what it gets in the log of each.
fn start_with(name: &str, config: Config, streams: &[&World], known: &[&World]) -> Running {
    let world = known[0];
    let logs: BTreeMap<StreamName, _> = known
        .iter()
        .map(|world| (world.stream.clone(), world.log.clone()))
        .collect();
    let who = name.to_owned();
    let salt = name.bytes().map(u64::from).sum::<u64>();
    let worker = Worker::of_streams(
        ApplicationName::new("billing").unwrap(),
        streams.iter().map(|world| stream_of(world)),
        Arc::clone(&world.store),
    )
    .worker_id(WorkerId::new(name).unwrap())
    .config(config)
    .seed(world.seed ^ salt)
    .started_at(world.clock.now())
    .function(move |batch: Batch| {
        assert_eq!(batch.stream_id().unwrap().name(), batch.stream());
        logs[batch.stream()].note(&who, &batch);
        async {}
    })
    .checkpoint_interval(Duration::from_secs(1))
    .build()
    .unwrap();
    Running::start(worker)
}

fn start(name: &str, streams: &[&World], known: &[&World]) -> Running {
    start_with(name, config(), streams, known)
}

/// The rows of a stream.
async fn rows(world: &World) -> Vec<Lease> {
    let mut leases = world.leases().await;
    leases.retain(|lease| lease.stream_id().is_some_and(|stream| *stream.name() == world.stream));
    leases
}

fn of<'a>(leases: &'a [Lease], world: &World) -> Vec<&'a Lease> {
    leases
        .iter()
        .filter(|lease| lease.stream_id().is_some_and(|stream| *stream.name() == world.stream))
        .collect()
}

/// Two workers that share all leases evenly.
async fn balanced(one: &Running, two: &Running) {
    loop {
        let (first, second) = (one.idle().await, two.idle().await);
        if held(&first).abs_diff(held(&second)) <= 1 && held(&first) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_reads_two_streams_through_reshards_while_a_third_comes_and_one_goes() {
    let rides = World::new(901, 2);
    let (fares, tips) = (rides.beside("fares", 3), rides.beside("tips", 1));
    let all = [&rides, &fares, &tips];
    let (one, two) = (start("one", &all[..2], &all), start("two", &all[..2], &all));
    for world in all {
        world.put(100);
    }
    rides.log.complete(100).await;
    fares.log.complete(100).await;
    balanced(&one, &two).await;

    // Shards of the same ids go different ways.
    rides.split(&shard_id(0));
    fares.merge(&shard_id(0), &shard_id(1));
    rides.put(100);
    fares.put(100);
    rides.log.complete(200).await;
    fares.log.complete(200).await;
    balanced(&one, &two).await;

    // The third starts at its own place: what is there already is none of its business.
    for worker in [&one, &two] {
        let tips = stream_of(&tips).initial_position(InitialPosition::Latest);
        worker.handle.add_stream(tips).await;
        worker
            .until(|report| report.streams.len() == 3 && report.is_idle())
            .await;
    }
    tips.put(50);
    tips.log.complete_from(100, 150).await;
    balanced(&one, &two).await;
    assert!(tips.log.numbers().iter().all(|number| *number >= 100));

    // One goes: its leases are given back where they were, and what comes now waits.
    for worker in [&one, &two] {
        assert_eq!(worker.handle.remove_stream(fares.stream.clone()).await, 1);
    }
    fares
        .table_until(|leases| of(leases, &fares).iter().all(|lease| lease.owner.is_none()))
        .await;
    fares.put(30);
    let before = rows(&fares).await;
    fares.pass(Duration::from_secs(30)).await;
    assert_eq!(rows(&fares).await, before, "rows of a removed stream are left alone");
    balanced(&one, &two).await;
    rides.put(20);
    rides.log.complete(220).await;
    for worker in [one, two] {
        worker.stop().await.unwrap();
    }

    // The next life goes on where each of them was.
    let again = start("three", &all, &all);
    again.idle().await;
    fares.log.complete(230).await;
    tips.put(10);
    tips.log.complete_from(150, 160).await;
    again.stop().await.unwrap();
    for (world, put) in [(&rides, 220), (&fares, 230), (&tips, 160)] {
        assert_eq!(world.put_so_far(), put);
        assert_eq!(world.log.replays(), 0, "{}: nobody crashed", world.stream);
        world.log.assert_ordered();
        let leases = rows(world).await;
        assert!(leases.iter().all(|lease| lease.owner.is_none()));
        let stream = leases[0].stream_id().unwrap();
        assert!(leases.iter().all(|lease| lease.key == stream.key_of(&lease.shard)));
    }
    for world in [&rides, &fares] {
        world.log.assert_parents_before_children(&world.shards());
    }
}

#[tokio::test(start_paused = true)]
async fn wound_08_a_hand_off_among_several_streams_is_finished_and_replays_nothing() {
    let rides = World::new(909, 3);
    let fares = rides.beside("fares", 3);
    let all = [&rides, &fares];
    let one = start("one", &all, &all);
    rides.put(60);
    fares.put(60);
    one.until(|report| held(report) == 6).await;
    let two = start("two", &all, &all);
    two.until(|report| held(report) == 3).await;
    rides.put(60);
    fares.put(60);
    rides.log.complete(120).await;
    fares.log.complete(120).await;
    balanced(&one, &two).await;
    assert_eq!(rides.log.replays() + fares.log.replays(), 0);
    for worker in [one, two] {
        worker.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_is_followed_in_every_stream() {
    let rides = World::new(902, 3);
    let fares = rides.beside("fares", 3);
    let all = [&rides, &fares];
    let (one, two) = (start("one", &all, &all), start("two", &all, &all));
    rides.put(60);
    fares.put(60);
    balanced(&one, &two).await;
    one.crash().await;
    rides.put(60);
    fares.put(60);
    rides.log.complete(120).await;
    fares.log.complete(120).await;
    two.until(|report| held(report) == 6).await;
    two.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wound_47_a_deleted_stream_is_forgotten_and_one_of_its_name_is_another() {
    let mut rides = World::without_stream(903);
    let clock = rides.clock;
    rides.broker = Broker::builder()
        .clock(Arc::new(move || clock.now()))
        .operations_max(10_000)
        .build();
    rides.link = Link::new(&rides.broker);
    rides.create_stream(2);
    let fares = rides.beside("fares", 2);
    let all = [&rides, &fares];
    let worker = start("one", &all, &all);
    rides.put(40);
    fares.put(40);
    rides.log.complete(40).await;
    fares.log.complete(40).await;
    worker.idle().await;

    fares.delete_stream();
    let lost = worker
        .until(|report| report.streams.iter().any(|stream| stream.id.is_none()))
        .await;
    assert!(!lost.is_idle(), "it is looked for");
    rides.put(40);
    rides.log.complete(80).await;
    fares
        .table_until(|leases| of(leases, &fares).iter().all(|lease| lease.owner.is_none()))
        .await;
    let left = rows(&fares).await;
    assert_eq!(left.len(), 2, "its leases are left alone: {left:?}");

    // From now on there is one question in each interval, and no other call about it.
    let from = rides.broker.operations().last_serial();
    fares.pass(Duration::from_secs(100)).await;
    let mut filter = OperationFilter::default();
    filter.after = Some(from);
    filter.stream = Some("fares".to_owned());
    let about: Vec<_> = rides
        .broker
        .operations()
        .entries(&filter)
        .iter()
        .map(|call| call.operation.to_string())
        .collect();
    assert!(
        (9..=11).contains(&about.len()) && about.iter().all(|call| call == "DescribeStreamSummary"),
        "{about:?}"
    );

    // Another one under its name begins at the beginning; the rows of the former one stay what they were.
    fares.create_stream(1);
    fares.put(20);
    fares.log.complete_from(40, 60).await;
    worker.idle().await;
    worker.stop().await.unwrap();
    let both = rows(&fares).await;
    assert_eq!(both.len(), 3, "{both:?}");
    assert!(left.iter().all(|lease| both.contains(lease)));
    assert_eq!(rides.log.replays() + fares.log.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_exist_yet_holds_up_no_other() {
    let rides = World::new(904, 2);
    let mut fares = rides.clone();
    fares.stream = StreamName::new("fares").unwrap();
    let later = start("one", &[&fares, &rides], &[&rides, &fares]);
    rides.put(40);
    rides.log.complete(40).await;
    let report = later.report().await;
    let problem = report.streams.iter().find_map(|stream| stream.problem.clone());
    assert!(problem.unwrap().contains("fares"));
    fares.create_stream(1);
    later.idle().await;
    later.stop().await.unwrap();
    assert_eq!(rows(&fares).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn wound_28_the_one_setting_counts_for_every_stream_without_its_own_also_for_one_that_comes_later() {
    let rides = World::new(907, 2);
    let (fares, tips) = (rides.beside("fares", 2), rides.beside("tips", 1));
    for world in [&rides, &fares, &tips] {
        world.put(20);
    }
    rides.pass(Duration::from_secs(60)).await;
    let mut config = config();
    config.initial_position = InitialPosition::Latest;
    let logs = [&rides, &fares, &tips].map(|world| (world.stream.clone(), world.log.clone()));
    let logs: BTreeMap<StreamName, _> = logs.into_iter().collect();
    let worker = Worker::of_streams(
        ApplicationName::new("billing").unwrap(),
        [
            stream_of(&rides),
            stream_of(&fares).initial_position(InitialPosition::TrimHorizon),
        ],
        Arc::clone(&rides.store),
    );
    let worker = worker
        .config(config)
        .seed(907)
        .started_at(rides.clock.now())
        .function(move |batch: Batch| {
            logs[batch.stream()].note("one", &batch);
            async {}
        });
    let worker = Running::start(worker.build().unwrap());
    worker.idle().await;
    worker.handle.add_stream(stream_of(&tips)).await;
    tips.table_until(|leases| of(leases, &tips).len() == 1).await;
    worker.idle().await;
    for world in [&rides, &fares, &tips] {
        world.put(20);
    }
    rides.log.complete_from(20, 40).await;
    fares.log.complete(40).await;
    tips.log.complete_from(20, 40).await;
    worker.idle().await;
    worker.stop().await.unwrap();
    let delivered = [&rides, &fares, &tips].map(|world| world.log.all().len());
    assert_eq!(delivered, [20, 40, 20]);
}

#[tokio::test(start_paused = true)]
async fn former_streams_are_deleted_where_that_is_asked_for() {
    let rides = World::new(905, 1);
    let fares = rides.beside("fares", 2);
    let all = [&rides, &fares];
    let mut config = config();
    config.former_streams = FormerStreams::DeleteAfter(Duration::from_secs(60));
    let worker = start_with("one", config, &all, &all);
    fares.put(10);
    fares.log.complete(10).await;
    worker.idle().await;
    worker.handle.remove_stream(fares.stream.clone()).await;
    rides.pass(Duration::from_secs(50)).await;
    assert_eq!(rows(&fares).await.len(), 2);
    rides.pass(Duration::from_secs(20)).await;
    assert_eq!(rows(&fares).await, []);
    assert_eq!(rows(&rides).await.len(), 1);
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_name_in_two_accounts_are_read_by_arn_each_through_its_own_client() {
    let ours = World::new(906, 1);
    let clock = ours.clock;
    let config = EngineConfig {
        account: "111122223333".to_owned(),
        ..EngineConfig::default()
    };
    let theirs = Broker::builder()
        .config(config)
        .clock(Arc::new(move || clock.now()))
        .build();
    theirs.call(CreateStream::new("rides", 1)).unwrap();
    let sources = [
        (Link::new(&ours.broker), "000000000000"),
        (Link::new(&theirs), "111122223333"),
    ]
    .map(|(link, account)| {
        let arn: StreamArn = format!("arn:aws:kinesis:us-east-1:{account}:stream/rides")
            .parse()
            .unwrap();
        KinesisSource::by_arn(ours.worker("one").link(&link).client(), arn)
    });
    let (sender, mut got) = tokio::sync::mpsc::channel(2);
    let worker = Worker::of_streams(
        ApplicationName::new("billing").unwrap(),
        sources.map(StreamConfig::new),
        Arc::clone(&ours.store),
    )
    .started_at(ours.clock.now())
    .seed(906)
    .function(move |batch: Batch| {
        for record in &batch {
            let account = batch.stream_id().unwrap().account().to_string();
            sender
                .try_send((account, String::from_utf8(record.data.to_vec()).unwrap()))
                .unwrap();
        }
        async {}
    })
    .build()
    .unwrap();
    let worker = Running::start(worker);
    ours.broker.call(PutRecord::new("rides", "key", "ours")).unwrap();
    theirs.call(PutRecord::new("rides", "key", "theirs")).unwrap();
    let mut both = [got.recv().await.unwrap(), got.recv().await.unwrap()];
    both.sort();
    assert_eq!(
        both,
        [
            ("000000000000".to_owned(), "ours".to_owned()),
            ("111122223333".to_owned(), "theirs".to_owned())
        ]
    );
    let report = worker.idle().await;
    let accounts: Vec<String> = report
        .worker
        .leases
        .iter()
        .filter_map(|lease| lease.lease.stream_id())
        .map(|stream| stream.account().to_string())
        .collect();
    assert_eq!(accounts, ["000000000000", "111122223333"]);
    worker.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_application_of_one_stream_and_one_of_several_do_not_mix() {
    let rides = World::new(907, 1);
    let single = rides.worker("single").logging();
    rides.put(10);
    rides.log.complete(10).await;
    single.stop().await.unwrap();
    let error = start("several", &[&rides], &[&rides]).ended().await.unwrap_err();
    assert!(
        matches!(error, WorkerError::Failed(WorkerFailure::OneStream { .. })),
        "{error:?}"
    );
    assert_eq!(rides.log.replays(), 0, "nothing is read again");

    let rides = World::new(908, 1);
    let several = start("several", &[&rides], &[&rides]);
    rides.put(10);
    several.idle().await;
    several.stop().await.unwrap();
    let error = rides.worker("single").logging().ended().await.unwrap_err();
    assert!(
        matches!(error, WorkerError::Failed(WorkerFailure::SeveralStreams { .. })),
        "{error:?}"
    );
    let row = rows(&rides).await.remove(0);
    let stream: &StreamId = row.stream_id().unwrap();
    assert_eq!(row.key.to_string(), format!("{stream}:shardId-000000000000"));
    assert!(matches!(row.checkpoint, Position::Record(_)));
}

/// One worker takes the application for one of a stream, one for one of several, and both find the table empty.
#[tokio::test(start_paused = true)]
async fn an_application_begun_as_both_kinds_at_once_ends_up_as_one_of_them() {
    let mut stayed = BTreeMap::new();
    for seed in 920..940 {
        let rides = World::new(seed, 3);
        rides.put(30);
        // The one is ahead, or the other, or both go on side by side.
        let ahead = Duration::from_millis((seed / 2 % 5) * 3);
        let (single, several) = if seed.is_multiple_of(2) {
            let single = rides.worker("single").logging();
            rides.pass(ahead).await;
            (single, start("several", &[&rides], &[&rides]))
        } else {
            let several = start("several", &[&rides], &[&rides]);
            rides.pass(ahead).await;
            (rides.worker("single").logging(), several)
        };
        let (mut single, mut several) = (Box::pin(single.ended()), Box::pin(several.ended()));
        let (error, is_single) = tokio::select! {
            ended = &mut single => (ended.unwrap_err(), false),
            ended = &mut several => (ended.unwrap_err(), true),
        };
        let is_told = match &error {
            WorkerError::Failed(WorkerFailure::OneStream { .. }) => is_single,
            WorkerError::Failed(WorkerFailure::SeveralStreams { .. }) => !is_single,
            _ => false,
        };
        assert!(is_told, "seed {seed}: {error:?}");
        *stayed.entry(is_single).or_insert(0) += 1;
        rides.log.complete(30).await;
        rides.put(10);
        rides.log.complete(40).await;
        assert_eq!(rides.log.replays(), 0, "seed {seed}: nobody reads beside the other");
        let leases = rides.leases().await;
        let of_one: Vec<bool> = leases.iter().map(|row| row.stream_id().is_none()).collect();
        assert_eq!(of_one, [is_single; 3], "seed {seed}");
    }
    assert_eq!(
        stayed.len(),
        2,
        "whether the worker of one stream stayed, and how often: {stayed:?}"
    );
}
