use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn of(read: &GetRecordsOutput) -> Vec<String> {
    data(read).into_iter().map(ToOwned::to_owned).collect()
}

#[test]
fn every_type_of_iterator_begins_where_it_says() {
    let mut world = World::with_shards(1);
    let mut numbers = Vec::new();
    let mut times = Vec::new();
    for text in ["0", "1", "2"] {
        world.pass(MINUTE);
        times.push(world.now);
        numbers.push(world.put("key", text).sequence_number.to_string());
    }
    let latest = world.open(GetShardIterator::latest(STREAM, FIRST));
    let starting = world.shards()[0].starting_sequence_number.clone().unwrap();
    let mut from = |iterator| of(&world.read_from(iterator));

    assert_eq!(from(GetShardIterator::trim_horizon(STREAM, FIRST)), ["0", "1", "2"]);
    assert_eq!(from(GetShardIterator::at(STREAM, FIRST, &numbers[1])), ["1", "2"]);
    assert_eq!(from(GetShardIterator::after(STREAM, FIRST, &numbers[1])), ["2"]);
    assert_eq!(
        from(GetShardIterator::at(STREAM, FIRST, starting.as_str())),
        ["0", "1", "2"]
    );
    assert_eq!(
        from(GetShardIterator::at_timestamp(STREAM, FIRST, times[1])),
        ["1", "2"]
    );
    let just_after = times[1].saturating_add(Duration::from_millis(1));
    assert_eq!(from(GetShardIterator::at_timestamp(STREAM, FIRST, just_after)), ["2"]);
    let long_ago = Timestamp::from_epoch_millis(0);
    assert_eq!(
        from(GetShardIterator::at_timestamp(STREAM, FIRST, long_ago)),
        ["0", "1", "2"]
    );

    assert!(world.read(&latest).records.is_empty());
    world.put("key", "3");
    assert_eq!(of(&world.read(&latest)), ["3"]);
}

#[test]
fn an_iterator_at_a_time_after_every_record_waits_for_the_next() {
    let mut world = World::with_shards(1);
    world.put("key", "0");
    world.pass(MINUTE);
    let now = world.now;
    let iterator = world.open(GetShardIterator::at_timestamp(STREAM, FIRST, now));
    assert!(world.read(&iterator).records.is_empty());
    world.put("key", "1");
    assert_eq!(of(&world.read(&iterator)), ["1"]);
    let future = now.saturating_add(Duration::from_millis(1));
    assert_kind(
        world.call(GetShardIterator::at_timestamp(STREAM, FIRST, future)),
        ErrorKind::InvalidArgument,
    );
}

#[test]
fn reading_in_small_steps_gives_every_record_once() {
    let mut world = World::with_shards(1);
    for text in ["0", "1", "2", "3", "4"] {
        world.put("key", text);
    }
    let mut iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
    let mut all = Vec::new();
    for _ in 0..4 {
        let read = world
            .call(GetRecords {
                limit: Some(2),
                ..GetRecords::new(iterator)
            })
            .unwrap();
        iterator = read.next_shard_iterator.clone().unwrap();
        all.extend(of(&read));
    }
    assert_eq!(all, ["0", "1", "2", "3", "4"]);
}

#[test]
fn an_answer_holds_ten_mebibytes_at_most_and_one_record_at_least() {
    let mut world = World::with_shards(1);
    let create = CreateStream {
        max_record_size_in_kib: Some(10_240),
        ..CreateStream::new("large", 1)
    };
    world.call(create).unwrap();
    for size in [10 << 20, 6 << 20, 4 << 20, 1] {
        let data = vec![0; size - 1];
        world.call(PutRecord::new("large", "k", data)).unwrap();
    }
    let mut iterator = world.open(GetShardIterator::trim_horizon("large", FIRST));
    let mut counts = Vec::new();
    for _ in 0..3 {
        let read = world.read(&iterator);
        counts.push(read.records.len());
        iterator = read.next_shard_iterator.unwrap();
    }
    assert_eq!(counts, [1, 2, 1]);
}

#[test]
fn the_distance_to_the_tip_is_the_age_of_the_next_unread_record() {
    let mut world = World::with_shards(1);
    world.put("key", "0");
    world.pass(MINUTE);
    world.put("key", "1");
    world.pass(MINUTE);
    let iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
    let first = world
        .call(GetRecords {
            limit: Some(1),
            ..GetRecords::new(&iterator)
        })
        .unwrap();
    assert_eq!(first.millis_behind_latest, 60_000);
    assert_eq!(world.read(&first.next_shard_iterator.unwrap()).millis_behind_latest, 0);
    assert_eq!(
        world
            .read_from(GetShardIterator::latest(STREAM, FIRST))
            .millis_behind_latest,
        0
    );
}

#[test]
fn an_iterator_is_good_for_five_minutes_any_number_of_times() {
    let mut world = World::with_shards(1);
    world.put("key", "0");
    let iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
    world.pass(5 * MINUTE);
    assert_eq!(of(&world.read(&iterator)), of(&world.read(&iterator)));
    world.pass(Duration::from_millis(1));
    assert_refused(
        world.call(GetRecords::new(&iterator)),
        ErrorKind::ExpiredIterator,
        "Iterator expired. The iterator was created at time Tue Jan 01 10:00:00 UTC 2013 while right now it is Tue Jan \
         01 10:05:00 UTC 2013 which is further in the future than the tolerated delay of 300000 milliseconds.",
    );
}

