//! Lanes, as the user's code and the lease table see them: any arrival, any order of completions, any failure, any stop.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::super::*;
use crate::{Batch, ChildShard, Record, ShardId, StreamName, fetch::Fetch, retry::Backoff};

mod examples;

const BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(100),
    longest: Duration::from_secs(1),
};

fn shard() -> ShardId {
    ShardId::new("shardId-0").unwrap()
}

/// Records that are numbered from 1 by sequence number, each with the key at its place.
fn records(keys: &[u8], from: usize, count: usize) -> Vec<Record> {
    let record = |(index, key): (usize, &u8)| {
        let number = (index + 1).to_string().parse().unwrap();
        let key = if *key == 0 { String::new() } else { format!("key-{key}") };
        Record::new(number, key, Timestamp::from_epoch_millis(0), "data")
    };
    keys.iter().enumerate().skip(from).take(count).map(record).collect()
}

fn index_of(record: &Record) -> usize {
    record.sequence_number.as_str().parse::<usize>().unwrap() - 1
}

fn covered(position: &Position) -> usize {
    position
        .record()
        .map_or(0, |record| record.sequence_number.as_str().parse().unwrap())
}

/// What the user's code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Success,
    Before(usize),
    Failure,
    Later(u64),
}

/// A shard, its consumer, and what was handled.
struct Shard {
    config: ShardConfig,
    machine: ShardMachine,
    now: Tick,
    keys: Vec<u8>,
    read: usize,
    fetch: Option<u32>,
    opening: bool,
    running: BTreeMap<CallId, Call>,
    handled: Vec<bool>,
    delivered: usize,
    progress: usize,
    stopped: Option<StopReason>,
    /// The newest record that was handled or under way when the stop came, or handled since.
    newest: usize,
    finish: Option<Finish>,
    repeats: usize,
    held_up: usize,
}

impl Shard {
    fn new(config: ShardConfig, keys: &[u8]) -> Self {
        let opened_at = Timestamp::from_epoch_millis(0);
        let mut shard = Self {
            config,
            machine: ShardMachine::new(config, Position::TrimHorizon, opened_at, 1 << 20, 7),
            now: Tick::ZERO,
            keys: keys.to_vec(),
            read: 0,
            fetch: None,
            opening: false,
            running: BTreeMap::new(),
            handled: vec![false; keys.len()],
            delivered: 0,
            progress: 0,
            stopped: None,
            newest: 0,
            finish: None,
            repeats: 0,
            held_up: 0,
        };
        shard.perform();
        shard
    }

