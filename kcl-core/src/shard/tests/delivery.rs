//! Deliveries by rules: what the user's code is called with, what goes to the dead letters, and how far the shard is passed.

use std::{collections::VecDeque, sync::Arc};

use super::*;
use crate::delivery::{
    Admission, Admitted, BreakerConfig, DeliveryPolicy, DeliverySettings, DiscardReason, Exhausted, FailedItems,
};

const SECOND: Duration = Duration::from_secs(1);
/// What the wall clock says when a test begins.
const EPOCH: Timestamp = Timestamp::from_epoch_millis(1_000_000_000);

/// Records whose data is their number: those that begin with `x` are unreadable, odd ones are not wanted.
#[derive(Debug)]
struct EvenOnly;

impl Admission for EvenOnly {
    fn admits(&self, record: &Record) -> Admitted {
        match record.sequence_number.as_str().parse::<u64>() {
            _ if record.partition_key.starts_with('x') => Admitted::Unreadable,
            Ok(number) if number % 2 == 0 => Admitted::Yes,
            _ => Admitted::No,
        }
    }
}

/// A consumer whose calls end at once, and what was asked of it.
pub(super) struct Consumer {
    machine: ShardMachine,
    now: Tick,
    /// The records of each call, and the seconds since the beginning.
    calls: Vec<Vec<u64>>,
    times: Vec<u64>,
    letters: Vec<(Vec<u64>, DiscardReason, u32)>,
    events: Vec<ShardEvent>,
    reads: VecDeque<Fetch>,
    passed: u64,
    finish: Option<Finish>,
    /// The worker stops while this call runs.
    stop_in_call: Option<usize>,
}

impl Consumer {
    fn new(policy: DeliveryPolicy, lanes: Lanes, batch_size: usize) -> Self {
        Self::with(
            DeliverySettings {
                policy,
                ..DeliverySettings::default()
            },
            lanes,
            batch_size,
        )
    }

    fn with(settings: DeliverySettings, lanes: Lanes, batch_size: usize) -> Self {
        let config = ShardConfig {
            lanes,
            batch_size,
            handler_backoff: crate::retry::Backoff {
                initial: SECOND,
                longest: MINUTE,
            },
            ..ShardConfig::default()
        };
        let mut machine =
            ShardMachine::new(config, Position::TrimHorizon, EPOCH, 1 << 20, 7).with_delivery(settings, NOW);
        machine.handle(NOW, ShardInput::Wake);
        Self {
            machine,
            now: NOW,
            calls: Vec::new(),
            times: Vec::new(),
            letters: Vec::new(),
            events: Vec::new(),
            reads: VecDeque::new(),
            passed: 0,
            finish: None,
            stop_in_call: None,
        }
    }

