use super::*;
use crate::api::{
    DeleteStream, DescribeStream, DescribeStreamSummary, ListStreams, ListTagsForResource, RegisterStreamConsumer,
    StreamMode, StreamModeDetails, StreamStatus,
};

#[test]
fn a_new_stream_is_active_and_its_shards_cover_all_hash_keys() {
    for count in [1, 2, 3, 7] {
        let mut world = World::with_shards(count);
        let described = world.call(DescribeStream::new(STREAM)).unwrap();
        assert_eq!(described.stream.stream_status, StreamStatus::Active);
        assert_eq!(described.stream.stream_creation_timestamp, START);
        assert_eq!(
            described.stream.stream_arn,
            "arn:aws:kinesis:us-east-1:000000000000:stream/rides"
        );
        assert_eq!(described.retention_period_hours, 24);
        assert!(!described.has_more_shards);
        let ranges: Vec<_> = described.shards.iter().map(|shard| shard.hash_key_range).collect();
        assert_eq!(ranges.len(), usize::try_from(count).unwrap());
        assert_eq!(ranges[0].start, HashKey::MIN);
        assert_eq!(ranges[ranges.len() - 1].end, HashKey::MAX);
        assert!(ranges.windows(2).all(|pair| pair[0].end.0 + 1 == pair[1].start.0));
    }
}

#[test]
fn the_ranges_of_three_shards_are_those_of_the_service() {
    let mut world = World::with_shards(3);
    let starts: Vec<_> = world
        .shards()
        .iter()
        .map(|shard| shard.hash_key_range.start.to_string())
        .collect();
    assert_eq!(
        starts,
        [
            "0",
            "113427455640312821154458202477256070485",
            "226854911280625642308916404954512140970"
        ]
    );
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let mut world = World::with_shards(1);
    assert_refused(
        world.call(CreateStream::new(STREAM, 1)),
        ErrorKind::ResourceInUse,
        "Stream rides under account 000000000000 already exists.",
    );
}

#[test]
fn all_broken_constraints_are_told_at_once() {
    let mut world = World::with_shards(1);
    assert_refused(
        world.call(CreateStream::new("no spaces", 0)),
        ErrorKind::Validation,
        "2 validation errors detected: Value 'no spaces' at 'streamName' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '0' at 'shardCount' failed to satisfy constraint: \
         Member must have value greater than or equal to 1",
    );
    assert_refused(
        world.call(CreateStream::default()),
        ErrorKind::Validation,
        "1 validation error detected: Value null at 'streamName' failed to satisfy constraint: Member must not be null",
    );
    let unnamed_mode = CreateStream {
        stream_mode_details: Some(StreamModeDetails::default()),
        ..CreateStream::new("other", 1)
    };
    assert_kind(world.call(unnamed_mode), ErrorKind::Validation);
}

#[test]
fn an_on_demand_stream_begins_with_four_shards() {
    let mut world = World::with_shards(1);
    let mode = StreamModeDetails {
        stream_mode: Some("ON_DEMAND".to_owned()),
    };
    let create = CreateStream {
        stream_name: Some("elastic".to_owned()),
        stream_mode_details: Some(mode),
        ..CreateStream::default()
    };
    world.call(create).unwrap();
    let summary = world.call(DescribeStreamSummary::new("elastic")).unwrap();
    assert_eq!(
        (summary.open_shard_count, summary.stream.stream_mode),
        (4, StreamMode::OnDemand)
    );
}

#[test]
fn a_provisioned_stream_needs_a_shard_count() {
    let mut world = World::with_shards(1);
    let create = CreateStream {
        stream_name: Some("other".to_owned()),
        ..CreateStream::default()
    };
    assert_kind(world.call(create), ErrorKind::InvalidArgument);
}

#[test]
fn too_many_shards_are_refused() {
    let config = EngineConfig {
        open_shards_max: 3,
        ..EngineConfig::default()
    };
    let mut world = World::with_config(config, 2);
    assert_kind(world.call(CreateStream::new("other", 2)), ErrorKind::LimitExceeded);
    world.call(CreateStream::new("other", 1)).unwrap();
    assert_kind(
        world.call(SplitShard::new(STREAM, FIRST, HashKey(5))),
        ErrorKind::LimitExceeded,
    );
    assert_kind(
        world.call(CreateStream::new("huge", i32::MAX)),
        ErrorKind::LimitExceeded,
    );
}

