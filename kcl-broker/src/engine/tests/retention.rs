use super::*;
use crate::api::{DecreaseStreamRetentionPeriod, DescribeStream, DescribeStreamSummary, IncreaseStreamRetentionPeriod};

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

impl World {
    fn keep_longer(&mut self, hours: i32) -> Result<(), ApiError> {
        self.call(IncreaseStreamRetentionPeriod::new(STREAM, hours))
    }

    fn keep_less_long(&mut self, hours: i32) -> Result<(), ApiError> {
        self.call(DecreaseStreamRetentionPeriod::new(STREAM, hours))
    }

    fn all(&mut self) -> Vec<String> {
        let read = self.read_from(GetShardIterator::trim_horizon(STREAM, FIRST));
        data(&read).into_iter().map(str::to_owned).collect()
    }
}

#[test]
fn a_longer_retention_keeps_what_is_there() {
    let mut world = World::with_shards(1);
    world.put("key", "data");
    world.pass(DAY);
    world.keep_longer(48).unwrap();
    world.pass(DAY);
    assert_eq!(world.all(), ["data"]);
    let described = world.call(DescribeStream::new(STREAM)).unwrap();
    let summary = world.call(DescribeStreamSummary::new(STREAM)).unwrap();
    assert_eq!(
        (described.retention_period_hours, summary.retention_period_hours),
        (48, 48)
    );
    world.pass(INSTANT);
    assert_eq!(world.all(), Vec::<String>::new());
}

#[test]
fn a_shorter_retention_takes_effect_at_once() {
    let mut world = World::with_shards(1);
    world.keep_longer(72).unwrap();
    world.put("key", "old");
    world.pass(DAY + INSTANT);
    world.put("key", "young");
    let at_the_old_one = world.open(GetShardIterator::at_timestamp(STREAM, FIRST, START));
    world.keep_less_long(24).unwrap();
    assert_eq!(world.all(), ["young"]);
    assert_eq!(data(&world.read(&at_the_old_one)), ["young"]);
    let before = world.engine.stored_bytes();
    world.pass(DAY + INSTANT);
    assert_eq!(world.all(), Vec::<String>::new());
    assert!(
        before < 2 * (256 + 8),
        "the old record gives its bytes back at once: {before}"
    );
}

#[test]
fn what_was_trimmed_does_not_come_back() {
    let mut world = World::with_shards(1);
    world.keep_longer(8760).unwrap();
    world.put("key", "old");
    world.split(FIRST, MIDDLE);
    world.pass(DAY + INSTANT);
    world.keep_less_long(24).unwrap();
    world.keep_longer(8760).unwrap();
    // The first shard was closed when its record was written, and went with it.
    assert_eq!(ids(&world.shards()), [SECOND, THIRD]);

    // Nor does what nobody has seen go, because nothing was called between its expiry and the change.
    let mut world = World::with_shards(1);
    world.put("key", "old");
    world.pass(DAY + INSTANT);
    world.put("key", "young");
    world.keep_longer(48).unwrap();
    assert_eq!(world.all(), ["young"]);
    world.pass(DAY);
    assert_eq!(world.all(), ["young"]);
}

#[test]
fn listings_at_the_horizon_move_with_the_retention() {
    let mut world = World::with_shards(1);
    world.keep_longer(48).unwrap();
    world.pass(DAY / 2);
    world.split(FIRST, MIDDLE);
    world.pass(DAY);
    let horizon = || ListShards::filtered(STREAM, kcl_core::ShardFilter::AtTrimHorizon);
    assert_eq!(ids(&world.call(horizon()).unwrap().shards), [FIRST]);
    world.pass(INSTANT);
    world.keep_less_long(24).unwrap();
    assert_eq!(ids(&world.call(horizon()).unwrap().shards), [SECOND, THIRD]);
}

#[test]
fn a_retention_in_the_wrong_direction_or_out_of_range_is_refused() {
    let mut world = World::with_shards(1);
    world.keep_longer(48).unwrap();
    world.keep_longer(48).unwrap();
    world.keep_less_long(48).unwrap();
    assert_refused(
        world.keep_longer(47),
        ErrorKind::InvalidArgument,
        "Requested retention period (47 hours) for stream rides can not be shorter than existing retention period (48 \
         hours). Use DecreaseRetentionPeriod API.",
    );
    assert_refused(
        world.keep_less_long(49),
        ErrorKind::InvalidArgument,
        "Requested retention period (49 hours) for stream rides can not be longer than existing retention period (48 \
         hours). Use IncreaseRetentionPeriod API.",
    );
    assert_refused(
        world.keep_less_long(23),
        ErrorKind::InvalidArgument,
        "Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short.",
    );
    assert_refused(
        world.keep_longer(8761),
        ErrorKind::Validation,
        "1 validation error detected: Value '8761' at 'retentionPeriodHours' failed to satisfy constraint: Member must \
         have value less than or equal to 8760",
    );
    assert_kind(
        world.call(IncreaseStreamRetentionPeriod::default()),
        ErrorKind::Validation,
    );
    assert_kind(
        world.call(IncreaseStreamRetentionPeriod::new("other", 48)),
        ErrorKind::ResourceNotFound,
    );
    assert_eq!(
        world.call(DescribeStream::new(STREAM)).unwrap().retention_period_hours,
        48
    );
}
