use super::*;
use crate::api::{
    DeleteResourcePolicy, DeleteStream, DeregisterStreamConsumer, GetResourcePolicy, PutResourcePolicy,
    RegisterStreamConsumer,
};

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/rides";
const POLICY: &str = r#" {"Version": "2012-10-17", "Statement": []} "#;

fn policy(world: &mut World, arn: &str) -> Result<String, ApiError> {
    world.call(GetResourcePolicy::new(arn)).map(|output| output.policy)
}

#[test]
fn a_policy_comes_back_letter_by_letter_until_it_is_deleted() {
    let mut world = World::with_shards(1);
    let registered = world.call(RegisterStreamConsumer::new(ARN, "billing")).unwrap();
    let consumer = registered.consumer.consumer_arn;
    world.call(PutResourcePolicy::new(ARN, POLICY)).unwrap();
    assert_eq!(policy(&mut world, ARN).unwrap(), POLICY);
    assert_refused(
        policy(&mut world, &consumer),
        ErrorKind::ResourceNotFound,
        &format!("No resource policy found for resource {consumer}."),
    );
    world.call(PutResourcePolicy::new(&consumer, "{}")).unwrap();
    world.call(PutResourcePolicy::new(ARN, r#"{"Id": "other"}"#)).unwrap();
    assert_eq!(policy(&mut world, ARN).unwrap(), r#"{"Id": "other"}"#);
    world.call(DeleteResourcePolicy::new(ARN)).unwrap();
    assert_kind(policy(&mut world, ARN), ErrorKind::ResourceNotFound);
    assert_eq!(policy(&mut world, &consumer).unwrap(), "{}");
    world.call(DeleteResourcePolicy::new(ARN)).unwrap();
}

#[test]
fn a_policy_goes_with_its_resource() {
    let mut world = World::with_shards(1);
    let registered = world.call(RegisterStreamConsumer::new(ARN, "billing")).unwrap();
    let consumer = registered.consumer.consumer_arn;
    world.call(PutResourcePolicy::new(&consumer, "{}")).unwrap();
    world.call(PutResourcePolicy::new(ARN, "{}")).unwrap();
    world.call(DeregisterStreamConsumer::by_arn(&consumer)).unwrap();
    world.call(RegisterStreamConsumer::new(ARN, "billing")).unwrap();
    assert_kind(policy(&mut world, &consumer), ErrorKind::ResourceNotFound);
    world.call(DeregisterStreamConsumer::by_arn(&consumer)).unwrap();
    world.call(DeleteStream::new(STREAM)).unwrap();
    world.call(CreateStream::new(STREAM, 1)).unwrap();
    assert_kind(policy(&mut world, ARN), ErrorKind::ResourceNotFound);
}

#[test]
fn a_policy_is_an_object_in_json_of_limited_size() {
    let mut world = World::with_shards(1);
    let long = format!(r#"{{"Id": "{}"}}"#, "x".repeat(20 << 10));
    for bad in ["", "policy", "[]", "{", r#"{"Id": }"#, "{} {}", long.as_str()] {
        assert_kind(world.call(PutResourcePolicy::new(ARN, bad)), ErrorKind::InvalidArgument);
    }
    assert_kind(policy(&mut world, ARN), ErrorKind::ResourceNotFound);
    assert_kind(world.call(PutResourcePolicy::default()), ErrorKind::Validation);
}

#[test]
fn a_policy_is_put_only_on_what_is_active() {
    let transition = Duration::from_secs(10);
    let config = EngineConfig {
        transition,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 1);
    let put = PutResourcePolicy::new(ARN, POLICY);
    assert_kind(world.call(put.clone()), ErrorKind::ResourceInUse);
    world.pass(transition);
    world.call(put).unwrap();
    let registered = world.call(RegisterStreamConsumer::new(ARN, "billing")).unwrap();
    let put = PutResourcePolicy::new(registered.consumer.consumer_arn, POLICY);
    assert_refused(
        world.call(put.clone()),
        ErrorKind::ResourceInUse,
        "Consumer billing with creation timestamp 1357034410 under stream: rides, account 000000000000 is not in ACTIVE \
         status.",
    );
    world.pass(transition);
    world.call(put).unwrap();
}
