use super::*;
use crate::api::{
    ConsumerStatus, DeleteStream, DeregisterStreamConsumer, DescribeStreamConsumer, DescribeStreamSummary,
    ListStreamConsumers, RegisterStreamConsumer,
};

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/rides";
const TRANSITION: Duration = Duration::from_secs(10);

fn slow() -> World {
    let config = EngineConfig {
        transition: TRANSITION,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 1);
    world.pass(TRANSITION);
    world
}

fn register(world: &mut World, name: &str) -> String {
    let registered = world.call(RegisterStreamConsumer::new(ARN, name)).unwrap();
    registered.consumer.consumer_arn
}

fn status(world: &mut World, arn: &str) -> ConsumerStatus {
    let described = world.call(DescribeStreamConsumer::by_arn(arn)).unwrap();
    described.consumer.consumer_status
}

fn names(world: &mut World) -> Vec<String> {
    let listed = world.call(ListStreamConsumers::new(ARN)).unwrap();
    listed
        .consumers
        .into_iter()
        .map(|consumer| consumer.consumer_name)
        .collect()
}

#[test]
fn a_registered_consumer_is_described_by_arn_by_name_or_by_both() {
    let mut world = World::with_shards(1);
    let registered = world
        .call(RegisterStreamConsumer::new(ARN, "billing"))
        .unwrap()
        .consumer;
    assert_eq!(registered.consumer_arn, format!("{ARN}/consumer/billing:1357034400"));
    assert_eq!(registered.consumer_status, ConsumerStatus::Creating);
    assert_eq!(registered.consumer_creation_timestamp, START);
    let by_name = DescribeStreamConsumer::by_name(ARN, "billing");
    let by_both = DescribeStreamConsumer {
        consumer_arn: Some(registered.consumer_arn.clone()),
        ..by_name.clone()
    };
    for describe in [
        DescribeStreamConsumer::by_arn(&registered.consumer_arn),
        by_name,
        by_both,
    ] {
        let described = world.call(describe).unwrap();
        assert_eq!(described.stream_arn, ARN);
        assert_eq!(described.consumer.consumer_arn, registered.consumer_arn);
        assert_eq!(described.consumer.consumer_status, ConsumerStatus::Active);
    }
}

#[test]
fn a_consumer_comes_and_goes_in_the_time_that_a_transition_takes() {
    let mut world = slow();
    let arn = register(&mut world, "billing");
    assert_eq!(status(&mut world, &arn), ConsumerStatus::Creating);
    world.pass(TRANSITION - Duration::from_millis(1));
    assert_eq!(status(&mut world, &arn), ConsumerStatus::Creating);
    world.pass(Duration::from_millis(1));
    assert_eq!(status(&mut world, &arn), ConsumerStatus::Active);

    world.call(DeregisterStreamConsumer::by_arn(&arn)).unwrap();
    assert_eq!(status(&mut world, &arn), ConsumerStatus::Deleting);
    assert_kind(
        world.call(RegisterStreamConsumer::new(ARN, "billing")),
        ErrorKind::ResourceInUse,
    );
    world.pass(TRANSITION - Duration::from_millis(1));
    // To deregister it again changes nothing.
    world.call(DeregisterStreamConsumer::by_name(ARN, "billing")).unwrap();
    assert_eq!(names(&mut world), ["billing"]);
    world.pass(Duration::from_millis(1));
    assert_refused(
        world.call(DescribeStreamConsumer::by_name(ARN, "billing")),
        ErrorKind::ResourceNotFound,
        "Consumer billing under stream: rides, account 000000000000 not found.",
    );
    assert_eq!(names(&mut world), Vec::<String>::new());
    register(&mut world, "billing");
}