    fn tell(&mut self, input: ShardInput) {
        self.machine.handle(self.now, input);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                ShardEffect::Open(_) => self.opening = true,
                ShardEffect::Fetch { max_records } => self.fetch = Some(max_records),
                // Nothing was given that was not served.
                ShardEffect::Close => (self.opening, self.fetch) = (false, None),
                ShardEffect::Reconnect => {}
                ShardEffect::Call { id, call } => self.called(id, call),
                ShardEffect::CancelCalls => assert_eq!(self.stopped, Some(StopReason::LeaseLost)),
                ShardEffect::Progress(position) => {
                    assert_ne!(self.stopped, Some(StopReason::LeaseLost), "nothing counts any more");
                    self.progress = covered(&position);
                    assert_eq!(
                        self.progress,
                        self.prefix(),
                        "no-loss: the watermark is what is handled without a gap"
                    );
                }
                ShardEffect::Checkpoint(position) => {
                    assert!(covered(&position) <= self.prefix(), "no-loss");
                    self.machine.handle(self.now, ShardInput::Stored(position));
                }
                ShardEffect::Finished(finish) => self.finish = Some(finish),
                ShardEffect::Event(ShardEvent::Repeats { records }) => self.repeats += records,
                ShardEffect::Event(ShardEvent::HeldUp { .. }) => self.held_up += 1,
                ShardEffect::Event(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Everything before here is handled.
    fn prefix(&self) -> usize {
        self.handled.iter().take_while(|handled| **handled).count()
    }

    fn running_batches(&self) -> impl Iterator<Item = &Batch> {
        self.running.values().filter_map(|call| match call {
            Call::Process { batch, .. } => Some(batch),
            _ => None,
        })
    }

    /// Whether the records of two keys may not overtake each other.
    fn are_ordered(&self, one: u8, other: u8) -> bool {
        match self.config.lanes {
            Lanes::One => true,
            Lanes::PerRecord { .. } => false,
            _ => one == other,
        }
    }

    fn called(&mut self, id: CallId, call: Call) {
        if let Call::Process { batch, .. } = &call {
            assert!(!batch.is_empty() && batch.len() <= self.config.batch_size);
            let running = self.running_batches().count();
            assert!(running < self.config.lanes.calls(), "{running} calls run already");
            for (at, record) in batch.iter().enumerate() {
                let (index, key) = (index_of(record), self.keys[index_of(record)]);
                assert!(!self.handled[index], "record {index} was handled before");
                for earlier in (0..index).filter(|earlier| self.are_ordered(key, self.keys[*earlier])) {
                    let in_batch = batch[..at].iter().any(|record| index_of(record) == earlier);
                    assert!(self.handled[earlier] || in_batch, "order: {index} before {earlier}");
                }
                let busy = || self.running_batches().flat_map(Batch::records).map(index_of);
                assert!(busy().all(|other| other != index), "record {index} is under way twice");
                assert!(
                    busy().all(|other| !self.are_ordered(key, self.keys[other])),
                    "order: two at once"
                );
                self.delivered = self.delivered.max(index + 1);
                if self.stopped.is_some() {
                    assert!(index < self.newest, "{index} is new, and the consumer stops");
                }
            }
            if self.config.lanes != Lanes::One {
                let window = self.delivered - self.prefix();
                assert!(window <= self.config.window, "{window} records in the window");
            }
        } else {
            assert!(self.running.is_empty(), "{} beside other calls", call.name());
        }
        self.running.insert(id, call);
    }

    fn answer(&mut self, id: CallId, answer: Answer) {
        let call = self.running.remove(&id).unwrap();
        let lost = self.stopped == Some(StopReason::LeaseLost);
        let outcome = match (answer, &call) {
            (Answer::Success, _) => Outcome::Success,
            (Answer::Before(count), Call::Process { batch, .. }) => Outcome::SuccessBefore(count.min(batch.len())),
            (Answer::Later(millis), _) => Outcome::Postponed {
                wait: Duration::from_millis(millis),
                reason: "not now".to_owned(),
            },
            _ => Outcome::Failure("no".to_owned()),
        };
        if let Call::Process { batch, .. } = &call
            && !lost
        {
            let count = match &outcome {
                Outcome::Success => batch.len(),
                Outcome::SuccessBefore(count) => *count,
                _ => 0,
            };
            for record in &batch[..count] {
                self.handled[index_of(record)] = true;
                self.newest = self.newest.max(index_of(record) + 1);
            }
        }
        self.tell(ShardInput::Called(id, outcome));
    }

    /// The service answers what it was asked.
    fn serve(&mut self) -> bool {
        if std::mem::take(&mut self.opening) {
            self.tell(ShardInput::Opened(Ok(())));
            return true;
        }
        let Some(max_records) = self.fetch.take() else {
            return false;
        };
        let records = records(&self.keys, self.read, max_records as usize);
        self.read += records.len();
        let end = (self.read == self.keys.len()).then(|| {
            vec![ChildShard {
                id: ShardId::new("shardId-1").unwrap(),
                parents: vec![shard()],
                hash_key_range: None,
            }]
        });
        let batch = Batch::new(StreamName::new("s").unwrap(), shard(), records);
        self.tell(ShardInput::Fetched(Ok(Fetch {
            batch,
            end,
            continuation: None,
        })));
        true
    }

    /// Goes on to the next deadline.
    fn wait(&mut self) -> bool {
        let Some(deadline) = self.machine.next_deadline() else {
            return false;
        };
        self.now = self.now.max(deadline);
        self.tell(ShardInput::Wake);
        true
    }

    fn stop(&mut self, reason: StopReason) {
        self.stopped = Some(reason);
        let under_way = self.running_batches().flat_map(Batch::records).map(index_of).max();
        let handled = self.handled.iter().rposition(|handled| *handled);
        self.newest = under_way.max(handled).map_or(0, |index| index + 1);
        self.tell(ShardInput::Stop(reason));
    }

    /// From here on everything succeeds.
    fn settle(&mut self) {
        for _ in 0..20_000 {
            if self.finish.is_some() {
                return;
            }
            // The newest first: as far out of order as can be.
            if let Some(id) = self.running.keys().next_back().copied() {
                self.answer(id, Answer::Success);
            } else if !self.serve() {
                assert!(
                    self.wait(),
                    "nothing happens any more: {:?}",
                    self.machine.status(self.now)
                );
            }
        }
        panic!("it never ends: {:?}", self.machine.status(self.now));
    }
}

fn any_lanes() -> impl Strategy<Value = Lanes> {
    prop_oneof![
        1 => Just(Lanes::One),
        3 => (1..5usize).prop_map(Lanes::Hashed),
        3 => (1..5usize).prop_map(|calls| Lanes::PerKey { calls }),
        1 => (1..5usize).prop_map(|calls| Lanes::PerRecord { calls }),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Success),
        2 => (0..6usize).prop_map(Answer::Before),
        2 => Just(Answer::Failure),
        1 => (0..2_000u64).prop_map(Answer::Later),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Answer(prop::sample::Index, Answer),
    Serve,
    Wait,
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<prop::sample::Index>(), any_answer()).prop_map(|(which, answer)| Step::Answer(which, answer)),
        2 => Just(Step::Serve),
        2 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 0..80)
}