#[test]
fn a_deleted_stream_is_unknown_and_gives_its_bytes_back() {
    let mut world = World::with_shards(1);
    let written = world.put("key", "data");
    let iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
    assert!(world.engine.stored_bytes() > 0);
    world.call(DeleteStream::new(STREAM)).unwrap();
    assert_eq!(world.engine.stored_bytes(), 0);
    let unknown = "Stream rides under account 000000000000 not found.";
    assert_refused(
        world.call(DescribeStream::new(STREAM)),
        ErrorKind::ResourceNotFound,
        unknown,
    );
    assert_refused(
        world.call(GetRecords::new(&iterator)),
        ErrorKind::ResourceNotFound,
        unknown,
    );
    assert_refused(
        world.call(PutRecord::new(STREAM, "key", "data")),
        ErrorKind::ResourceNotFound,
        unknown,
    );
    assert_refused(
        world.call(DeleteStream::new(STREAM)),
        ErrorKind::ResourceNotFound,
        unknown,
    );

    // Another life of the stream, in the same millisecond, knows nothing of the first.
    world.call(CreateStream::new(STREAM, 1)).unwrap();
    world.put("key", "data");
    assert_refused(
        world.call(GetRecords::new(&iterator)),
        ErrorKind::InvalidArgument,
        "Invalid ShardIterator.",
    );
    let number = written.sequence_number.as_str();
    assert_kind(
        world.call(GetShardIterator::after(STREAM, FIRST, number)),
        ErrorKind::InvalidArgument,
    );
    assert_kind(
        world.call(GetShardIterator::at(STREAM, FIRST, number)),
        ErrorKind::InvalidArgument,
    );
}

#[test]
fn numbers_of_a_stream_that_was_resharded_before_it_was_deleted_are_refused_too() {
    let mut world = World::with_shards(1);
    world.split(FIRST, MIDDLE);
    let written = world.put_at(HashKey(0), "data");
    world.call(DeleteStream::new(STREAM)).unwrap();
    world.call(CreateStream::new(STREAM, 2)).unwrap();
    world.put_at(HashKey::MAX, "data");
    assert_eq!(written.shard_id.as_str(), SECOND);
    let number = written.sequence_number.as_str();
    assert_kind(
        world.call(GetShardIterator::after(STREAM, SECOND, number)),
        ErrorKind::InvalidArgument,
    );
}

#[test]
fn streams_are_listed_by_name_page_by_page() {
    let mut world = World::with_shards(1);
    for name in ["c", "a", "b"] {
        world.call(CreateStream::new(name, 1)).unwrap();
    }
    let mut names = Vec::new();
    let mut next_token = None;
    loop {
        let page = world
            .call(ListStreams {
                limit: Some(3),
                next_token,
                ..ListStreams::default()
            })
            .unwrap();
        assert_eq!(page.has_more_streams, page.next_token.is_some());
        names.extend(page.stream_names.iter().map(ToString::to_string));
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c", "rides"]);
    let after = world
        .call(ListStreams {
            exclusive_start_stream_name: Some("b".to_owned()),
            ..ListStreams::default()
        })
        .unwrap();
    assert_eq!(after.stream_names.len(), 2);
    let forged = ListStreams {
        next_token: Some("forged".to_owned()),
        ..ListStreams::default()
    };
    assert_kind(world.call(forged), ErrorKind::InvalidArgument);
}

#[test]
fn a_stream_is_addressed_by_name_by_arn_or_by_both() {
    let mut world = World::with_shards(1);
    let arn = |name: &str| Some(format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}"));
    let by = |name: Option<&str>, stream_arn| DescribeStreamSummary {
        stream_name: name.map(ToOwned::to_owned),
        stream_arn,
    };
    assert!(world.call(by(None, arn(STREAM))).is_ok());
    assert!(world.call(by(Some(STREAM), arn(STREAM))).is_ok());
    assert_kind(world.call(by(Some(STREAM), arn("other"))), ErrorKind::InvalidArgument);
    assert_kind(world.call(by(None, None)), ErrorKind::InvalidArgument);
    assert_kind(world.call(by(None, arn("other"))), ErrorKind::ResourceNotFound);
    // Streams of other accounts and regions are other streams, whatever they are called.
    for other in ["us-east-1:111122223333", "eu-west-1:000000000000"] {
        let stream = format!("arn:aws:kinesis:{other}:stream/{STREAM}");
        for by in [by(None, Some(stream.clone())), by(Some(STREAM), Some(stream.clone()))] {
            let refused = world.call(by).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ResourceNotFound);
            assert!(
                refused
                    .to_string()
                    .contains("This broker is account 000000000000 in region us-east-1"),
                "{refused}"
            );
        }
        assert_kind(
            world.call(RegisterStreamConsumer::new(&stream, "c")),
            ErrorKind::ResourceNotFound,
        );
        assert_kind(
            world.call(ListTagsForResource::new(&stream)),
            ErrorKind::ResourceNotFound,
        );
        assert_kind(
            world.call(ListTagsForResource::new(format!("{stream}/consumer/c:1"))),
            ErrorKind::ResourceNotFound,
        );
    }
    for bad in [
        "rides",
        "arn:aws:kinesis:eu-west-1:12:stream/rides",
        "arn:aws:s3:eu-west-1:123456789012:stream/rides",
    ] {
        assert_kind(world.call(by(None, Some(bad.to_owned()))), ErrorKind::Validation);
    }
}

#[test]
fn a_description_gives_its_shards_page_by_page() {
    let mut world = World::with_shards(3);
    let page = DescribeStream {
        limit: Some(2),
        ..DescribeStream::new(STREAM)
    };
    let first = world.call(page.clone()).unwrap();
    assert!(first.has_more_shards);
    let rest = world
        .call(DescribeStream {
            exclusive_start_shard_id: Some(first.shards[1].id.to_string()),
            ..page
        })
        .unwrap();
    assert_eq!((ids(&rest.shards), rest.has_more_shards), (vec![THIRD], false));
}
