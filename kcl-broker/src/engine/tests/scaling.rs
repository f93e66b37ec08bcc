//! Giving a stream another number of shards.

use super::*;
use crate::{
    api::{DescribeStreamSummary, StreamModeDetails, UpdateShardCount},
    engine::Limits,
};

impl World {
    pub(super) fn scale(&mut self, target: i32) -> Result<(usize, usize), ApiError> {
        let output = self.call(UpdateShardCount::new(STREAM, target))?;
        Ok((output.current_shard_count, output.target_shard_count))
    }

    fn open_ranges(&mut self) -> Vec<(u128, u128)> {
        let mut shards = self.shards();
        shards.retain(|shard| shard.ending_sequence_number.is_none());
        let range = |shard: &Shard| (shard.hash_key_range.start.0, shard.hash_key_range.end.0);
        let mut ranges: Vec<_> = shards.iter().map(range).collect();
        ranges.sort_unstable();
        ranges
    }

    /// Whether the open shards are so many, serve every key, and are as wide as those of a new stream, but for a few keys.
    fn is_even(&mut self, count: i32) -> bool {
        let (ranges, even) = (self.open_ranges(), Self::with_shards(count).open_ranges());
        let without_holes = ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0);
        let ends = (ranges.first().map(|first| first.0), ranges.last().map(|last| last.1));
        let near = ranges
            .iter()
            .zip(&even)
            .all(|(one, other)| one.0.abs_diff(other.0) < 100);
        ranges.len() == even.len() && without_holes && ends == (Some(0), Some(u128::MAX)) && near
    }
}

#[test]
fn shards_are_split_and_merged_until_they_are_even() {
    let mut world = World::with_shards(2);
    let steps = [
        (3, (2, 3)),
        (6, (3, 6)),
        (4, (6, 4)),
        (4, (4, 4)),
        (2, (4, 2)),
        (1, (2, 1)),
    ];
    for (target, counts) in steps {
        assert_eq!(world.scale(target).unwrap(), counts);
        assert!(world.is_even(target), "{target}");
        let summary = world.call(DescribeStreamSummary::new(STREAM)).unwrap();
        assert_eq!(summary.open_shard_count, counts.1);
    }
}

#[test]
fn every_child_has_the_parents_whose_keys_it_serves_and_comes_after_them() {
    let mut world = World::with_shards(3);
    world.split(FIRST, HashKey(1000));
    world.scale(7).unwrap();
    world.scale(5).unwrap();
    let shards = world.shards();
    for child in &shards {
        let parents: Vec<_> = child
            .parents()
            .map(|id| shards.iter().find(|shard| shard.id == *id).unwrap())
            .collect();
        for parent in &parents {
            assert!(parent.ending_sequence_number < child.starting_sequence_number);
        }
        let (range, ranges): (_, Vec<_>) = (
            child.hash_key_range,
            parents.iter().map(|parent| parent.hash_key_range).collect(),
        );
        match ranges[..] {
            [] => assert!(ids(&shards)[..3].contains(&child.id.as_str())),
            [parent] => assert!(parent.start <= range.start && range.end <= parent.end && parent != range),
            [one, other] => assert_eq!(
                (one.start, HashKey(one.end.0 + 1), other.end),
                (range.start, other.start, range.end)
            ),
            _ => panic!("{child:?}"),
        }
    }
}

#[test]
fn an_update_counts_when_it_is_over() {
    const TRANSITION: Duration = Duration::from_secs(30);
    let config = EngineConfig {
        transition: TRANSITION,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 2);
    assert_kind(world.scale(3), ErrorKind::ResourceInUse);
    world.pass(TRANSITION);
    assert_eq!(world.scale(3).unwrap(), (2, 3));
    assert!(world.is_even(2));
    assert_kind(world.scale(4), ErrorKind::ResourceInUse);
    world.put("key", "meanwhile");
    world.pass(TRANSITION);
    assert!(world.is_even(3));
}

#[test]
fn a_target_that_is_too_far_away_is_refused() {
    let mut world = World::with_shards(3);
    assert_refused(
        world.scale(7),
        ErrorKind::LimitExceeded,
        "UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: 3, \
         Target shard count: 7",
    );
    assert_refused(
        world.scale(1),
        ErrorKind::LimitExceeded,
        "UpdateShardCount cannot scale down below half your current open shard count. Current open shard count: 3, \
         Target shard count: 1",
    );
    assert_refused(
        world.scale(10_001),
        ErrorKind::LimitExceeded,
        "Target shard count or number of open shards cannot be greater than 10000. Current open shard count: 3, Target \
         shard count: 10001",
    );
    assert_kind(world.scale(0), ErrorKind::Validation);
    let other_type = UpdateShardCount {
        scaling_type: Some("RANDOM_SCALING".to_owned()),
        ..UpdateShardCount::new(STREAM, 2)
    };
    assert_refused(
        world.call(other_type),
        ErrorKind::Validation,
        "1 validation error detected: Value 'RANDOM_SCALING' at 'scalingType' failed to satisfy constraint: Member must \
         satisfy enum value set: [UNIFORM_SCALING]",
    );
    assert_kind(
        world.call(UpdateShardCount {
            scaling_type: None,
            ..UpdateShardCount::new(STREAM, 2)
        }),
        ErrorKind::Validation,
    );
    assert!(world.is_even(3));
}

#[test]
fn shards_that_live_for_no_time_count_against_the_limit_too() {
    let config = EngineConfig {
        open_shards_max: 3,
        ..EngineConfig::default()
    };
    // From two shards to three each of the two is split first, which makes four.
    let mut world = World::with_config(config, 2);
    assert_kind(world.scale(3), ErrorKind::LimitExceeded);
    assert!(world.is_even(2));
}

#[test]
fn the_service_counts_the_shards_of_an_on_demand_stream() {
    let mut world = World::with_shards(1);
    let create = CreateStream {
        stream_name: Some("elastic".to_owned()),
        stream_mode_details: Some(StreamModeDetails {
            stream_mode: Some("ON_DEMAND".to_owned()),
        }),
        ..CreateStream::default()
    };
    world.call(create).unwrap();
    assert_kind(world.call(UpdateShardCount::new("elastic", 5)), ErrorKind::Validation);
}

#[test]
fn a_stream_is_scaled_ten_times_a_day_if_limits_hold() {
    for (limits, times) in [(Limits::Aws, 10), (Limits::Off, 30)] {
        let config = EngineConfig {
            limits,
            ..EngineConfig::default()
        };
        let mut world = World::with_config(config, 1);
        for n in 0..times {
            world.pass(Duration::from_secs(60));
            world.scale(1 + (n + 1) % 2).unwrap();
        }
        let eleventh = world.scale(1);
        if limits == Limits::Off {
            eleventh.unwrap();
            continue;
        }
        assert_kind(eleventh, ErrorKind::LimitExceeded);
        // A day after the first time.
        world.pass(Duration::from_hours(24) - Duration::from_secs(9 * 60) - Duration::from_millis(1));
        assert_kind(world.scale(1), ErrorKind::LimitExceeded);
        world.pass(Duration::from_millis(1));
        world.scale(1).unwrap();
    }
}
