use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    HashKeyRange, SequenceNumber, Shard, ShardId,
    aggregate::{Aggregate, UserRecord},
};

const NOW: Tick = Tick::from_origin(Duration::from_secs(100));
const LINGER: Duration = Duration::from_millis(100);

fn shard_id(number: usize) -> ShardId {
    ShardId::new(format!("shardId-{number:012}")).unwrap()
}

fn half(upper: bool) -> HashKeyRange {
    let middle = u128::MAX / 2;
    let (start, end) = if upper { (middle + 1, u128::MAX) } else { (0, middle) };
    HashKeyRange {
        start: HashKey(start),
        end: HashKey(end),
    }
}

fn halves(first: usize) -> Vec<Shard> {
    let half = |upper| Shard::new(shard_id(first + usize::from(upper)), half(upper));
    vec![half(false), half(true)]
}

fn low(text: &str) -> UserRecord {
    UserRecord::new("low", text.to_owned()).with_explicit_hash_key(HashKey::MIN)
}

fn high(text: &str) -> UserRecord {
    UserRecord::new("high", text.to_owned()).with_explicit_hash_key(HashKey::MAX)
}

/// A machine that knows two shards.
fn machine(change: impl FnOnce(&mut ProducerConfig)) -> ProducerMachine {
    let mut config = ProducerConfig::default();
    change(&mut config);
    config.validate().unwrap();
    let mut machine = ProducerMachine::new(config, 7);
    assert!(matches!(effects(&mut machine)[..], [ProducerEffect::ListShards] | []));
    machine.handle(NOW, ProducerInput::Listed(Ok(halves(0))));
    machine
}

fn effects(machine: &mut ProducerMachine) -> Vec<ProducerEffect> {
    std::iter::from_fn(|| machine.poll_effect()).collect()
}

fn put(machine: &mut ProducerMachine, id: u64, record: UserRecord) {
    machine.handle(NOW, ProducerInput::Put { id, record });
}

/// The calls among the effects, each with the data of its user records.
fn calls(effects: &[ProducerEffect]) -> Vec<(u64, Vec<Vec<String>>)> {
    let call = |effect: &ProducerEffect| match effect {
        ProducerEffect::Call { call, records, .. } => Some((*call, records.iter().map(inside).collect())),
        _ => None,
    };
    effects.iter().filter_map(call).collect()
}

fn inside(outer: &UserRecord) -> Vec<String> {
    let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
    match Aggregate::read(&outer.data) {
        Some(aggregate) => aggregate.map(|record| text(&record.data)).collect(),
        None => vec![text(&outer.data)],
    }
}

fn done(effects: Vec<ProducerEffect>) -> Vec<(u64, Result<Placed, PutFailure>)> {
    let done = |effect| match effect {
        ProducerEffect::Done { id, result } => Some((id, result)),
        _ => None,
    };
    effects.into_iter().filter_map(done).collect()
}

fn at(shard: usize, number: u64) -> Result<Written, Refusal> {
    Ok(Written {
        shard: shard_id(shard),
        sequence_number: SequenceNumber::new(number.to_string()).unwrap(),
    })
}

fn throttled() -> Refusal {
    Refusal {
        code: "ProvisionedThroughputExceededException".to_owned(),
        message: "slow down".to_owned(),
    }
}

fn answer(
    machine: &mut ProducerMachine,
    now: Tick,
    call: u64,
    results: Vec<Result<Written, Refusal>>,
) -> Vec<ProducerEffect> {
    machine.handle(
        now,
        ProducerInput::Answered {
            call,
            result: Ok(results),
        },
    );
    effects(machine)
}

