//! Aggregates on their way through the machine.

use proptest::prelude::*;

use super::*;
use crate::{
    HashKey, HashKeyRange, RecordPosition,
    aggregate::{Aggregator, OutOfRange, UserRecord},
};

/// What a test puts: a plain record, or an aggregate of records with these data.
type Put = (u64, Vec<String>);

fn sub(number: u64, sub_sequence_number: u64) -> Position {
    Position::Record(RecordPosition {
        sequence_number: number.to_string().parse().unwrap(),
        sub_sequence_number,
    })
}

fn aggregate(number: u64, data: &[String]) -> Record {
    let mut aggregator = Aggregator::new(1 << 20);
    // An aggregate of one record is what the KPL does not write and may be written.
    let magic = crate::aggregate::MAGIC;
    let data: Vec<_> = data.to_vec();
    for text in &data {
        let key = if text.starts_with("high") {
            HashKey::MAX
        } else {
            HashKey::MIN
        };
        let record = UserRecord::new(format!("key of {text}"), text.clone()).with_explicit_hash_key(key);
        assert!(aggregator.append(&record));
    }
    let outer = aggregator.take().unwrap();
    assert!(data.len() == 1 || outer.data.starts_with(&magic));
    Record::new(
        number.to_string().parse().unwrap(),
        outer.partition_key,
        Timestamp::from_epoch_millis(9_000),
        outer.data,
    )
}

fn texts(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}{index}")).collect()
}

fn read_of(records: Vec<Record>) -> ShardInput {
    let (stream, shard) = (StreamName::new("s").unwrap(), ShardId::new("shardId-0").unwrap());
    ShardInput::Fetched(Ok(Fetch {
        batch: Batch::new(stream, shard, records),
        end: None,
        continuation: None,
    }))
}

fn lower_half() -> HashKeyRange {
    HashKeyRange {
        start: HashKey::MIN,
        end: HashKey(u128::MAX / 2),
    }
}

fn begun(config: ShardConfig, start: Position) -> ShardMachine {
    let mut machine = ShardMachine::new(config, start, Timestamp::from_epoch_millis(10_000), 1 << 20, 7)
        .with_hash_key_range(Some(lower_half()));
    called(&mut machine, Outcome::Success);
    handle(&mut machine, ShardInput::Opened(Ok(())));
    machine
}

fn small_batches(batch_size: usize) -> ShardConfig {
    ShardConfig {
        batch_size,
        ..ShardConfig::default()
    }
}

/// The records of the call among the effects.
fn delivered(effects: &[ShardEffect]) -> Vec<Record> {
    let batch = effects.iter().find_map(|effect| match effect {
        ShardEffect::Call {
            call: Call::Process { batch, .. },
            ..
        } => Some(batch.records().to_vec()),
        _ => None,
    });
    batch.unwrap_or_default()
}

fn data(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| String::from_utf8(record.data.to_vec()).unwrap();
    records.iter().map(text).collect()
}

#[test]
fn given_an_aggregate_between_plain_records_when_read_then_its_records_come_in_their_place() {
    let mut machine = begun(ShardConfig::default(), Position::TrimHorizon);
    let plain = |number| batch([number]).records()[0].clone();
    let records = vec![plain(1), aggregate(2, &texts("a", 3)), plain(3)];
    let got = delivered(&handle(&mut machine, read_of(records)));
    assert_eq!(data(&got), ["data", "a0", "a1", "a2", "data"]);
    let positions: Vec<_> = got.iter().map(|record| Position::Record(record.position())).collect();
    assert_eq!(positions, [at(1), sub(2, 0), sub(2, 1), sub(2, 2), at(3)]);
    assert_eq!(
        got[2].approximate_arrival_timestamp,
        Timestamp::from_epoch_millis(9_000)
    );
    assert_eq!(
        (&*got[2].partition_key, got[2].explicit_hash_key),
        ("key of a1", Some(HashKey::MIN))
    );
    assert_eq!(
        got.iter().map(|record| record.aggregated).collect::<Vec<_>>(),
        [false, true, true, true, false]
    );
    assert!(called(&mut machine, Outcome::Success).contains(&ShardEffect::Progress(at(3))));
}

