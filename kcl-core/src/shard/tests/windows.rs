//! Tumbling windows: which records are one window's, when it ends, and what a crash leaves of its state.

use bytes::Bytes;

use super::*;
use crate::{
    delivery::{DeliveryPolicy, DeliverySettings, LARGEST_WINDOW_STATE},
    lease::PendingCheckpoint,
};

const SECOND: Duration = Duration::from_secs(1);
/// When a test begins: the start of a window.
const EPOCH: Timestamp = Timestamp::from_epoch_millis(1_000_020_000);

/// A call, in seconds since the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    numbers: Vec<u64>,
    window: i64,
    state: String,
    is_final: bool,
    is_early: bool,
}

fn seen(window: i64, state: &str, numbers: impl IntoIterator<Item = u64>) -> Seen {
    Seen {
        numbers: numbers.into_iter().collect(),
        window,
        state: state.to_owned(),
        is_final: false,
        is_early: false,
    }
}

fn last(window: i64, state: &str) -> Seen {
    Seen {
        is_final: true,
        ..seen(window, state, [])
    }
}

/// A shard, the row of its lease, and the consumer that lives.
struct Table {
    /// Numbers, and when they arrived in seconds.
    log: Vec<(u64, u64)>,
    is_closed: bool,
    cursor: usize,
    /// The most records that a read gives.
    per_read: usize,
    row: (Position, Option<Bytes>),
    /// What the consumer told last, and is not in the row.
    told: Option<(Position, Option<Bytes>)>,
    /// What ended windows came to: as of the row, and since.
    kept: Vec<Seen>,
    since: Vec<Seen>,
    /// A window that ended, and the consumer did not tell yet what is to be kept since.
    ended: Option<Seen>,
    machine: ShardMachine,
    now: Tick,
    calls: Vec<Seen>,
    finish: Option<Finish>,
}

impl Table {
    fn new() -> Self {
        let row = (Position::TrimHorizon, None);
        Self {
            log: Vec::new(),
            is_closed: false,
            cursor: 0,
            per_read: 100,
            machine: consumer(&row, NOW),
            row,
            told: None,
            kept: Vec::new(),
            since: Vec::new(),
            ended: None,
            now: NOW,
            calls: Vec::new(),
            finish: None,
        }
    }

    fn put(&mut self, records: impl IntoIterator<Item = (u64, u64)>) {
        self.log.extend(records);
    }

    /// The consumer begins so much later.
    fn later(&mut self, time: Duration) {
        self.now = self.now + time;
        self.machine = consumer(&self.row, self.now);
    }

    /// A renewal of the lease, which writes what was told.
    fn renew(&mut self) {
        if let Some(told) = self.told.take() {
            self.row = told;
            self.kept.append(&mut self.since);
        }
    }

    /// The consumer is gone, and another one begins with the row.
    fn crash(&mut self) {
        self.told = None;
        self.since.clear();
        self.ended = None;
        self.machine = consumer(&self.row, self.now);
    }

    fn run(&mut self, time: Duration, mut answer: impl FnMut(&Seen) -> Outcome) {
        let until = self.now + time;
        loop {
            while let Some(effect) = self.machine.poll_effect() {
                self.perform(effect, &mut answer);
            }
            match self.machine.next_deadline().filter(|at| *at <= until) {
                Some(at) => {
                    self.now = at.max(self.now);
                    self.machine.handle(self.now, ShardInput::Wake);
                }
                None => break,
            }
        }
        self.now = until;
    }

    fn perform(&mut self, effect: ShardEffect, answer: &mut impl FnMut(&Seen) -> Outcome) {
        match effect {
            ShardEffect::Call { id, call } => {
                let outcome = self.call(&call, answer);
                self.machine.handle(self.now, ShardInput::Called(id, outcome));
            }
            ShardEffect::Open(position) => {
                let read = position
                    .record()
                    .map_or(0, |record| record.sequence_number.as_str().parse().unwrap());
                self.cursor = self.log.partition_point(|(number, _)| *number <= read);
                self.machine.handle(self.now, ShardInput::Opened(Ok(())));
            }
            ShardEffect::Fetch { .. } => {
                let fetch = self.read();
                self.machine.handle(self.now, ShardInput::Fetched(Ok(fetch)));
            }
            ShardEffect::ProgressWith { position, state } => {
                self.told = Some((position, state));
                self.since.extend(self.ended.take());
            }
            ShardEffect::Progress(_) => panic!("a position without its state"),
            ShardEffect::Checkpoint(position) => {
                if let Some((told, _)) = &self.told {
                    assert_eq!(*told, position, "what is committed was told with its state");
                }
                self.renew();
                self.machine.handle(self.now, ShardInput::Stored(position));
            }
            ShardEffect::Finished(finish) => {
                self.renew();
                self.finish = Some(finish);
            }
            _ => {}
        }
    }

