use super::*;
use crate::api::{MergeShards, ShardFilter};

const MINUTE: Duration = Duration::from_secs(60);

fn filter(kind: &str) -> ShardFilter {
    ShardFilter {
        kind: Some(kind.to_owned()),
        ..ShardFilter::default()
    }
}

fn listed(world: &mut World, filter: ShardFilter) -> Vec<u32> {
    let list = ListShards {
        shard_filter: Some(filter),
        ..ListShards::new(STREAM)
    };
    let shards = world.call(list).unwrap().shards;
    shards
        .iter()
        .map(|shard| shard.id.as_str()[8..].parse().unwrap())
        .collect()
}

/// Two shards; after a minute the first is split into 2 and 3; after another, 2 and 3 are merged into 4.
fn world() -> World {
    let mut world = World::with_shards(2);
    world.pass(MINUTE);
    world.split(FIRST, HashKey(1000));
    world.pass(MINUTE);
    world.call(MergeShards::new(STREAM, "2", "3")).unwrap();
    world.pass(MINUTE);
    world
}

#[test]
fn filters_without_a_time_select_by_state() {
    let mut world = world();
    assert_eq!(listed(&mut world, filter("FROM_TRIM_HORIZON")), [0, 1, 2, 3, 4]);
    assert_eq!(listed(&mut world, filter("AT_TRIM_HORIZON")), [0, 1]);
    assert_eq!(listed(&mut world, filter("AT_LATEST")), [1, 4]);
    let after = ShardFilter {
        shard_id: Some("shardId-000000000002".to_owned()),
        ..filter("AFTER_SHARD_ID")
    };
    assert_eq!(listed(&mut world, after), [3, 4]);
}

#[test]
fn a_point_in_time_selects_shards_that_cover_all_hash_keys_once() {
    let mut world = world();
    let mut at = |millis| {
        let timestamp = Some(START.saturating_add(Duration::from_millis(millis)));
        listed(
            &mut world,
            ShardFilter {
                timestamp,
                ..filter("AT_TIMESTAMP")
            },
        )
    };
    assert_eq!(at(0), [0, 1]);
    assert_eq!(at(59_999), [0, 1]);
    // At the very time of the split the parent may have taken a record.
    assert_eq!(at(60_000), [0, 1]);
    assert_eq!(at(60_001), [1, 2, 3]);
    assert_eq!(at(120_000), [1, 2, 3]);
    assert_eq!(at(120_001), [1, 4]);
}

#[test]
fn a_time_before_the_horizon_counts_as_the_horizon() {
    let mut world = world();
    let long_ago = |kind| ShardFilter {
        timestamp: Some(Timestamp::from_epoch_millis(0)),
        ..filter(kind)
    };
    assert_eq!(listed(&mut world, long_ago("AT_TIMESTAMP")), [0, 1]);
    assert_eq!(listed(&mut world, long_ago("FROM_TIMESTAMP")), [0, 1, 2, 3, 4]);
    let second_minute = ShardFilter {
        timestamp: Some(START.saturating_add(MINUTE + MINUTE / 2)),
        ..filter("FROM_TIMESTAMP")
    };
    assert_eq!(listed(&mut world, second_minute), [1, 2, 3, 4]);
}

#[test]
fn shards_split_in_the_very_millisecond_of_their_creation_are_still_the_horizon() {
    let mut world = World::with_shards(1);
    world.put("key", "would be lost");
    world.split(FIRST, MIDDLE);
    assert_eq!(listed(&mut world, filter("AT_TRIM_HORIZON")), [0]);
}

#[test]
fn a_listing_goes_on_page_by_page() {
    let mut world = world();
    let list = ListShards {
        max_results: Some(2),
        shard_filter: Some(ShardFilter {
            timestamp: Some(START.saturating_add(MINUTE + MINUTE / 2)),
            ..filter("FROM_TIMESTAMP")
        }),
        ..ListShards::new(STREAM)
    };
    let first = world.call(list).unwrap();
    assert_eq!(first.shards.len(), 2);
    let token = first.next_token.unwrap();
    let second = world
        .call(ListShards {
            max_results: Some(2),
            ..ListShards::next(&token)
        })
        .unwrap();
    assert_eq!(ids(&second.shards), ["shardId-000000000003", "shardId-000000000004"]);
    assert_eq!(second.next_token, None);

    world.pass(5 * MINUTE);
    assert!(world.call(ListShards::next(&token)).is_ok());
    world.pass(Duration::from_millis(1));
    assert_kind(world.call(ListShards::next(&token)), ErrorKind::ExpiredNextToken);
}

#[test]
fn an_exclusive_start_is_not_listed() {
    let mut world = world();
    let list = ListShards {
        exclusive_start_shard_id: Some(THIRD.to_owned()),
        ..ListShards::new(STREAM)
    };
    let shards = world.call(list).unwrap().shards;
    assert_eq!(ids(&shards), ["shardId-000000000003", "shardId-000000000004"]);
}

#[test]
fn a_creation_time_tells_lives_of_a_stream_apart() {
    let mut world = world();
    let created_at = |at| ListShards {
        stream_creation_timestamp: Some(at),
        ..ListShards::new(STREAM)
    };
    assert!(world.call(created_at(START)).is_ok());
    // Some clients tell whole seconds only.
    let second = Timestamp::from_epoch_millis(1_357_034_400_000);
    assert!(second < START && world.call(created_at(second)).is_ok());
    assert_kind(
        world.call(created_at(START.saturating_add(MINUTE))),
        ErrorKind::ResourceNotFound,
    );
}

#[test]
fn a_request_names_either_a_stream_or_a_token() {
    let mut world = world();
    assert_refused(
        world.call(ListShards::default()),
        ErrorKind::InvalidArgument,
        "Either NextToken or StreamName should be provided.",
    );
    let both = ListShards {
        next_token: Some("token".to_owned()),
        ..ListShards::new(STREAM)
    };
    assert_refused(
        world.call(both),
        ErrorKind::InvalidArgument,
        "NextToken and StreamName cannot be provided together.",
    );
    assert_kind(world.call(ListShards::next("forged")), ErrorKind::InvalidArgument);
    for incomplete in ["AT_TIMESTAMP", "FROM_TIMESTAMP", "AFTER_SHARD_ID"] {
        let list = ListShards {
            shard_filter: Some(filter(incomplete)),
            ..ListShards::new(STREAM)
        };
        assert_kind(world.call(list), ErrorKind::InvalidArgument);
    }
    let unknown = ListShards {
        shard_filter: Some(filter("SOME")),
        ..ListShards::new(STREAM)
    };
    assert_kind(world.call(unknown), ErrorKind::Validation);
}