    /// Records with these numbers and keys are read; they arrived just now.
    fn read(&mut self, records: impl IntoIterator<Item = (u64, &'static str)>) {
        let arrived = EPOCH.saturating_add(self.now.since(NOW));
        self.read_from(arrived, records, None);
    }

    fn read_from(
        &mut self,
        arrived: Timestamp,
        records: impl IntoIterator<Item = (u64, &'static str)>,
        end: Option<Vec<ChildShard>>,
    ) {
        let record =
            |(number, key): (u64, &'static str)| Record::new(number.to_string().parse().unwrap(), key, arrived, "data");
        let records: Vec<Record> = records.into_iter().map(record).collect();
        self.reads.push_back(Fetch {
            batch: batch([]).with_records(records),
            end,
            continuation: None,
        });
    }

    /// Lets time pass; calls are answered as `answer` says.
    fn run(&mut self, time: Duration, mut answer: impl FnMut(&[u64]) -> Outcome) {
        let until = self.now + time;
        loop {
            while let Some(effect) = self.machine.poll_effect() {
                match effect {
                    ShardEffect::Call { id, call } => {
                        let outcome = self.call(call, &mut answer);
                        if self.stop_in_call == Some(self.calls.len()) {
                            self.machine.handle(self.now, ShardInput::Stop(StopReason::Shutdown));
                        }
                        self.machine.handle(self.now, ShardInput::Called(id, outcome));
                    }
                    ShardEffect::Progress(position) | ShardEffect::Checkpoint(position) => {
                        self.passed = position.record().unwrap().sequence_number.as_str().parse().unwrap();
                        self.machine.handle(self.now, ShardInput::Stored(position));
                    }
                    ShardEffect::Open(_) => self.machine.handle(self.now, ShardInput::Opened(Ok(()))),
                    ShardEffect::Fetch { .. } => {
                        let nothing = || Fetch {
                            batch: batch([]).with_millis_behind_latest(Some(0)),
                            end: None,
                            continuation: None,
                        };
                        let fetch = self.reads.pop_front().unwrap_or_else(nothing);
                        self.machine.handle(self.now, ShardInput::Fetched(Ok(fetch)));
                    }
                    ShardEffect::Event(event) => self.events.push(event),
                    ShardEffect::Finished(finish) => self.finish = Some(finish),
                    _ => {}
                }
            }
            match self.machine.next_deadline().filter(|at| *at <= until) {
                Some(at) => {
                    assert!(at >= self.now || self.finish.is_some(), "deadlines lie ahead");
                    self.now = at.max(self.now);
                    self.machine.handle(self.now, ShardInput::Wake);
                }
                None => break,
            }
        }
        self.now = until;
    }

    fn call(&mut self, call: Call, answer: &mut impl FnMut(&[u64]) -> Outcome) -> Outcome {
        let numbers = |batch: &Batch| -> Vec<u64> {
            let number = |record: &Record| record.sequence_number.as_str().parse().unwrap();
            batch.iter().map(number).collect()
        };
        match call {
            Call::Process { batch, .. } => {
                let numbers = numbers(&batch);
                let outcome = answer(&numbers);
                self.calls.push(numbers);
                self.times.push(self.now.since(NOW).as_secs());
                outcome
            }
            Call::Discard(discard) => {
                let numbers = numbers(&discard.batch);
                self.letters.push((numbers, discard.reason, discard.attempts));
                Outcome::Success
            }
            _ => Outcome::Success,
        }
    }

    fn calls(&mut self) -> Vec<Vec<u64>> {
        std::mem::take(&mut self.calls)
    }
}

fn plain(numbers: impl IntoIterator<Item = u64>) -> impl IntoIterator<Item = (u64, &'static str)> {
    numbers.into_iter().map(|number| (number, "key"))
}

fn poison(number: u64) -> impl FnMut(&[u64]) -> Outcome {
    move |numbers| {
        if numbers.contains(&number) {
            Outcome::Failure("poison".to_owned())
        } else {
            Outcome::Success
        }
    }
}

fn success(_: &[u64]) -> Outcome {
    Outcome::Success
}

fn list(numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
    numbers.into_iter().collect()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn given_two_retries_when_a_batch_keeps_failing_then_it_is_tried_three_times_and_discarded_whole() {
    let policy = DeliveryPolicy {
        max_retries: Some(2),
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 5);
    consumer.read(plain(1..=7));
    consumer.run(HOUR, poison(3));
    assert_eq!(consumer.calls(), [list(1..=5), list(1..=5), list(1..=5), list(6..=7)]);
    let reason = DiscardReason::RetryAttemptsExhausted;
    assert_eq!(consumer.letters, [(list(1..=5), reason, 3)]);
    assert_eq!(consumer.passed, 7);
    assert_eq!(consumer.machine.status(consumer.now).discarded_records, 5);
}

#[test]
fn given_three_retries_when_a_record_is_named_as_failed_then_the_rest_has_a_budget_of_its_own() {
    let policy = DeliveryPolicy {
        max_retries: Some(3),
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 100);
    consumer.read(plain(1..=5));
    let third = |numbers: &[u64]| Outcome::SuccessBefore(numbers.iter().take_while(|number| **number < 3).count());
    consumer.run(HOUR, third);
    let (all, rest) = (list(1..=5), list(3..=5));
    assert_eq!(
        consumer.calls(),
        [all, rest.clone(), rest.clone(), rest.clone(), rest.clone()]
    );
    assert_eq!(consumer.letters, [(rest, DiscardReason::RetryAttemptsExhausted, 4)]);
}

#[test]
fn given_bisecting_when_one_of_eight_is_poison_then_the_halves_are_tried_left_first_and_it_goes_alone() {
    let policy = DeliveryPolicy {
        max_retries: Some(1),
        bisect: true,
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 8);
    consumer.read(plain(1..=12));
    consumer.run(HOUR, poison(6));
    let expected = [
        list(1..=8),
        list(1..=4),
        list(5..=8),
        list(5..=6),
        list([5]),
        list([6]),
        list([6]),
        list(7..=8),
        list(9..=12),
    ];
    assert_eq!(consumer.calls(), expected);
    assert_eq!(
        consumer.letters,
        [(list([6]), DiscardReason::RetryAttemptsExhausted, 2)]
    );
    assert_eq!(consumer.passed, 12);
}

#[test]
fn given_bisecting_when_the_first_record_is_named_then_it_alone_uses_its_retries_up() {
    let policy = DeliveryPolicy {
        max_retries: Some(0),
        bisect: true,
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 8);
    consumer.read(plain(1..=4));
    let named = |numbers: &[u64]| match numbers.iter().position(|number| *number == 2) {
        Some(index) => Outcome::SuccessBefore(index),
        None => Outcome::Success,
    };
    consumer.run(HOUR, named);
    assert_eq!(consumer.calls(), [list(1..=4), list(2..=4), list([2]), list(3..=4)]);
    assert_eq!(
        consumer.letters,
        [(list([2]), DiscardReason::RetryAttemptsExhausted, 1)]
    );
}

#[test]
fn given_an_age_limit_when_only_the_first_record_is_older_then_the_others_are_delivered() {
    let policy = DeliveryPolicy {
        max_retries: Some(0),
        max_record_age: Some(MINUTE),
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 100);
    consumer.read_from(EPOCH.saturating_sub(MINUTE + SECOND), plain([1]), None);
    consumer.read(plain(2..=6));
    consumer.run(HOUR, success);
    assert_eq!(consumer.calls(), [list(2..=6)]);
    assert_eq!(consumer.letters, [(list([1]), DiscardReason::RecordAgeExceeded, 0)]);
    assert_eq!(consumer.passed, 6);
}

#[test]
fn given_endless_retries_and_an_age_limit_when_a_batch_keeps_failing_then_it_is_given_up_by_age() {
    let policy = DeliveryPolicy {
        max_record_age: Some(MINUTE),
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 100);
    consumer.read(plain(1..=2));
    consumer.run(HOUR, |_| Outcome::Failure("no".to_owned()));
    let tried = consumer.calls().len();
    assert!((5..=8).contains(&tried), "{tried}");
    let attempts = u32::try_from(tried).unwrap();
    assert_eq!(
        consumer.letters,
        [(list(1..=2), DiscardReason::RecordAgeExceeded, attempts)]
    );
}

#[test]
fn given_no_retries_when_the_code_cannot_be_called_then_that_is_no_try() {
    let policy = DeliveryPolicy {
        max_retries: Some(0),
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 100);
    consumer.read(plain(1..=2));
    let mut calls = 0;
    consumer.run(HOUR, |_| {
        calls += 1;
        if calls <= 5 {
            Outcome::NotCalled {
                wait: Some(SECOND),
                reason: "no process".to_owned(),
            }
        } else {
            Outcome::Success
        }
    });
    assert_eq!(consumer.times, [0, 1, 2, 3, 4, 5], "it is tried when it is asked for");
    assert_eq!((consumer.passed, consumer.letters.len()), (2, 0));
}

#[test]
fn given_a_batching_window_when_records_come_then_they_wait_for_its_end_or_a_full_batch() {
    let policy = DeliveryPolicy {
        batching_window: 10 * SECOND,
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 4);
    consumer.read(plain(1..=2));
    consumer.run(4 * SECOND, success);
    assert_eq!(consumer.calls(), Vec::<Vec<u64>>::new());
    consumer.read(plain([3]));
    consumer.run(7 * SECOND, success);
    assert_eq!(consumer.calls(), [list(1..=3)]);
    // The next window began at 10 s; it is full before it ends.
    consumer.read(plain(4..=9));
    consumer.run(SECOND, success);
    assert_eq!(consumer.calls(), [list(4..=7)]);
    consumer.run(9 * SECOND, success);
    assert_eq!(
        consumer.calls(),
        Vec::<Vec<u64>>::new(),
        "a window begins when a delivery ends: at 11 s"
    );
    consumer.run(2 * SECOND, success);
    assert_eq!(consumer.calls(), [list(8..=9)]);
    assert_eq!(consumer.times, [10, 11, 21]);
}

#[test]
fn given_a_batching_window_when_the_shard_ends_then_nothing_waits_for_it() {
    let policy = DeliveryPolicy {
        batching_window: 300 * SECOND,
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::Hashed(3), 100);
    consumer.read_from(EPOCH, [(1, "a"), (2, "b"), (3, "c")], Some(end()));
    consumer.run(SECOND, success);
    assert_eq!(consumer.calls().concat().len(), 3);
    assert_eq!(consumer.finish, Some(Finish::Ended(end())));
}

#[test]
fn given_a_limit_of_payload_when_records_are_delivered_then_batches_keep_it_and_what_is_larger_is_discarded() {
    #[derive(Debug)]
    struct Numbers;
    impl Admission for Numbers {
        fn payload(&self, record: &Record) -> u64 {
            record.sequence_number.as_str().parse().unwrap()
        }
    }
    let settings = DeliverySettings {
        policy: DeliveryPolicy {
            max_payload: Some(10),
            ..DeliveryPolicy::default()
        },
        admission: Arc::new(Numbers),
    };
    let mut consumer = Consumer::with(settings, Lanes::One, 100);
    consumer.read(plain([1, 2, 3, 4, 5, 6, 11, 12, 13]));
    consumer.run(HOUR, success);
    assert_eq!(consumer.calls(), [list(1..=4), list([5]), list([6])]);
    let reason = DiscardReason::PayloadTooLarge;
    let expected = [
        (list([11]), reason, 0),
        (list([12]), reason, 0),
        (list([13]), reason, 0),
    ];
    assert_eq!(consumer.letters, expected);
    assert_eq!(consumer.passed, 13);
}

#[test]
fn given_a_filter_when_records_are_read_then_the_others_count_for_no_batch_and_are_passed() {
    let settings = DeliverySettings {
        admission: Arc::new(EvenOnly),
        ..DeliverySettings::default()
    };
    let mut consumer = Consumer::with(settings, Lanes::One, 2);
    consumer.read([(1, "a"), (2, "a"), (3, "x"), (4, "a"), (6, "a"), (7, "a"), (8, "x")]);
    consumer.run(SECOND, success);
    assert_eq!(consumer.calls(), [list([2, 4]), list([6])]);
    assert_eq!(
        consumer.passed, 8,
        "what was left out behind the last record is passed too"
    );
    consumer.read([(9, "a"), (11, "a")]);
    consumer.run(10 * SECOND, success);
    assert_eq!(
        (consumer.calls().len(), consumer.passed),
        (0, 11),
        "and without any call"
    );
    let status = consumer.machine.status(consumer.now);
    assert_eq!((status.handled_records, status.filtered_records), (3, 6));
}

#[test]
fn given_dead_letters_that_cannot_be_kept_when_a_batch_is_given_up_then_it_is_not_passed() {
    let policy = DeliveryPolicy {
        max_retries: Some(0),
        ..DeliveryPolicy::default()
    };
    let settings = DeliverySettings {
        policy,
        ..DeliverySettings::default()
    };
    let mut machine = reading().with_delivery(settings, NOW);
    handle(&mut machine, fetched(1..=2));
    let mut wanted = called(&mut machine, Outcome::Failure("no".to_owned()));
    for minute in 1..=3 {
        let discards = |effect: &ShardEffect| {
            matches!(
                effect,
                ShardEffect::Call {
                    call: Call::Discard(_),
                    ..
                }
            )
        };
        assert!(wanted.iter().any(discards), "{wanted:?}");
        assert!(!wanted.iter().any(|effect| matches!(effect, ShardEffect::Progress(_))));
        called(&mut machine, Outcome::Failure("disk full".to_owned()));
        machine.handle(NOW + minute * MINUTE, ShardInput::Wake);
        wanted = effects(&mut machine);
    }
    assert!(called(&mut machine, Outcome::Success).contains(&ShardEffect::Progress(at(2))));
}

#[test]
fn given_each_item_for_itself_when_some_fail_then_only_they_and_what_follows_them_in_their_keys_come_again() {
    let policy = DeliveryPolicy {
        failed_items: FailedItems::Each,
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 100);
    consumer.read([(1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "b"), (6, "a")]);
    let mut first = true;
    consumer.run(HOUR, |_| {
        if std::mem::take(&mut first) {
            // Numbers 2 and 3.
            Outcome::FailedItems(vec![2, 1])
        } else {
            Outcome::Success
        }
    });
    assert_eq!(consumer.calls(), [list(1..=6), list([2, 3, 5, 6])]);
    assert_eq!(consumer.passed, 6);
}

#[test]
fn given_the_strict_order_when_some_fail_then_the_first_of_them_decides() {
    let mut consumer = Consumer::new(DeliveryPolicy::default(), Lanes::One, 100);
    consumer.read(plain(1..=4));
    let mut first = true;
    consumer.run(HOUR, |_| {
        if std::mem::take(&mut first) {
            Outcome::FailedItems(vec![3, 1])
        } else {
            Outcome::Success
        }
    });
    assert_eq!(consumer.calls(), [list(1..=4), list(2..=4)]);
}

#[test]
fn given_quarantine_when_a_record_is_given_up_then_its_key_waits_and_the_others_flow_until_it_is_released() {
    let policy = DeliveryPolicy {
        max_retries: Some(0),
        bisect: true,
        exhausted: Exhausted::Quarantine,
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 100);
    consumer.read([(1, "a"), (2, "b"), (3, "a")]);
    consumer.run(HOUR, poison(1));
    consumer.read([(4, "b"), (5, "a"), (6, "b")]);
    consumer.run(HOUR, success);
    let reason = DiscardReason::Quarantined;
    let letters = [
        (list([1]), DiscardReason::RetryAttemptsExhausted, 1),
        (list([3]), reason, 0),
        (list([5]), reason, 0),
    ];
    assert_eq!(consumer.letters, letters);
    let delivered = consumer.calls().split_off(2).concat();
    assert_eq!(delivered, [2, 4, 6]);
    assert_eq!(consumer.passed, 6);
    consumer
        .machine
        .handle(consumer.now, ShardInput::Quarantined(Vec::new()));
    consumer.read([(7, "a")]);
    consumer.run(SECOND, success);
    assert_eq!(consumer.calls(), [list([7])]);
}

#[test]
fn given_a_circuit_breaker_when_calls_keep_failing_then_there_is_a_pause_and_one_call_decides() {
    let policy = DeliveryPolicy {
        breaker: Some(BreakerConfig {
            failures: 3,
            pause: 100 * SECOND,
        }),
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::PerKey { calls: 1 }, 100);
    consumer.read([(1, "a"), (2, "b"), (3, "c"), (4, "d")]);
    consumer.run(99 * SECOND, |_| Outcome::Failure("down".to_owned()));
    assert_eq!(consumer.calls().len(), 3, "the fourth lane is not even tried");
    assert!(consumer.machine.status(consumer.now).lanes.circuit_open);
    consumer.run(2 * SECOND, |_| Outcome::Failure("down".to_owned()));
    assert_eq!(consumer.calls().len(), 1, "one call asks whether it is over");
    consumer.run(100 * SECOND, success);
    assert_eq!(consumer.calls().len(), 4);
    assert_eq!(consumer.passed, 4);
    let circuit = |event: &&ShardEvent| matches!(event, ShardEvent::Circuit { .. });
    assert_eq!(
        consumer.events.iter().filter(circuit).count(),
        2,
        "opened and closed, told once each"
    );
}

#[test]
fn given_an_open_circuit_when_the_one_call_handles_some_items_then_it_closes_and_when_it_handles_none_it_does_not() {
    let policy = DeliveryPolicy {
        failed_items: FailedItems::Each,
        breaker: Some(BreakerConfig {
            failures: 1,
            pause: 100 * SECOND,
        }),
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 100);
    consumer.read([(1, "a"), (2, "b")]);
    consumer.run(SECOND, |_| Outcome::Failure("down".to_owned()));
    consumer.run(100 * SECOND, |_| Outcome::FailedItems(vec![0, 1]));
    assert!(
        consumer.machine.status(consumer.now).lanes.circuit_open,
        "nothing was handled"
    );
    consumer.run(100 * SECOND, |numbers| {
        Outcome::FailedItems((1..numbers.len()).collect())
    });
    assert!(!consumer.machine.status(consumer.now).lanes.circuit_open);
    assert_eq!(consumer.passed, 2);
}

#[test]
fn given_a_stop_when_a_batch_is_cut_in_pieces_then_nothing_is_passed_that_was_not_handled() {
    let policy = DeliveryPolicy {
        max_retries: Some(0),
        bisect: true,
        ..DeliveryPolicy::default()
    };
    let mut consumer = Consumer::new(policy, Lanes::One, 8);
    consumer.read(plain(1..=8));
    // The second half's first call is under way when the stop comes.
    consumer.stop_in_call = Some(3);
    consumer.run(HOUR, poison(6));
    assert_eq!(consumer.finish, Some(Finish::Drained));
    assert_eq!(
        (consumer.machine.status(consumer.now).handled, consumer.letters.len()),
        (at(4), 0)
    );
}