    fn read(&mut self) -> Fetch {
        let now = self.now.since(NOW).as_secs();
        let arrived = |(_, at): &&(u64, u64)| *at <= now;
        let there = self.log[self.cursor..].iter().take_while(arrived).count();
        let records = there.min(self.per_read);
        let record = |(number, at): &(u64, u64)| {
            let at = EPOCH.saturating_add(Duration::from_secs(*at));
            Record::new(number.to_string().parse().unwrap(), "key", at, "data")
        };
        let part: Vec<Record> = self.log[self.cursor..][..records].iter().map(record).collect();
        self.cursor += records;
        let behind = if records < there { 1_000 } else { 0 };
        Fetch {
            batch: batch([]).with_records(part).with_millis_behind_latest(Some(behind)),
            end: (self.is_closed && self.cursor == self.log.len()).then(end),
            continuation: None,
        }
    }

    fn call(&mut self, call: &Call, answer: &mut impl FnMut(&Seen) -> Outcome) -> Outcome {
        let Call::Process {
            batch,
            window: Some(window),
            ..
        } = call
        else {
            assert!(!matches!(call, Call::Process { .. }), "each call has a window");
            return Outcome::Success;
        };
        let number = |record: &Record| record.sequence_number.as_str().parse().unwrap();
        let start = window.window.start().epoch_millis() - EPOCH.epoch_millis();
        let seen = Seen {
            numbers: batch.iter().map(number).collect(),
            window: start / 1_000,
            state: String::from_utf8(window.state.to_vec()).unwrap(),
            is_final: window.is_final,
            is_early: window.is_terminated_early,
        };
        assert_eq!(seen.numbers.is_empty(), seen.is_final);
        self.calls.push(seen.clone());
        let outcome = answer(&seen);
        if seen.is_final && matches!(outcome, Outcome::Success | Outcome::Windowed { .. }) {
            self.ended = Some(seen);
        }
        outcome
    }

    fn calls(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.calls)
    }
}

fn consumer((position, state): &(Position, Option<Bytes>), now: Tick) -> ShardMachine {
    let config = ShardConfig {
        batch_size: 10,
        handler_backoff: crate::retry::Backoff {
            initial: SECOND,
            longest: SECOND * 10,
        },
        ..ShardConfig::default()
    };
    let settings = DeliverySettings {
        policy: DeliveryPolicy {
            tumbling_window: Some(MINUTE),
            ..DeliveryPolicy::default()
        },
        ..DeliverySettings::default()
    };
    let pending = state.clone().map(|state| PendingCheckpoint {
        position: position.clone(),
        state: Some(state),
    });
    let wall = EPOCH.saturating_add(now.since(NOW));
    let mut machine = ShardMachine::new(config, position.clone(), wall, 1 << 20, 7)
        .with_delivery(settings, now)
        .with_window_state(pending.as_ref());
    machine.handle(now, ShardInput::Wake);
    machine
}

/// The numbers of all records so far.
fn collect(seen: &Seen) -> Outcome {
    collect_before(seen, None)
}

fn collect_before(seen: &Seen, failed: Option<usize>) -> Outcome {
    let numbers = seen.numbers.iter().take(failed.unwrap_or(usize::MAX));
    let state = numbers.fold(seen.state.clone(), |state, number| format!("{state}{number},"));
    Outcome::Windowed {
        state: state.into(),
        failed,
    }
}

#[test]
fn given_records_of_two_windows_when_they_are_read_together_then_deliveries_are_cut_and_the_first_window_ends_between()
{
    let mut table = Table::new();
    table.put([(1, 0), (2, 59), (3, 60), (4, 61)]);
    table.later(62 * SECOND);
    table.run(SECOND, collect);
    let expected = [seen(0, "", 1..=2), last(0, "1,2,"), seen(60, "", 3..=4)];
    assert_eq!(table.calls(), expected);
}

#[test]
fn given_a_record_that_is_late_when_its_window_is_over_then_it_belongs_to_the_one_that_is_open_or_next() {
    let mut table = Table::new();
    table.put([(1, 10), (2, 61), (3, 59), (4, 62)]);
    table.later(62 * SECOND);
    table.run(8 * SECOND, collect);
    assert_eq!(table.calls()[1..], [last(0, "1,"), seen(60, "", 2..=4)]);
    // The window was closed by the clock, and its row says so to whoever reads on.
    table.run(60 * SECOND, collect);
    assert_eq!(table.calls(), [last(60, "2,3,4,")]);
    table.renew();
    table.crash();
    table.put([(5, 119)]);
    table.run(SECOND, collect);
    assert_eq!(table.calls(), [seen(120, "", [5])]);
}

