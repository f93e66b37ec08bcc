use super::*;

const DAY: Duration = Duration::from_hours(24);
const INSTANT: Duration = Duration::from_millis(1);

#[test]
fn a_record_is_kept_for_the_retention_and_not_longer() {
    let mut world = World::with_shards(1);
    let old = world.put("key", "old").sequence_number;
    world.pass(INSTANT);
    world.put("key", "young");
    world.now = START.saturating_add(DAY);
    let from_the_start = GetShardIterator::trim_horizon(STREAM, FIRST);
    assert_eq!(data(&world.read_from(from_the_start.clone())), ["old", "young"]);
    world.pass(INSTANT);
    assert_eq!(data(&world.read_from(from_the_start.clone())), ["young"]);
    assert_eq!(
        data(&world.read_from(GetShardIterator::at(STREAM, FIRST, old.as_str()))),
        ["young"]
    );
    world.pass(INSTANT);
    let read = world.read_from(from_the_start);
    assert!(read.records.is_empty());
    assert!(read.next_shard_iterator.is_some());
    assert_eq!(read.millis_behind_latest, 0);
}

#[test]
fn records_that_expire_under_a_reader_are_passed_over() {
    let mut world = World::with_shards(1);
    world.put("key", "old");
    world.pass(Duration::from_secs(60));
    world.put("key", "young");
    world.now = START.saturating_add(DAY);
    let iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
    world.pass(INSTANT);
    assert_eq!(data(&world.read(&iterator)), ["young"]);
}

#[test]
fn a_closed_shard_is_listed_until_its_last_record_could_have_expired() {
    let mut world = World::with_shards(1);
    world.put("key", "data");
    world.pass(Duration::from_secs(60));
    world.split(FIRST, MIDDLE);
    let iterator = world.open(GetShardIterator::trim_horizon(STREAM, FIRST));
    world.pass(DAY);
    // Its records have expired; the shard itself not yet.
    assert_eq!(world.shards().len(), 3);
    let end = world.read_from(GetShardIterator::trim_horizon(STREAM, FIRST));
    assert!(end.records.is_empty());
    assert_eq!((end.next_shard_iterator, end.child_shards.len()), (None, 2));
    world.pass(INSTANT);
    assert_kind(
        world.call(GetShardIterator::trim_horizon(STREAM, FIRST)),
        ErrorKind::ResourceNotFound,
    );
    assert_kind(world.call(GetRecords::new(iterator)), ErrorKind::ExpiredIterator);
    let shards = world.shards();
    assert_eq!(ids(&shards), [SECOND, THIRD]);
    // The children still say where they came from.
    assert!(
        shards
            .iter()
            .all(|shard| shard.parent.as_ref().unwrap().as_str() == FIRST)
    );
    let horizon = ListShards::filtered(STREAM, kcl_core::ShardFilter::AtTrimHorizon);
    assert_eq!(ids(&world.call(horizon).unwrap().shards), [SECOND, THIRD]);
    assert_eq!(world.engine.stored_bytes(), 0);
}

#[test]
fn writing_to_a_shard_drops_its_expired_records() {
    let mut world = World::with_shards(1);
    world.put("key", "data");
    let one = world.engine.stored_bytes();
    world.pass(DAY + INSTANT);
    world.put("key", "data");
    assert_eq!(world.engine.stored_bytes(), one);
}
