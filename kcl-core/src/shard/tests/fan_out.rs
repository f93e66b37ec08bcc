//! A shard that is subscribed to.

use super::*;
use crate::{
    SequenceNumber,
    fetch::{FLOOR, IDLE, LET_GO, SubscribeAt},
};

fn number(number: u64) -> SequenceNumber {
    number.to_string().parse().unwrap()
}

/// An event with these records, after which a subscription goes on after `continuation`.
fn event(numbers: impl IntoIterator<Item = u64>, continuation: u64) -> ShardInput {
    ShardInput::Fetched(Ok(Fetch {
        batch: batch(numbers).with_millis_behind_latest(Some(0)),
        end: None,
        continuation: Some(number(continuation)),
    }))
}

fn subscribed_with(mode: RetrievalMode, share: u64) -> ShardMachine {
    let config = ShardConfig {
        retrieval: mode,
        ..ShardConfig::default()
    };
    let mut machine = ShardMachine::new(config, at(3), Timestamp::from_epoch_millis(10_000), share, 7);
    effects(&mut machine);
    assert_eq!(
        called(&mut machine, Outcome::Success),
        [ShardEffect::Subscribe(SubscribeAt::Position(at(3)))]
    );
    assert!(reads(&handle(&mut machine, ShardInput::Opened(Ok(())))));
    machine
}

/// A machine that has subscribed at record 3 and waits for the first event.
fn subscribed() -> ShardMachine {
    subscribed_with(RetrievalMode::FanOut, 1 << 20)
}

fn reads(effects: &[ShardEffect]) -> bool {
    effects.iter().any(|effect| matches!(effect, ShardEffect::Fetch { .. }))
}

fn after(machine: &mut ShardMachine, wait: Duration, input: ShardInput) -> Vec<ShardEffect> {
    machine.handle(NOW + wait, input);
    effects(machine)
}

/// The last call succeeds, after this long.
fn after_call(machine: &mut ShardMachine, wait: Duration) -> Vec<ShardEffect> {
    let id = machine.last_id();
    after(machine, wait, ShardInput::Called(id, Outcome::Success))
}

fn subscribes_at(number_: u64) -> ShardEffect {
    ShardEffect::Subscribe(SubscribeAt::Continuation(number(number_)))
}

#[test]
fn given_events_when_they_come_then_the_next_is_asked_for_at_once() {
    let mut machine = subscribed();
    let first = handle(&mut machine, event([3, 4], 5));
    assert!(delivers(&first, [4], 1) && reads(&first), "{first:?}");
    assert!(reads(&handle(&mut machine, event([], 6))), "no pacing");
    assert_eq!(machine.status(NOW).retrieval, Retrieval::FanOut);
}

#[test]
fn wound_25_given_a_subscription_that_ended_when_renewed_then_it_goes_on_after_the_last_event_given_out() {
    let mut machine = subscribed();
    handle(&mut machine, event([4], 5));
    let minutes = 5 * MINUTE;
    after(&mut machine, minutes, event([6], 7));
    let renewed = after(&mut machine, minutes, fetch_failed(FetchFailureKind::Ended));
    assert_eq!(renewed, [subscribes_at(7)]);
    assert!(reads(&after(&mut machine, minutes, ShardInput::Opened(Ok(())))));
    assert_eq!(machine.status(NOW).fallback, None);
}

#[test]
fn given_a_subscription_that_broke_soon_when_renewed_then_the_floor_is_kept() {
    let mut machine = subscribed();
    handle(&mut machine, event([4], 5));
    let second = Duration::from_secs(1);
    assert_eq!(
        after(&mut machine, second, fetch_failed(FetchFailureKind::Unavailable)),
        []
    );
    assert_eq!(machine.next_deadline(), Some(NOW + FLOOR));
    assert_eq!(after(&mut machine, FLOOR, ShardInput::Wake), [subscribes_at(5)]);
}

#[test]
fn wound_39_given_a_subscription_that_says_nothing_when_the_idle_time_is_over_then_it_is_replaced() {
    let mut machine = subscribed();
    handle(&mut machine, event([], 5));
    after(&mut machine, IDLE / 2, ShardInput::Wake);
    assert!(
        !machine.status(NOW).is_caught_up(),
        "nobody knows whether there is more"
    );
    let effects = after(&mut machine, IDLE, ShardInput::Wake);
    assert_eq!(effects, [ShardEffect::Close, subscribes_at(5)]);
}