#[test]
fn given_small_batches_when_an_aggregate_is_checkpointed_in_the_middle_then_the_next_consumer_goes_on_there() {
    let outer = aggregate(7, &texts("a", 5));
    let mut first = begun(small_batches(2), Position::TrimHorizon);
    assert_eq!(
        data(&delivered(&handle(&mut first, read_of(vec![outer.clone()])))),
        ["a0", "a1"]
    );
    let second_call = called(&mut first, Outcome::Success);
    assert!(second_call.contains(&ShardEffect::Progress(sub(7, 1))));
    assert_eq!(data(&delivered(&second_call)), ["a2", "a3"]);
    assert_eq!(first.request_checkpoint(&sub(7, 1)), Ok(CheckpointRequest::Requested));

    let mut next = begun(small_batches(10), sub(7, 1));
    let resumed = handle(&mut next, read_of(vec![outer.clone()]));
    assert_eq!(data(&delivered(&resumed)), ["a2", "a3", "a4"]);
    assert!(called(&mut next, Outcome::Success).contains(&ShardEffect::Progress(sub(7, 4))));
    // The service forgets the place: the reader gives the aggregate again, which is known by now.
    next.handle(NOW + MINUTE, ShardInput::Wake);
    effects(&mut next);
    assert_eq!(delivered(&handle(&mut next, read_of(vec![outer]))), []);
}

#[test]
fn given_an_aggregate_that_was_handled_whole_when_read_again_then_the_next_record_follows() {
    let mut machine = begun(ShardConfig::default(), sub(7, 4));
    let records = vec![aggregate(7, &texts("a", 5)), aggregate(8, &texts("b", 2))];
    assert_eq!(data(&delivered(&handle(&mut machine, read_of(records)))), ["b0", "b1"]);
}

#[test]
fn given_a_plain_record_that_was_handled_when_it_looks_like_an_aggregate_then_it_is_not_delivered_again() {
    let plain = Record::new(
        "7".parse().unwrap(),
        "key",
        Timestamp::from_epoch_millis(0),
        [&crate::aggregate::MAGIC[..], &[0; 40]].concat(),
    );
    let mut first = begun(ShardConfig::default(), Position::TrimHorizon);
    let got = delivered(&handle(&mut first, read_of(vec![plain.clone()])));
    assert_eq!(
        (got.len(), got[0].aggregated, &got[0].data),
        (1, false, &plain.data),
        "delivered as it is"
    );
    let mut next = begun(ShardConfig::default(), at(7));
    assert_eq!(delivered(&handle(&mut next, read_of(vec![plain]))), []);
}

#[test]
fn given_a_handler_that_fails_in_the_middle_of_an_aggregate_when_repeated_then_only_the_rest_is() {
    let mut machine = begun(ShardConfig::default(), Position::TrimHorizon);
    handle(&mut machine, read_of(vec![aggregate(7, &texts("a", 4))]));
    assert_eq!(
        called(&mut machine, Outcome::SuccessBefore(1)),
        [ShardEffect::Progress(sub(7, 0))]
    );
    machine.handle(NOW + MINUTE, ShardInput::Wake);
    assert_eq!(data(&delivered(&effects(&mut machine))), ["a1", "a2", "a3"]);
}

fn out_of_range_of(effects: impl IntoIterator<Item = ShardEffect>) -> Vec<(u64, u64)> {
    let counted = |effect| match effect {
        ShardEffect::Event(ShardEvent::OutOfRange { records, total, .. }) => Some((records, total)),
        _ => None,
    };
    effects.into_iter().filter_map(counted).collect()
}