#[test]
fn a_consumer_that_is_registered_again_is_another_one() {
    let mut world = World::with_shards(1);
    let old = register(&mut world, "billing");
    world.call(DeregisterStreamConsumer::by_arn(&old)).unwrap();
    world.pass(Duration::from_secs(1));
    let new = register(&mut world, "billing");
    assert_ne!(new, old);
    assert_refused(
        world.call(DeregisterStreamConsumer::by_arn(&old)),
        ErrorKind::ResourceNotFound,
        "Consumer billing with creation timestamp 1357034400 under stream: rides, account 000000000000 not found.",
    );
    assert_eq!(status(&mut world, &new), ConsumerStatus::Active);
}

#[test]
fn a_name_is_taken_by_one_consumer_of_a_stream_at_a_time() {
    let mut world = World::with_shards(1);
    register(&mut world, "billing");
    assert_refused(
        world.call(RegisterStreamConsumer::new(ARN, "billing")),
        ErrorKind::ResourceInUse,
        "Consumer billing under stream: rides, account 000000000000 already exists.",
    );
    world.call(CreateStream::new("other", 1)).unwrap();
    world
        .call(RegisterStreamConsumer::new(ARN.replace("rides", "other"), "billing"))
        .unwrap();
}

#[test]
fn a_stream_has_twenty_consumers_at_most() {
    let mut world = World::with_shards(1);
    for i in 0..20 {
        register(&mut world, &format!("c{i}"));
    }
    assert_refused(
        world.call(RegisterStreamConsumer::new(ARN, "more")),
        ErrorKind::LimitExceeded,
        "This request would exceed the limit of 20 registered consumers for stream rides under account 000000000000.",
    );
    world.call(DeregisterStreamConsumer::by_name(ARN, "c7")).unwrap();
    register(&mut world, "more");
}

#[test]
fn five_consumers_can_be_created_at_once() {
    let mut world = slow();
    for i in 0..5 {
        register(&mut world, &format!("c{i}"));
    }
    let sixth = RegisterStreamConsumer::new(ARN, "sixth");
    assert_kind(world.call(sixth.clone()), ErrorKind::LimitExceeded);
    world.pass(TRANSITION);
    world.call(sixth).unwrap();
}

#[test]
fn a_stream_with_consumers_is_deleted_only_if_that_is_said() {
    let mut world = World::with_shards(1);
    register(&mut world, "billing");
    let count = |world: &mut World| {
        let summary = world.call(DescribeStreamSummary::new(STREAM)).unwrap();
        summary.consumer_count
    };
    assert_eq!(count(&mut world), 1);
    let mut delete = DeleteStream::new(STREAM);
    assert_kind(world.call(delete.clone()), ErrorKind::ResourceInUse);
    delete.enforce_consumer_deletion = Some(false);
    assert_kind(world.call(delete.clone()), ErrorKind::ResourceInUse);
    delete.enforce_consumer_deletion = Some(true);
    world.call(delete).unwrap();
    world.call(CreateStream::new(STREAM, 1)).unwrap();
    assert_eq!(names(&mut world), Vec::<String>::new());

    register(&mut world, "billing");
    world.call(DeregisterStreamConsumer::by_name(ARN, "billing")).unwrap();
    assert_eq!(count(&mut world), 0);
    world.call(DeleteStream::new(STREAM)).unwrap();
}