#[test]
fn given_records_of_two_shards_when_they_have_waited_then_one_call_has_an_aggregate_for_each() {
    let mut machine = machine(|_| {});
    put(&mut machine, 1, low("a"));
    put(&mut machine, 2, high("b"));
    put(&mut machine, 3, low("c"));
    assert!(effects(&mut machine).is_empty(), "they wait for more");
    assert_eq!(machine.next_deadline(), Some(NOW + LINGER));
    machine.handle(NOW + LINGER, ProducerInput::Wake);
    let sent = calls(&effects(&mut machine));
    assert_eq!(sent[0].1, [vec!["a".to_owned(), "c".to_owned()], vec!["b".to_owned()]]);
    let results = done(answer(
        &mut machine,
        NOW + LINGER,
        sent[0].0,
        vec![at(0, 10), at(1, 20)],
    ));
    let third = results.iter().find(|(id, _)| *id == 3).unwrap().1.clone().unwrap();
    assert_eq!(
        (third.sub_sequence_number, third.attempts, third.shard),
        (1, 1, shard_id(0))
    );
    assert_eq!((results.len(), machine.next_deadline()), (3, None));
}

#[test]
fn given_a_flush_when_records_wait_then_they_go_at_once() {
    let mut machine = machine(|_| {});
    put(&mut machine, 1, low("a"));
    machine.handle(NOW, ProducerInput::Flush);
    assert_eq!(calls(&effects(&mut machine)).len(), 1);
}

#[test]
fn given_a_full_aggregate_when_more_comes_then_it_waits_in_the_next() {
    let mut machine = machine(|config| config.aggregation_max_count = 2);
    for id in 0..3 {
        put(&mut machine, id, low("a"));
    }
    machine.handle(NOW + LINGER, ProducerInput::Wake);
    assert_eq!(
        calls(&effects(&mut machine))[0]
            .1
            .iter()
            .map(Vec::len)
            .collect::<Vec<_>>(),
        [2, 1]
    );
}

#[test]
fn given_shards_that_cannot_be_listed_when_records_come_then_they_go_alone_and_it_is_listed_again() {
    let mut machine = ProducerMachine::new(ProducerConfig::default(), 7);
    machine.handle(NOW, ProducerInput::Listed(Err("denied".to_owned())));
    effects(&mut machine);
    put(&mut machine, 1, low("a"));
    put(&mut machine, 2, low("b"));
    machine.handle(NOW + LINGER, ProducerInput::Wake);
    assert_eq!(calls(&effects(&mut machine))[0].1.len(), 2);
    machine.handle(machine.next_deadline().unwrap(), ProducerInput::Wake);
    assert!(matches!(effects(&mut machine)[..], [ProducerEffect::ListShards]));
}

#[test]
fn given_records_that_come_before_the_shards_are_known_when_they_are_then_the_records_go_together() {
    let mut machine = ProducerMachine::new(ProducerConfig::default(), 7);
    put(&mut machine, 1, low("a"));
    put(&mut machine, 2, low("b"));
    machine.handle(NOW, ProducerInput::Listed(Ok(halves(0))));
    machine.handle(NOW + LINGER, ProducerInput::Wake);
    assert_eq!(calls(&effects(&mut machine))[0].1, [["a", "b"]]);
}

#[test]
fn given_a_refused_record_when_it_has_waited_then_it_is_sent_again_alone() {
    let mut machine = machine(|_| {});
    put(&mut machine, 1, low("a"));
    put(&mut machine, 2, high("b"));
    machine.handle(NOW, ProducerInput::Flush);
    let first = calls(&effects(&mut machine))[0].0;
    let told = answer(&mut machine, NOW, first, vec![Err(throttled()), at(1, 20)]);
    assert_eq!(done(told).len(), 1);
    let again = machine.next_deadline().unwrap();
    assert!(again > NOW);
    machine.handle(again, ProducerInput::Wake);
    let second = calls(&effects(&mut machine));
    assert_eq!(second[0].1, [["a"]]);
    let told = done(answer(&mut machine, again, second[0].0, vec![at(0, 11)]));
    assert_eq!(told[0].1.as_ref().unwrap().attempts, 2);
}