#[test]
fn wound_38_given_a_slow_handler_when_the_share_is_full_then_nobody_listens_and_the_subscription_is_let_go() {
    // Room for one event in work and one that waits.
    let mut machine = subscribed_with(RetrievalMode::FanOut, 1);
    assert!(reads(&handle(&mut machine, event([4], 5))), "one is read ahead");
    assert!(!reads(&handle(&mut machine, event([6], 7))));
    assert_eq!(machine.next_deadline(), Some(NOW + LET_GO));
    assert_eq!(after(&mut machine, LET_GO, ShardInput::Wake), [ShardEffect::Close]);
    // However long the handler takes, that is no fault of the service.
    let hour = 60 * MINUTE;
    let done = after_call(&mut machine, hour);
    assert!(delivers(&done, [6], 1) && done.contains(&subscribes_at(7)), "{done:?}");
}

#[test]
fn given_a_handler_that_is_slow_for_a_moment_when_there_is_room_then_the_same_subscription_goes_on() {
    let mut machine = subscribed_with(RetrievalMode::FanOut, 1);
    handle(&mut machine, event([4], 5));
    handle(&mut machine, event([6], 7));
    let done = after_call(&mut machine, LET_GO / 2);
    assert!(reads(&done) && !done.contains(&ShardEffect::Close), "{done:?}");
}

#[test]
fn wound_37_given_an_error_at_the_end_of_the_shard_when_renewed_then_it_is_at_the_last_place_that_was_told() {
    let mut machine = subscribed();
    handle(&mut machine, event([4], 5));
    let broken = Fetch {
        batch: batch([]),
        end: Some(Vec::new()),
        continuation: None,
    };
    after(&mut machine, FLOOR, ShardInput::Fetched(Ok(broken)));
    let again = after(&mut machine, 2 * FLOOR, ShardInput::Wake);
    assert_eq!(again, [subscribes_at(5)]);
    after(&mut machine, 2 * FLOOR, ShardInput::Opened(Ok(())));
    let last = Fetch {
        batch: batch([6]),
        end: Some(end()),
        continuation: None,
    };
    after(&mut machine, 2 * FLOOR, ShardInput::Fetched(Ok(last)));
    after_call(&mut machine, 2 * FLOOR);
    let told = after_call(&mut machine, 2 * FLOOR);
    assert!(told.contains(&call(Call::ShardEnded)), "{told:?}");
    assert!(machine.next_deadline().is_none_or(|at| at > NOW + 2 * FLOOR));
    let idle = after(&mut machine, 3 * MINUTE, ShardInput::Wake);
    assert!(
        !idle.iter().any(|effect| matches!(effect, ShardEffect::Subscribe(_))),
        "{idle:?}"
    );
}

#[test]
fn given_no_permission_when_subscribing_then_the_shard_is_polled_and_says_why() {
    let mut machine = machine_of(RetrievalMode::Auto);
    let polls = handle(&mut machine, ShardInput::Opened(Err(denied())));
    assert_eq!(polls, [ShardEffect::Open(at(3))]);
    assert!(reads(&handle(&mut machine, ShardInput::Opened(Ok(())))));
    handle(&mut machine, fetched([4]));
    let status = machine.status(NOW);
    assert_eq!(
        (status.retrieval, status.fallback),
        (Retrieval::Polling, Some(denied()))
    );

    // Later it is tried again, at the exact place.
    let tries = after(&mut machine, 2 * MINUTE, ShardInput::Wake);
    let expected = [ShardEffect::Close, ShardEffect::Subscribe(SubscribeAt::Position(at(4)))];
    assert_eq!(tries, expected);
    let polls = after(&mut machine, 2 * MINUTE, ShardInput::Opened(Err(denied())));
    assert_eq!(polls, [ShardEffect::Open(at(4))], "one try is enough");
}

fn machine_of(mode: RetrievalMode) -> ShardMachine {
    let config = ShardConfig {
        retrieval: mode,
        ..ShardConfig::default()
    };
    let mut machine = ShardMachine::new(config, at(3), Timestamp::from_epoch_millis(10_000), 1 << 20, 7);
    effects(&mut machine);
    called(&mut machine, Outcome::Success);
    machine
}

fn denied() -> FetchFailure {
    FetchFailure {
        kind: FetchFailureKind::Denied,
        message: "no".to_owned(),
    }
}

#[test]
fn given_a_stream_that_is_not_found_when_subscribing_then_polling_finds_out_what_is_missing() {
    let mut machine = subscribed();
    let polls = handle(&mut machine, fetch_failed(FetchFailureKind::NotFound));
    assert_eq!(polls, [ShardEffect::Open(at(3))]);
    let missing = handle(
        &mut machine,
        ShardInput::Opened(Err(FetchFailure {
            kind: FetchFailureKind::NotFound,
            message: "no".to_owned(),
        })),
    );
    assert_eq!(missing, [ShardEffect::Missing]);
}