#[test]
fn consumers_are_listed_by_name_page_by_page() {
    let mut world = World::with_shards(1);
    for name in ["d", "b", "e", "a", "c"] {
        register(&mut world, name);
    }
    let mut listed = Vec::new();
    let mut list = ListStreamConsumers {
        max_results: Some(2),
        ..ListStreamConsumers::new(ARN)
    };
    loop {
        let page = world.call(list.clone()).unwrap();
        listed.push(page.consumers.len());
        list.next_token = page.next_token;
        if list.next_token.is_none() {
            break;
        }
    }
    assert_eq!(listed, [2, 2, 1]);
    assert_eq!(names(&mut world), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_listing_goes_on_for_five_minutes_and_in_the_same_life_of_the_stream() {
    let mut world = World::with_shards(1);
    for name in ["a", &"b".repeat(128), "c"] {
        register(&mut world, name);
    }
    let first = ListStreamConsumers {
        max_results: Some(2),
        ..ListStreamConsumers::new(ARN)
    };
    let next = ListStreamConsumers {
        next_token: world.call(first).unwrap().next_token,
        ..ListStreamConsumers::new(ARN)
    };
    world.pass(Duration::from_mins(5));
    assert_eq!(world.call(next.clone()).unwrap().consumers[0].consumer_name, "c");
    let with_creation = ListStreamConsumers {
        stream_creation_timestamp: Some(START),
        ..next.clone()
    };
    assert_kind(world.call(with_creation), ErrorKind::InvalidArgument);
    world.call(CreateStream::new("other", 1)).unwrap();
    let elsewhere = ListStreamConsumers {
        stream_arn: Some(ARN.replace("rides", "other")),
        ..next.clone()
    };
    assert_refused(world.call(elsewhere), ErrorKind::InvalidArgument, "Invalid NextToken.");
    world.pass(Duration::from_millis(1));
    assert_kind(world.call(next), ErrorKind::ExpiredNextToken);
    let forged = ListStreamConsumers {
        next_token: Some("forged".to_owned()),
        ..ListStreamConsumers::new(ARN)
    };
    assert_refused(world.call(forged), ErrorKind::InvalidArgument, "Invalid NextToken.");
}

#[test]
fn a_listing_can_name_the_life_of_the_stream() {
    let mut world = World::with_shards(1);
    let list = |at| ListStreamConsumers {
        stream_creation_timestamp: Some(at),
        ..ListStreamConsumers::new(ARN)
    };
    world.call(list(START)).unwrap();
    assert_kind(
        world.call(list(START.saturating_add(Duration::from_secs(1)))),
        ErrorKind::ResourceNotFound,
    );
}

#[test]
fn a_consumer_that_is_addressed_badly_is_not_looked_for() {
    let mut world = World::with_shards(1);
    let arn = register(&mut world, "billing");
    register(&mut world, "audit");
    world.call(CreateStream::new("other", 1)).unwrap();
    assert_refused(
        world.call(RegisterStreamConsumer::default()),
        ErrorKind::Validation,
        "2 validation errors detected: Value null at 'streamARN' failed to satisfy constraint: Member must not be null; \
         Value null at 'consumerName' failed to satisfy constraint: Member must not be null",
    );
    assert_kind(
        world.call(DescribeStreamConsumer::by_arn("billing")),
        ErrorKind::Validation,
    );
    let long = "9".repeat(2000);
    for arn in [format!("{ARN}/consumer/{long}:1"), format!("{ARN}{long}/consumer/x:1")] {
        assert_kind(world.call(DescribeStreamConsumer::by_arn(arn)), ErrorKind::Validation);
    }
    assert_kind(
        world.call(ListStreamConsumers::new(format!("{ARN}{long}"))),
        ErrorKind::Validation,
    );
    assert_kind(
        world.call(RegisterStreamConsumer::new(ARN, "no spaces")),
        ErrorKind::Validation,
    );
    let nothing = DeregisterStreamConsumer::default();
    let without_name = DeregisterStreamConsumer {
        stream_arn: Some(ARN.to_owned()),
        ..nothing.clone()
    };
    let other_name = DeregisterStreamConsumer {
        consumer_name: Some("audit".to_owned()),
        ..DeregisterStreamConsumer::by_arn(&arn)
    };
    let other_stream = DeregisterStreamConsumer {
        stream_arn: Some(ARN.replace("rides", "other")),
        ..DeregisterStreamConsumer::by_arn(&arn)
    };
    for deregister in [nothing, without_name, other_name, other_stream] {
        assert_kind(world.call(deregister), ErrorKind::InvalidArgument);
    }
    assert_kind(
        world.call(RegisterStreamConsumer::new(ARN.replace("rides", "none"), "billing")),
        ErrorKind::ResourceNotFound,
    );
    assert_eq!(names(&mut world), ["audit", "billing"]);
}