fn any_shard() -> impl Strategy<Value = Shard> {
    let keys = prop::collection::vec(0..6u8, 1..60);
    (any_lanes(), 1..40usize, 1..8usize, 1..30u32, keys).prop_map(|(lanes, window, batch_size, max_records, keys)| {
        let config = ShardConfig {
            lanes,
            window,
            batch_size,
            max_records,
            handler_backoff: BACKOFF,
            ..ShardConfig::default()
        };
        Shard::new(config, &keys)
    })
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {:?}", self.config, self.keys)
    }
}

impl Shard {
    fn live(&mut self, steps: &[Step]) {
        // `initialize` comes first.
        let first = *self.running.keys().next().unwrap();
        self.answer(first, Answer::Success);
        for step in steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        if self.finish.is_some() {
            return;
        }
        match step {
            Step::Answer(which, answer) if !self.running.is_empty() => {
                let id = *self.running.keys().nth(which.index(self.running.len())).unwrap();
                self.answer(id, *answer);
            }
            Step::Answer(..) | Step::Wait => drop(self.wait()),
            Step::Serve => drop(self.serve()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn given_any_life_when_it_goes_on_then_every_record_is_handled_once_and_in_order_and_the_shard_ends(
        mut shard in any_shard(), steps in any_steps(),
    ) {
        shard.live(&steps);
        shard.settle();
        prop_assert!(shard.handled.iter().all(|handled| *handled));
        prop_assert_eq!(shard.progress, shard.keys.len());
        prop_assert!(matches!(shard.finish, Some(Finish::Ended(_))));
        prop_assert_eq!(shard.repeats, 0);
    }

    #[test]
    fn given_any_life_when_it_stops_and_all_succeeds_then_nothing_new_begins_and_nothing_is_repeated(
        mut shard in any_shard(), steps in any_steps(), hand_off: bool,
    ) {
        // What the user's code puts off is not asked for in a stop.
        let at_once = |step: Step| match step {
            Step::Answer(which, Answer::Later(_)) => Step::Answer(which, Answer::Failure),
            step => step,
        };
        shard.live(&steps.into_iter().map(at_once).collect::<Vec<_>>());
        shard.stop(if hand_off { StopReason::HandOff } else { StopReason::Shutdown });
        shard.settle();
        let handled = shard.handled.iter().filter(|handled| **handled).count();
        prop_assert_eq!(handled, shard.prefix(), "handled records lie behind a gap");
        prop_assert_eq!(shard.progress, shard.prefix());
        prop_assert_eq!(shard.repeats, 0);
    }

    #[test]
    fn given_any_life_when_it_stops_amid_trouble_then_it_ends_and_says_what_is_repeated(
        mut shard in any_shard(), before in any_steps(), after in any_steps(),
    ) {
        shard.live(&before);
        shard.stop(StopReason::Shutdown);
        for step in &after {
            shard.step(step);
        }
        shard.settle();
        let handled = shard.handled.iter().filter(|handled| **handled).count();
        prop_assert_eq!(shard.progress, shard.prefix());
        prop_assert_eq!(shard.repeats, handled - shard.prefix());
    }

    #[test]
    fn given_any_life_when_every_try_fails_in_a_stop_then_it_ends_all_the_same(
        mut shard in any_shard(), before in any_steps(),
    ) {
        shard.live(&before);
        shard.stop(StopReason::HandOff);
        for _ in 0..2_000 {
            let Some((id, call)) = shard.running.first_key_value() else {
                if shard.finish.is_some() || !shard.wait() {
                    break;
                }
                continue;
            };
            let (id, is_delivery) = (*id, matches!(call, Call::Process { .. }));
            shard.answer(id, if is_delivery { Answer::Failure } else { Answer::Success });
        }
        prop_assert!(shard.finish.is_some());
    }

    #[test]
    fn given_any_life_when_the_lease_is_lost_then_all_calls_end_and_none_counts(
        mut shard in any_shard(), before in any_steps(), after in any_steps(),
    ) {
        shard.live(&before);
        let (progress, had_ended) = (shard.progress, shard.finish.is_some());
        shard.stop(StopReason::LeaseLost);
        for step in &after {
            shard.step(step);
        }
        shard.settle();
        prop_assert_eq!(shard.progress, progress);
        prop_assert!(had_ended || shard.finish == Some(Finish::Lost));
    }
}
