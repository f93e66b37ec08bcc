//! Connections to the service that die without a word, and those that are made in their place.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use integration::{Link, LinkState, Running, World, bench::client, held, shard_id};
use kcl_broker::{Broker, Server, api::CreateStream};
use kcl_core::{ApplicationName, Batch, ShardFilter, StreamName};
use kcl_runtime::{KinesisSource, RecordSource, Worker};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

const HOUR: Duration = Duration::from_secs(3_600);

/// A worker whose first client's connections hang sooner or later; the second client has others.
fn start(world: &World, first: &Link, second: &Link, request_timeout: Duration) -> Running {
    let client_of = |link: &Link| world.worker("one").link(link).client();
    let next = client_of(second);
    let source = KinesisSource::new(client_of(first), world.stream.clone())
        .with_request_timeout(request_timeout)
        .with_new_clients(move || next.clone());
    let log = world.log.clone();
    let worker = Worker::builder(
        ApplicationName::new("billing").unwrap(),
        source,
        Arc::clone(&world.store),
    )
    .seed(7)
    .started_at(world.clock.now())
    .function(move |batch: Batch| {
        log.note("one", &batch);
        async {}
    });
    Running::start(worker.build().unwrap())
}

async fn goes_on_over_new_connections(seed: u64, request_timeout: Duration) {
    let world = World::new(seed, 4);
    let (first, second) = (world.link.branch(), world.link.branch());
    let worker = start(&world, &first, &second, request_timeout);
    world.put(40);
    world.log.complete(40).await;
    assert_eq!(second.requests(), 0, "nothing hung yet");
    first.set(LinkState::Hanging);
    world.put(40);
    world.log.complete(80).await;
    assert!(second.requests() > 0);
    // Whoever noticed it, all shards go on over the new connections, and what hung is not asked again.
    world.pass(Duration::from_secs(60)).await;
    let asked = first.requests();
    world.put(40);
    world.log.complete(120).await;
    world.pass(Duration::from_secs(120)).await;
    assert_eq!(first.requests(), asked);
    assert_eq!(held(&worker.report().await), 4);
    worker.stop().await.unwrap();
    assert_eq!(world.log.replays(), 0);
    world.log.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn wound_39_requests_that_reach_their_limit_one_after_the_other_bring_new_connections() {
    goes_on_over_new_connections(810, Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn wound_39_the_watchdog_brings_new_connections_where_requests_never_end() {
    goes_on_over_new_connections(811, HOUR * 24).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_requests_are_slow_now_and_then_costs_no_connections() {
    let world = World::new(812, 1);
    let (first, second) = (world.link.branch(), world.link.branch());
    let worker = start(&world, &first, &second, Duration::from_secs(30));
    for _ in 0..20 {
        world.put(10);
        first.set(LinkState::Hanging);
        // One request reaches its limit, and the next is answered.
        world.pass(Duration::from_secs(2)).await;
        first.set(LinkState::Up);
        world.pass(Duration::from_secs(60)).await;
    }
    world.log.complete(200).await;
    assert_eq!(second.requests(), 0);
    worker.stop().await.unwrap();
}

/// Passes connections on to a broker, and forgets those that there are if it is asked to.
struct Router {
    endpoint: String,
    made: watch::Receiver<u32>,
    /// Connections up to this one are dead: open, and without a word.
    dead: watch::Sender<u32>,
    task: JoinHandle<()>,
}

impl Router {
    async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let to = server.endpoint_url().replace("http://", "");
        let (count, made) = watch::channel(0);
        let (dead, is_dead) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((mut client, _)) = listener.accept().await {
                number += 1;
                count.send_replace(number);
                let mut service = TcpStream::connect(&to).await.unwrap();
                let mut is_dead = is_dead.clone();
                let dies = async move { is_dead.wait_for(|dead| *dead >= number).await.map(drop) };
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        // Both ends stay open for as long as the router lives.
                        _ = dies => std::future::pending().await,
                        _ = copy_bidirectional(&mut client, &mut service) => {}
                    }
                });
            }
        });
        Self {
            endpoint,
            made,
            dead,
            task,
        }
    }
}

#[tokio::test]
async fn a_source_whose_connection_is_dead_makes_another_one_when_it_is_told_to() {
    let broker = Broker::new();
    broker.call(CreateStream::new("rides", 1)).unwrap();
    let server = Server::bind(broker, ([127, 0, 0, 1], 0)).await.unwrap();
    let mut router = Router::before(&server).await;
    // The client's configuration names no HTTP client, as those of applications do.
    let source = KinesisSource::new(client(&router.endpoint), StreamName::new("rides").unwrap());
    for _ in 0..3 {
        let shards = source.list_shards(ShardFilter::All).await.unwrap();
        assert_eq!(shards[0].id, shard_id(0));
    }
    assert_eq!(*router.made.borrow_and_update(), 1, "connections are kept");
    router.dead.send_replace(1);
    source.reconnect();
    source.list_shards(ShardFilter::All).await.unwrap();
    assert_eq!(*router.made.borrow_and_update(), 2);
    // Many shards notice the same thing: that makes one connection, not many.
    source.reconnect();
    source.clone().reconnect();
    source.list_shards(ShardFilter::All).await.unwrap();
    assert_eq!(*router.made.borrow_and_update(), 2);
    router.task.abort();
}