#[test]
fn given_a_window_that_the_clock_ended_when_a_record_of_it_comes_to_the_same_consumer_then_it_is_not_opened_again() {
    let mut table = Table::new();
    table.put([(1, 10)]);
    table.run(65 * SECOND, collect);
    assert_eq!(table.calls(), [seen(0, "", [1]), last(0, "1,")]);
    table.put([(2, 59)]);
    table.run(SECOND * 2, collect);
    assert_eq!(table.calls(), [seen(60, "", [2])]);
}

#[test]
fn given_no_more_records_when_the_clock_passes_the_end_then_the_window_ends_and_no_sooner() {
    let mut table = Table::new();
    table.put([(1, 5)]);
    table.run(59 * SECOND, collect);
    assert_eq!(table.calls(), [seen(0, "", [1])]);
    table.run(3 * SECOND, collect);
    assert_eq!(table.calls(), [last(0, "1,")]);
    table.run(5 * MINUTE, collect);
    assert_eq!(table.calls(), [], "windows without records need no call");
    assert_eq!(table.kept.len() + table.since.len(), 1);
}

#[test]
fn given_a_backlog_when_the_clock_is_far_beyond_it_then_windows_end_by_their_records() {
    let mut table = Table::new();
    table.later(60 * MINUTE);
    table.per_read = 1;
    table.put([(1, 0), (2, 30), (3, 200)]);
    table.run(20 * SECOND, collect);
    let expected = [
        seen(0, "", [1]),
        seen(0, "1,", [2]),
        last(0, "1,2,"),
        seen(180, "", [3]),
        last(180, "3,"),
    ];
    assert_eq!(table.calls(), expected);
}

#[test]
fn given_an_open_window_when_the_shard_ends_then_the_window_ends_before_the_shard() {
    let mut table = Table::new();
    table.put([(1, 0)]);
    table.is_closed = true;
    table.run(SECOND, collect);
    assert_eq!(table.calls(), [seen(0, "", [1]), last(0, "1,")]);
    assert_eq!(table.finish, Some(Finish::Ended(end())));
}

#[test]
fn given_a_last_call_that_fails_when_it_is_repeated_then_nothing_of_the_next_window_comes_before_it_succeeded() {
    let mut table = Table::new();
    table.put([(1, 0), (2, 60)]);
    let mut failures = 0;
    table.run(10 * MINUTE, |seen| {
        failures += u32::from(seen.is_final && seen.window == 0);
        if seen.is_final && failures <= 3 {
            Outcome::Failure("no".to_owned())
        } else {
            collect(seen)
        }
    });
    let calls = table.calls();
    assert_eq!(calls[1..5], vec![last(0, "1,"); 4]);
    assert_eq!(calls[5..], [seen(60, "", [2]), last(60, "2,")]);
}

#[test]
fn given_a_failed_record_when_the_records_before_it_were_handled_then_their_state_counts_and_else_it_does_not() {
    let mut table = Table::new();
    table.put([(1, 0), (2, 1), (3, 2)]);
    table.later(3 * SECOND);
    let mut calls = 0;
    table.run(30 * SECOND, |seen| {
        calls += 1;
        match calls {
            1 => collect_before(seen, Some(2)),
            2 => Outcome::Windowed {
                state: "wrong".into(),
                failed: Some(0),
            },
            _ => collect(seen),
        }
    });
    let again = seen(0, "1,2,", [3]);
    assert_eq!(table.calls(), [seen(0, "", 1..=3), again.clone(), again]);
}

#[test]
fn given_a_state_that_no_row_holds_when_it_is_returned_then_the_window_ends_early_and_goes_on_empty() {
    let mut table = Table::new();
    table.per_read = 1;
    table.put([(1, 0), (2, 1)]);
    let large = "x".repeat(LARGEST_WINDOW_STATE + 1);
    table.run(61 * SECOND, |seen| match &seen.numbers[..] {
        [1] => Outcome::Windowed {
            state: large.clone().into(),
            failed: None,
        },
        _ => collect(seen),
    });
    let early = Seen {
        is_early: true,
        ..last(0, &large)
    };
    let expected = [seen(0, "", [1]), early, seen(0, "", [2]), last(0, "2,")];
    assert!(table.calls() == expected);
}

