use super::*;
use crate::api::{
    AccountSettings, BillingCommitment, BillingCommitmentStatus as Status, DeleteStream, DescribeAccountSettings,
    DescribeLimits, RegisterStreamConsumer, StreamModeDetails, UpdateAccountSettings,
};

const DAY: Duration = Duration::from_hours(24);

fn on_demand(name: &str) -> CreateStream {
    CreateStream {
        stream_name: Some(name.to_owned()),
        stream_mode_details: Some(StreamModeDetails {
            stream_mode: Some("ON_DEMAND".to_owned()),
        }),
        ..CreateStream::default()
    }
}

fn commitment(settings: AccountSettings) -> BillingCommitment {
    settings.minimum_throughput_billing_commitment
}

/// The status, the start, the end and the earliest end.
type Shown = (Status, Option<Timestamp>, Option<Timestamp>, Option<Timestamp>);

fn shown(settings: AccountSettings) -> Shown {
    let commitment = commitment(settings);
    (
        commitment.status,
        commitment.started_at,
        commitment.ended_at,
        commitment.earliest_allowed_end_at,
    )
}

fn described(world: &mut World) -> Shown {
    shown(world.call(DescribeAccountSettings::default()).unwrap())
}

fn set(world: &mut World, status: &str) -> Shown {
    shown(world.call(UpdateAccountSettings::with_commitment(status)).unwrap())
}

#[test]
fn limits_tell_what_is_used_up() {
    let config = EngineConfig {
        open_shards_max: 30,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 2);
    world.call(on_demand("elastic")).unwrap();
    world.split(FIRST, HashKey(7));
    let limits = world.call(DescribeLimits::default()).unwrap();
    assert_eq!((limits.shard_limit, limits.open_shard_count), (30, 7));
    assert_eq!(
        (limits.on_demand_stream_count, limits.on_demand_stream_count_limit),
        (1, 50)
    );
    world.call(DeleteStream::new("elastic")).unwrap();
    let limits = world.call(DescribeLimits::default()).unwrap();
    assert_eq!((limits.open_shard_count, limits.on_demand_stream_count), (3, 0));
}

#[test]
fn a_commitment_holds_for_a_day_at_least() {
    let mut world = World::with_shards(1);
    let (start, earliest) = (Some(START), Some(START.saturating_add(DAY)));
    assert_eq!(described(&mut world), (Status::Disabled, None, None, None));
    assert_eq!(set(&mut world, "DISABLED"), (Status::Disabled, None, None, None));
    assert_eq!(set(&mut world, "ENABLED"), (Status::Enabled, start, None, earliest));
    world.pass(DAY / 2);
    assert_eq!(set(&mut world, "ENABLED"), (Status::Enabled, start, None, earliest));
    let ending = (Status::EnabledUntilEarliestAllowedEnd, start, None, earliest);
    assert_eq!(set(&mut world, "DISABLED"), ending);
    world.pass(DAY / 2 - Duration::from_millis(1));
    assert_eq!(set(&mut world, "DISABLED"), ending);
    assert_eq!(described(&mut world), ending);
    world.pass(Duration::from_millis(1));
    assert_eq!(described(&mut world), (Status::Disabled, start, earliest, None));
}

#[test]
fn a_commitment_that_is_to_end_can_be_kept() {
    let mut world = World::with_shards(1);
    let (start, earliest) = (Some(START), Some(START.saturating_add(DAY)));
    set(&mut world, "ENABLED");
    set(&mut world, "DISABLED");
    assert_eq!(set(&mut world, "ENABLED"), (Status::Enabled, start, None, earliest));
    world.pass(2 * DAY);
    assert_eq!(described(&mut world), (Status::Enabled, start, None, earliest));
    let end = Some(world.now);
    assert_eq!(set(&mut world, "DISABLED"), (Status::Disabled, start, end, None));
    world.pass(DAY);
    assert_eq!(set(&mut world, "DISABLED"), (Status::Disabled, start, end, None));
    let again = Some(world.now);
    let earliest = Some(world.now.saturating_add(DAY));
    assert_eq!(set(&mut world, "ENABLED"), (Status::Enabled, again, None, earliest));
}

#[test]
fn an_on_demand_stream_of_a_committed_account_has_fifty_consumers() {
    let mut world = World::with_shards(1);
    world.call(on_demand("elastic")).unwrap();
    let register = |stream: &str, i: usize| {
        let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}");
        RegisterStreamConsumer::new(arn, format!("c{i}"))
    };
    for i in 0..20 {
        world.call(register("elastic", i)).unwrap();
        world.call(register(STREAM, i)).unwrap();
    }
    assert_kind(world.call(register("elastic", 20)), ErrorKind::LimitExceeded);
    set(&mut world, "ENABLED");
    for i in 20..50 {
        world.call(register("elastic", i)).unwrap();
    }
    assert_kind(world.call(register("elastic", 50)), ErrorKind::LimitExceeded);
    assert_kind(world.call(register(STREAM, 20)), ErrorKind::LimitExceeded);
}

#[test]
fn an_update_says_what_it_wants() {
    let mut world = World::with_shards(1);
    let nothing = UpdateAccountSettings::default();
    assert_refused(
        world.call(nothing),
        ErrorKind::Validation,
        "1 validation error detected: Value null at 'minimumThroughputBillingCommitment' failed to satisfy constraint: \
         Member must not be null",
    );
    assert_refused(
        world.call(UpdateAccountSettings::with_commitment("ON")),
        ErrorKind::Validation,
        "1 validation error detected: Value 'ON' at 'minimumThroughputBillingCommitment.status' failed to satisfy \
         constraint: Member must satisfy enum value set: [ENABLED, DISABLED]",
    );
}