#[test]
fn what_is_no_iterator_is_refused() {
    let mut world = World::with_shards(1);
    for bad in ["x", "AAAAAAAAAAE=", &"A".repeat(204)] {
        assert_refused(
            world.call(GetRecords::new(bad)),
            ErrorKind::InvalidArgument,
            "Invalid ShardIterator.",
        );
    }
    for bad in [String::new(), "A".repeat(513)] {
        assert_kind(world.call(GetRecords::new(bad)), ErrorKind::Validation);
    }
    let iterator = world.open(GetShardIterator::latest(STREAM, FIRST));
    for limit in [0, 10_001] {
        let limited = GetRecords {
            limit: Some(limit),
            ..GetRecords::new(&iterator)
        };
        assert_kind(world.call(limited), ErrorKind::Validation);
    }
}

#[test]
fn a_number_must_be_one_that_the_shard_has_given() {
    let mut world = World::with_shards(2);
    let written = world.put_at(HashKey::MAX, "data").sequence_number;
    assert_refused(
        world.call(GetShardIterator::at(STREAM, FIRST, written.as_str())),
        ErrorKind::InvalidArgument,
        "Invalid StartingSequenceNumber. It encodes shardId-000000000001, while it was used in a call to a shard with \
         shardId-000000000000",
    );
    assert_kind(
        world.call(GetShardIterator::at(STREAM, FIRST, "17")),
        ErrorKind::InvalidArgument,
    );
    assert_kind(
        world.call(GetShardIterator::at(STREAM, FIRST, "x")),
        ErrorKind::Validation,
    );
    // One that the shard may give one day.
    let mut ahead = World::with_shards(2);
    ahead.put_at(HashKey::MAX, "data");
    let next = ahead.put_at(HashKey::MAX, "data").sequence_number;
    assert_kind(
        world.call(GetShardIterator::at(STREAM, SECOND, next.as_str())),
        ErrorKind::InvalidArgument,
    );
}

#[test]
fn a_type_and_its_members_must_go_together() {
    let mut world = World::with_shards(1);
    let number = world.put("key", "data").sequence_number.to_string();
    let with = |kind: &str, number: Option<&str>| GetShardIterator {
        shard_iterator_type: Some(kind.to_owned()),
        starting_sequence_number: number.map(ToOwned::to_owned),
        ..GetShardIterator::latest(STREAM, FIRST)
    };
    for (kind, number) in [
        ("AT_SEQUENCE_NUMBER", None),
        ("AFTER_SEQUENCE_NUMBER", None),
        ("LATEST", Some(number.as_str())),
        ("TRIM_HORIZON", Some(number.as_str())),
        ("AT_TIMESTAMP", None),
    ] {
        assert_kind(world.call(with(kind, number)), ErrorKind::InvalidArgument);
    }
    assert_refused(
        world.call(with("NEWEST", None)),
        ErrorKind::Validation,
        "1 validation error detected: Value 'NEWEST' at 'shardIteratorType' failed to satisfy constraint: Member must \
         satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]",
    );
}

#[test]
fn shard_ids_are_read_leniently_and_unknown_ones_are_not_found() {
    let mut world = World::with_shards(1);
    for id in ["0", "shardId-0", FIRST] {
        world.open(GetShardIterator::latest(STREAM, id));
    }
    assert_refused(
        world.call(GetShardIterator::latest(STREAM, "shardId-5")),
        ErrorKind::ResourceNotFound,
        "Shard shardId-000000000005 in stream rides under account 000000000000 does not exist",
    );
    assert_refused(
        world.call(GetShardIterator::latest(STREAM, "shard")),
        ErrorKind::ResourceNotFound,
        "Could not find shard shard in stream rides under account 000000000000.",
    );
    assert_kind(
        world.call(GetShardIterator::latest("other", FIRST)),
        ErrorKind::ResourceNotFound,
    );
}

#[test]
fn a_dry_run_checks_everything_and_reads_nothing() {
    let mut world = World::with_shards(1);
    world.put("key", "data");
    let open = |shard| GetShardIterator {
        dry_run: Some(true),
        ..GetShardIterator::trim_horizon(STREAM, shard)
    };
    assert_kind(world.call(open(FIRST)), ErrorKind::DryRunOperation);
    assert_kind(world.call(open(SECOND)), ErrorKind::ResourceNotFound);
    let iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
    let read = |iterator: &str| GetRecords {
        dry_run: Some(true),
        ..GetRecords::new(iterator)
    };
    assert_kind(world.call(read(&iterator)), ErrorKind::DryRunOperation);
    assert_kind(world.call(read("none")), ErrorKind::InvalidArgument);
    world.pass(Duration::from_mins(6));
    assert_kind(world.call(read(&iterator)), ErrorKind::ExpiredIterator);
}