#[test]
fn given_a_state_that_no_row_holds_when_the_early_end_was_not_told_then_nothing_of_it_is_committed() {
    let mut table = Table::new();
    table.put([(1, 0)]);
    let large = Bytes::from("x".repeat(LARGEST_WINDOW_STATE + 1));
    table.run(50 * SECOND, |seen| match seen.is_final {
        false => Outcome::Windowed {
            state: large.clone(),
            failed: None,
        },
        true => Outcome::Failure("no".to_owned()),
    });
    table.renew();
    assert_eq!(table.row, (Position::TrimHorizon, None));
}

#[test]
fn given_an_open_window_when_another_consumer_goes_on_then_it_has_the_state_of_the_checkpoint() {
    let mut table = Table::new();
    table.put([(1, 0)]);
    table.run(SECOND, collect);
    table.renew();
    table.put([(2, 2)]);
    table.run(2 * SECOND, collect);
    table.crash();
    table.calls();
    // Nobody reads for a while, in which the window ends.
    table.later(10 * MINUTE);
    table.run(5 * SECOND, collect);
    assert_eq!(table.calls(), [seen(0, "1,", [2]), last(0, "1,2,")]);
}

#[test]
fn given_the_state_of_another_position_or_application_when_a_consumer_begins_then_it_is_left_alone() {
    for (position, state) in [
        (at(9), "kcl-window 1 0 60000 open\nx"),
        (at(1), "half"),
        (at(1), "kcl-window 1 60000 0 open\nx"),
    ] {
        let mut table = Table::new();
        let pending = PendingCheckpoint {
            position,
            state: Some(state.into()),
        };
        table.row.0 = at(1);
        table.machine = consumer(&table.row, NOW).with_window_state(Some(&pending));
        table.put([(2, 0)]);
        table.run(SECOND, collect);
        assert_eq!(table.calls(), [seen(0, "", [2])], "{state:?}");
    }
}

#[test]
fn given_no_windows_when_records_are_handled_then_positions_go_alone() {
    let mut machine = processing();
    assert!(called(&mut machine, Outcome::Success).contains(&ShardEffect::Progress(at(3))));
}

#[test]
fn given_crashes_anywhere_when_all_windows_have_ended_then_each_record_counts_once() {
    let mut early = 0;
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut table = Table::new();
        table.per_read = rng.usize(1..12);
        let mut number = 0;
        for _ in 0..60 {
            let second = table.now.since(NOW).as_secs();
            let records: Vec<(u64, u64)> = (0..rng.u64(0..6))
                .map(|_| {
                    number += 1;
                    (number, second.saturating_sub(rng.u64(0..8)))
                })
                .collect();
            table.put(records);
            let mut answers = rng.fork();
            table.run(Duration::from_secs(rng.u64(0..25)), |seen| random(&mut answers, seen));
            match rng.u32(0..6) {
                0 => table.crash(),
                1 | 2 => table.renew(),
                _ => {}
            }
        }
        table.is_closed = true;
        for _ in 0..100 {
            table.run(MINUTE, |seen| random(&mut rng, seen));
        }
        assert_eq!(table.finish, Some(Finish::Ended(end())), "seed {seed}");
        let mut counted: Vec<u64> = Vec::new();
        let mut ended = i64::MIN;
        for window in &table.kept {
            early += u32::from(window.is_early);
            assert!(
                window.is_early || window.window > ended,
                "seed {seed}: a window ends once"
            );
            if !window.is_early {
                ended = window.window;
            }
            let numbers = window.state.trim().split_terminator(',');
            for number in numbers.map(|number| number.trim().parse::<u64>().unwrap()) {
                let (_, at) = table.log[usize::try_from(number).unwrap() - 1];
                assert!(i64::try_from(at).unwrap() < window.window + 60, "seed {seed}");
                counted.push(number);
            }
        }
        assert_eq!(counted, Vec::from_iter(1..=number), "seed {seed}");
    }
    assert!(early > 25, "windows ended early: {early}");
}

/// Handles records or fails, in all ways that there are.
fn random(rng: &mut fastrand::Rng, seen: &Seen) -> Outcome {
    let failed = match rng.u32(0..20) {
        0 => return Outcome::Failure("no".to_owned()),
        1 => {
            let wait = rng.bool().then_some(SECOND);
            let reason = "busy".to_owned();
            return Outcome::NotCalled { wait, reason };
        }
        2 | 3 if !seen.is_final => Some(rng.usize(0..seen.numbers.len())),
        _ => None,
    };
    match collect_before(seen, failed) {
        Outcome::Windowed { mut state, failed } if rng.u32(0..12) == 0 => {
            let mut large = state.to_vec();
            large.resize(LARGEST_WINDOW_STATE + 1, b' ');
            state = large.into();
            Outcome::Windowed { state, failed }
        }
        outcome => outcome,
    }
}