#[test]
fn wound_21_given_an_aggregate_that_straddles_shards_when_read_then_nothing_of_it_is_lost() {
    let mixed: Vec<String> = ["high0", "low1", "high2", "low3"].map(str::to_owned).into();
    for (out_of_range, expected) in [
        (OutOfRange::Deliver, &["high0", "low1", "high2", "low3"][..]),
        (OutOfRange::Skip, &["low1", "low3"]),
    ] {
        let config = ShardConfig {
            out_of_range,
            ..ShardConfig::default()
        };
        let mut machine = begun(config, Position::TrimHorizon);
        machine.handle(NOW, read_of(vec![aggregate(7, &mixed), aggregate(8, &mixed)]));
        let all: Vec<_> = std::iter::from_fn(|| machine.poll_effect()).collect();
        assert_eq!(
            data(&delivered(&all)),
            [expected, expected].concat(),
            "{out_of_range:?}"
        );
        assert_eq!(out_of_range_of(all), [(4, 4)], "what is elsewhere is counted");
        assert!(called(&mut machine, Outcome::Success).contains(&ShardEffect::Progress(sub(8, 3))));
    }
}

#[test]
fn given_aggregates_of_which_everything_is_left_out_when_read_then_the_position_moves_on() {
    let config = ShardConfig {
        out_of_range: OutOfRange::Skip,
        ..ShardConfig::default()
    };
    let mut machine = begun(config, Position::TrimHorizon);
    let all = handle(&mut machine, read_of(vec![aggregate(7, &texts("high", 3))]));
    assert_eq!(all, [ShardEffect::Progress(sub(7, 2))], "no call for nothing");
    assert_eq!(machine.status(NOW).buffered_records, 0);
    machine.handle(NOW + MINUTE, ShardInput::Wake);
    assert!(effects(&mut machine).contains(&ShardEffect::Checkpoint(sub(7, 2))));
}

#[test]
fn given_an_aggregate_at_the_end_of_a_shard_when_all_is_left_out_then_the_shard_ends() {
    let config = ShardConfig {
        out_of_range: OutOfRange::Skip,
        ..ShardConfig::default()
    };
    let mut machine = begun(config, Position::TrimHorizon);
    let ShardInput::Fetched(Ok(fetch)) = read_of(vec![aggregate(7, &texts("high", 3))]) else {
        unreachable!("it is a read");
    };
    let last = Fetch {
        end: Some(end()),
        ..fetch
    };
    let told = handle(&mut machine, ShardInput::Fetched(Ok(last)));
    assert!(told.contains(&call(Call::ShardEnded)), "{told:?}");
}

#[test]
fn given_a_shard_whose_hash_keys_are_not_known_when_read_then_nothing_is_out_of_range() {
    let config = ShardConfig {
        out_of_range: OutOfRange::Skip,
        ..ShardConfig::default()
    };
    let mut machine = begun(config, Position::TrimHorizon).with_hash_key_range(None);
    assert_eq!(
        delivered(&handle(&mut machine, read_of(vec![aggregate(7, &texts("high", 3))]))).len(),
        3
    );
}

#[test]
fn given_a_million_tiny_records_when_read_then_memory_stays_within_the_share() {
    let mut machine = begun(small_batches(1_000_000), Position::TrimHorizon);
    let share = 1 << 20;
    let outers: Vec<_> = (1..=4).map(|number| aggregate(number, &texts("", 20_000))).collect();
    let read: u64 = outers.iter().map(|outer| outer.data.len() as u64 + 300).sum();
    let mut got = delivered(&handle(&mut machine, read_of(outers))).len();
    let mut calls = 1;
    while got < 80_000 {
        assert!(machine.status(NOW).buffered_bytes < read + share / 2 + 1024);
        got += delivered(&called(&mut machine, Outcome::Success)).len();
        calls += 1;
    }
    assert!(calls > 40, "{calls} calls hold a few MiB of records");
}