#[test]
fn given_a_record_that_is_never_taken_when_its_time_is_over_then_it_is_given_up_with_the_reason() {
    let mut machine = machine(|config| config.record_ttl = Duration::from_secs(3));
    put(&mut machine, 1, low("a"));
    let mut told = Vec::new();
    let mut now = NOW;
    while told.is_empty() {
        now = machine.next_deadline().expect("there is something to do");
        machine.handle(now, ProducerInput::Wake);
        let wanted = effects(&mut machine);
        for (call, _) in calls(&wanted) {
            answer(&mut machine, now, call, vec![Err(throttled())]);
        }
        told = done(wanted);
    }
    assert!(now >= NOW + Duration::from_secs(3));
    let Err(PutFailure::Expired { attempts, last }) = &told[0].1 else {
        panic!("{told:?}");
    };
    assert_eq!((*attempts > 1, last), (true, &Some(throttled())));
    assert_eq!(machine.next_deadline(), None);
}

#[test]
fn given_a_call_that_one_record_spoils_when_it_fails_then_each_is_tried_alone() {
    let mut machine = machine(|_| {});
    put(&mut machine, 1, low("good"));
    put(&mut machine, 2, high("bad"));
    machine.handle(NOW, ProducerInput::Flush);
    let mut told = Vec::new();
    let mut now = NOW;
    while told.len() < 2 {
        for (call, units) in calls(&effects(&mut machine)) {
            let result = if units.concat().contains(&"bad".to_owned()) {
                Err(CallFailure {
                    kind: CallFailureKind::Invalid,
                    refusal: Refusal {
                        code: "ValidationException".to_owned(),
                        message: "no".to_owned(),
                    },
                })
            } else {
                Ok(vec![at(0, 1)])
            };
            machine.handle(now, ProducerInput::Answered { call, result });
        }
        let wanted = effects(&mut machine);
        assert!(calls(&wanted).is_empty(), "what is tried again waits");
        told.extend(done(wanted));
        now = machine.next_deadline().unwrap_or(now);
        machine.handle(now, ProducerInput::Wake);
    }
    let refused: Vec<_> = told.iter().map(|(id, result)| (*id, result.is_err())).collect();
    assert!(
        refused.contains(&(1, false)) && refused.contains(&(2, true)),
        "{refused:?}"
    );
}

#[test]
fn given_a_split_when_an_aggregate_ends_up_in_a_child_then_what_straddles_is_sent_again() {
    let mut machine = ProducerMachine::new(ProducerConfig::default(), 7);
    effects(&mut machine);
    let whole = Shard::new(shard_id(9), HashKeyRange::FULL);
    machine.handle(NOW, ProducerInput::Listed(Ok(vec![whole])));
    put(&mut machine, 1, low("a"));
    put(&mut machine, 2, high("b"));
    machine.handle(NOW, ProducerInput::Flush);
    let sent = calls(&effects(&mut machine));
    assert_eq!(sent[0].1, [["a", "b"]]);
    let told = answer(&mut machine, NOW, sent[0].0, vec![at(10, 5)]);
    assert!(
        matches!(told[..], [ProducerEffect::ListShards]),
        "whether b is where it belongs is not known: {told:?}"
    );
    machine.handle(NOW, ProducerInput::Listed(Ok(halves(10))));
    let wanted = effects(&mut machine);
    assert_eq!(calls(&wanted)[0].1, [["a"], ["b"]]);
}

/// A service that answers as `luck` says, and notes what it took.
struct Service {
    shards: usize,
    taken: BTreeMap<HashKey, Vec<u64>>,
    number: u64,
}