#[test]
fn given_another_mode_when_it_is_set_then_reading_goes_on_at_the_exact_place() {
    let mut machine = subscribed();
    handle(&mut machine, event([4], 5));
    let polls = handle(&mut machine, ShardInput::Retrieval(RetrievalMode::Polling));
    assert_eq!(polls, [ShardEffect::Close, ShardEffect::Open(at(4))]);
    assert_eq!(
        handle(&mut machine, event([9], 10)),
        [],
        "what was under way does not count"
    );
    assert!(reads(&handle(&mut machine, ShardInput::Opened(Ok(())))));
    handle(&mut machine, ShardInput::Retrieval(RetrievalMode::FanOut));
    assert_eq!(
        handle(&mut machine, fetched([4, 5])),
        [],
        "the service refuses a subscription so soon"
    );
    let back = after(&mut machine, FLOOR, ShardInput::Wake);
    let expected = [ShardEffect::Close, ShardEffect::Subscribe(SubscribeAt::Position(at(5)))];
    assert_eq!(back, expected);
}

#[test]
fn given_latest_when_subscribed_then_nothing_is_read_before_the_pin_is_stored() {
    let config = ShardConfig {
        retrieval: RetrievalMode::FanOut,
        ..ShardConfig::default()
    };
    let opened_at = Timestamp::from_epoch_millis(10_000);
    let mut machine = ShardMachine::new(config, Position::Latest, opened_at, 1 << 20, 7);
    effects(&mut machine);
    let latest = ShardEffect::Subscribe(SubscribeAt::Position(Position::Latest));
    assert_eq!(called(&mut machine, Outcome::Success), [latest]);
    let pin = Position::AtTimestamp(Timestamp::from_epoch_millis(8_000));
    let pins = handle(&mut machine, ShardInput::Opened(Ok(())));
    assert_eq!(pins, [ShardEffect::Checkpoint(pin.clone())]);
    assert!(reads(&handle(&mut machine, ShardInput::Stored(pin.clone()))));
    // Before the first event, LATEST would be a later place by now.
    handle(&mut machine, fetch_failed(FetchFailureKind::Unavailable));
    let again = after(&mut machine, FLOOR, ShardInput::Wake);
    assert_eq!(again, [ShardEffect::Subscribe(SubscribeAt::Position(pin))]);
}

#[test]
fn given_a_stop_when_subscribed_then_the_subscription_ends() {
    let mut machine = subscribed();
    let stops = handle(&mut machine, ShardInput::Stop(StopReason::HandOff));
    assert_eq!(stops[0], ShardEffect::Close);
}

#[test]
fn wound_41_given_any_shares_and_delays_when_events_come_then_neither_side_waits_for_the_other() {
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let mut machine = subscribed_with(RetrievalMode::FanOut, rng.u64(0..3_000));
        let (mut now, mut next, mut done) = (NOW, 4, Vec::new());
        let mut modes = [RetrievalMode::FanOut, RetrievalMode::Auto];
        let (mut listens, mut opening, mut calls) = (true, false, None);
        for _ in 0..2_000 {
            let input = match rng.u8(..8) {
                0..3 if listens && next < 200 => {
                    let first = next;
                    next += rng.u64(0..5);
                    listens = false;
                    event(first..next, next)
                }
                3 if opening => {
                    opening = false;
                    ShardInput::Opened(Ok(()))
                }
                4 | 5 if calls.is_some() => {
                    done.extend(calls.take().into_iter().flatten());
                    ShardInput::Called(machine.last_id(), Outcome::Success)
                }
                6 => ShardInput::Share(rng.u64(0..3_000)),
                _ => {
                    now = now + Duration::from_millis(rng.u64(0..4_000));
                    ShardInput::Wake
                }
            };
            machine.handle(now, input);
            for effect in effects(&mut machine) {
                match effect {
                    ShardEffect::Fetch { .. } => listens = true,
                    ShardEffect::Subscribe(SubscribeAt::Continuation(at)) => {
                        opening = true;
                        next = at.as_str().parse().unwrap();
                    }
                    ShardEffect::Subscribe(SubscribeAt::Position(at)) => {
                        opening = true;
                        next = at.record().unwrap().sequence_number.as_str().parse().unwrap();
                    }
                    ShardEffect::Open(_) => {
                        // It went without an event for too long; this test is about subscriptions.
                        modes.rotate_left(1);
                        machine.handle(now, ShardInput::Retrieval(modes[0]));
                        machine.handle(now, ShardInput::Opened(Err(denied())));
                    }
                    ShardEffect::Close => (listens, opening) = (false, false),
                    ShardEffect::Call {
                        call: Call::Process { batch, .. },
                        ..
                    } => {
                        let numbers = batch
                            .iter()
                            .map(|record| record.sequence_number.as_str().parse().unwrap());
                        calls = Some(numbers.collect::<Vec<u64>>());
                    }
                    _ => {}
                }
            }
        }
        let expected: Vec<u64> = (4..4 + done.len() as u64).collect();
        assert_eq!(done, expected, "{seed}");
        assert!(done.len() >= 150, "{seed}: {} records only", done.len());
    }
}