#[test]
fn given_de_aggregation_turned_off_when_an_aggregate_is_read_then_it_comes_as_it_is() {
    let config = ShardConfig {
        deaggregate: false,
        ..ShardConfig::default()
    };
    let outer = aggregate(7, &texts("a", 5));
    let mut machine = begun(config, sub(7, 2));
    let got = delivered(&handle(
        &mut machine,
        read_of(vec![outer.clone(), aggregate(8, &texts("b", 2))]),
    ));
    assert_eq!(
        (got.len(), &got[0].data),
        (2, &outer.data),
        "what was handled in part comes again, whole"
    );
    assert!(called(&mut machine, Outcome::Success).contains(&ShardEffect::Progress(sub(8, 1))));

    // Turned on again: what was handled whole is not cut up afterwards.
    let mut next = begun(ShardConfig::default(), sub(8, 1));
    assert_eq!(
        delivered(&handle(&mut next, read_of(vec![aggregate(8, &texts("b", 2))]))),
        []
    );
}

/// Plays consumers one after the other over `puts`; each stops after some calls, where it had checkpointed.
fn consume(puts: &[Put], lives: &[(usize, usize, bool)]) -> (Vec<String>, Vec<String>) {
    let record = |(number, texts): &Put| match &texts[..] {
        [text] => Record::new(
            number.to_string().parse().unwrap(),
            "key",
            Timestamp::from_epoch_millis(0),
            text.clone(),
        ),
        texts => aggregate(*number, texts),
    };
    let records: Vec<Record> = puts.iter().map(record).collect();
    let mut got = Vec::new();
    let mut checkpoint = Position::TrimHorizon;
    let endless = lives.iter().chain(std::iter::repeat_n(&(3, usize::MAX, true), 1));
    for (batch_size, calls, deaggregate) in endless {
        let config = ShardConfig {
            batch_size: *batch_size,
            deaggregate: *deaggregate,
            ..ShardConfig::default()
        };
        let mut machine = begun(config, checkpoint.clone());
        // As the service does: from the record of the checkpoint on.
        let from = checkpoint.record().map(|position| position.sequence_number.clone());
        let rest = records
            .iter()
            .filter(|record| from.as_ref().is_none_or(|from| record.sequence_number >= *from));
        let mut effects = handle(&mut machine, read_of(rest.cloned().collect()));
        for _ in 0..*calls {
            let batch = delivered(&effects);
            if batch.is_empty() {
                break;
            }
            for record in batch {
                match crate::aggregate::Aggregate::read(&record.data) {
                    Some(whole) => got.extend(whole.map(|record| String::from_utf8(record.data.to_vec()).unwrap())),
                    None => got.extend(data(&[record])),
                }
            }
            effects = called(&mut machine, Outcome::Success);
            let handled = effects.iter().find_map(|effect| match effect {
                ShardEffect::Progress(position) => Some(position.clone()),
                _ => None,
            });
            let handled = handled.expect("a call that succeeded is progress");
            assert!(handled > checkpoint, "{handled} after {checkpoint}");
            checkpoint = handled;
        }
    }
    (puts.iter().flat_map(|(_, texts)| texts.clone()).collect(), got)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn given_any_records_and_restarts_when_consumed_then_each_record_comes_once_and_in_order(
        sizes in proptest::collection::vec(1_usize..8, 1..12),
        lives in proptest::collection::vec((1_usize..6, 0_usize..4), 0..8),
    ) {
        let puts: Vec<Put> = (1..).zip(&sizes).map(|(number, size)| (number, texts(&format!("{number}-"), *size))).collect();
        let lives: Vec<_> = lives.into_iter().map(|(size, calls)| (size, calls, true)).collect();
        let (put, got) = consume(&puts, &lives);
        prop_assert_eq!(got, put);
    }

    #[test]
    fn given_consumers_that_cut_aggregates_up_and_others_that_do_not_when_consumed_then_nothing_is_lost(
        sizes in proptest::collection::vec(1_usize..8, 1..12),
        lives in proptest::collection::vec((1_usize..6, 0_usize..4, any::<bool>()), 0..8),
    ) {
        let puts: Vec<Put> = (1..).zip(&sizes).map(|(number, size)| (number, texts(&format!("{number}-"), *size))).collect();
        let (put, mut got) = consume(&puts, &lives);
        // One that does not cut them up gets what was handled in part again.
        let mut seen = std::collections::BTreeSet::new();
        got.retain(|text| seen.insert(text.clone()));
        prop_assert_eq!(got, put);
    }
}