impl Service {
    fn answer(
        &mut self,
        records: &[UserRecord],
        luck: u8,
        rng: &mut fastrand::Rng,
    ) -> Option<Vec<Result<Written, Refusal>>> {
        if rng.u8(..) < luck / 4 {
            return None;
        }
        let one = |outer: &UserRecord| {
            if rng.u8(..) < luck {
                return Err(throttled());
            }
            for text in inside(outer) {
                let (key, id) = text.split_once('/').unwrap();
                self.taken
                    .entry(HashKey(key.parse().unwrap()))
                    .or_default()
                    .push(id.parse().unwrap());
            }
            self.number += 1;
            let upper = half(true).contains(outer.hash_key());
            at(self.shards + usize::from(upper), self.number)
        };
        Some(records.iter().map(one).collect())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn given_any_trouble_when_records_are_put_then_each_is_told_once_and_keys_keep_their_order(
        puts in proptest::collection::vec((0_u128..5, 0_u64..150), 1..80),
        ordered in any::<bool>(), aggregation in any::<bool>(), luck in 0_u8..140, seed in any::<u64>(),
        count_max in 1_usize..6, calls_max in 1_usize..4,
    ) {
        let config = ProducerConfig {
            ordered,
            aggregation,
            aggregation_max_count: count_max,
            collection_max_count: 3,
            max_calls: calls_max,
            record_ttl: Duration::from_secs(1_000_000),
            ..ProducerConfig::default()
        };
        let mut machine = ProducerMachine::new(config, seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut service = Service { shards: 0, taken: BTreeMap::new(), number: 0 };
        let mut under_way: Vec<(u64, Vec<UserRecord>)> = Vec::new();
        let mut told = BTreeMap::new();
        let mut now = NOW;
        let mut put = puts.iter().zip(0_u64..);
        let mut idle = 0;
        while told.len() < puts.len() {
            for effect in effects(&mut machine) {
                match effect {
                    ProducerEffect::Call { call, records, .. } => under_way.push((call, records)),
                    ProducerEffect::ListShards => {
                        let closed = (0..service.shards).step_by(2).flat_map(halves).map(|shard| Shard {
                            ending_sequence_number: Some(SequenceNumber::new("1".to_owned()).unwrap()),
                            ..shard
                        });
                        let shards = closed.chain(halves(service.shards)).collect();
                        machine.handle(now, ProducerInput::Listed(if rng.u8(..) < luck { Err("no".to_owned()) } else { Ok(shards) }));
                    }
                    ProducerEffect::Done { id, result } => {
                        prop_assert!(result.is_ok(), "{result:?}");
                        prop_assert!(told.insert(id, ()).is_none(), "{id} is told once");
                    }
                    ProducerEffect::Again { .. } => {}
                }
            }
            prop_assert!(under_way.len() <= calls_max);
            idle += 1;
            prop_assert!(idle < 20_000, "it makes no progress: {} of {}", told.len(), puts.len());
            match rng.u8(..4) {
                0 => if let Some(((key, wait), id)) = put.next() {
                    now = now + Duration::from_millis(*wait);
                    let key = if *key > 2 { HashKey(u128::MAX - key) } else { HashKey(*key) };
                    let record = UserRecord::new(format!("{key}"), format!("{key}/{id}")).with_explicit_hash_key(key);
                    machine.handle(now, ProducerInput::Put { id, record });
                },
                1 if !under_way.is_empty() => {
                    let (call, records) = under_way.swap_remove(rng.usize(..under_way.len()));
                    let result = service.answer(&records, luck, &mut rng).ok_or_else(|| CallFailure {
                        kind: CallFailureKind::Passing,
                        refusal: throttled(),
                    });
                    machine.handle(now, ProducerInput::Answered { call, result });
                }
                2 if rng.u8(..20) == 0 => service.shards += 2,
                _ => if let Some(at) = machine.next_deadline() {
                    now = now.max(at);
                    machine.handle(now, ProducerInput::Wake);
                },
            }
        }
        let taken: usize = service.taken.values().map(Vec::len).sum();
        prop_assert!(taken >= puts.len());
        if ordered {
            for ids in service.taken.values() {
                prop_assert!(ids.is_sorted(), "{ids:?}");
            }
        }
    }
}
