//! Shards that stand still.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// The times at which the machine opens or reads again by itself, until `end`, with nothing ever answered.
fn attempts(machine: &mut ShardMachine, from: Tick, end: Duration) -> Vec<(u64, ShardEffect)> {
    let mut now = from;
    let mut attempts = Vec::new();
    while let Some(at) = machine.next_deadline().filter(|at| *at <= from + end) {
        now = now.max(at);
        machine.handle(now, ShardInput::Wake);
        attempts.extend(
            effects(machine)
                .into_iter()
                .map(|effect| (now.since(from).as_secs(), effect)),
        );
    }
    attempts
}

#[test]
fn wound_39_given_a_read_without_an_answer_when_the_bound_passes_then_it_is_dropped_and_opened_again_with_growing_waits()
 {
    let mut machine = reading();
    let all = attempts(&mut machine, NOW, SECOND * 300);
    let opens: Vec<u64> = all
        .iter()
        .filter(|(_, effect)| matches!(effect, ShardEffect::Open(Position::TrimHorizon)))
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(opens[0], 45, "{all:?}");
    let count = |wanted: &ShardEffect| all.iter().filter(|(_, effect)| effect == wanted).count();
    assert_eq!(
        count(&ShardEffect::Close),
        opens.len(),
        "the read under way is not awaited any more"
    );
    assert_eq!(
        count(&ShardEffect::Reconnect),
        opens.len() - 1,
        "from the second time on"
    );
    let late = NOW + SECOND * 300;
    let Waiting::Stalled {
        stall: Stall::Unanswered,
        time,
        cures,
    } = machine.status(late).waiting
    else {
        panic!("{}", machine.status(late).waiting);
    };
    assert_eq!((time, cures as usize), (SECOND * 300, opens.len()));

    machine.handle(late, ShardInput::Opened(Ok(())));
    machine.handle(late, fetched(1..=3));
    let all: Vec<ShardEffect> = std::iter::from_fn(|| machine.poll_effect()).collect();
    assert!(delivers(&all, 1..=3, 1));
    assert!(
        all.iter()
            .any(|effect| matches!(effect, ShardEffect::Event(ShardEvent::Flows { .. })))
    );
}

#[test]
fn wound_40_given_an_open_without_an_answer_when_the_bound_passes_then_it_is_tried_again() {
    let mut machine = machine(Position::TrimHorizon, CheckpointPolicy::default());
    called(&mut machine, Outcome::Success);
    let all = attempts(&mut machine, NOW, SECOND * 46);
    let again = [(45, ShardEffect::Close), (45, ShardEffect::Open(Position::TrimHorizon))];
    assert_eq!(all[all.len() - 2..], again);
}

#[test]
fn given_a_shard_that_is_behind_when_reads_give_nothing_and_come_no_nearer_then_it_is_opened_again() {
    let mut machine = reading();
    let empty = |behind: u64| {
        let batch = batch([]).with_millis_behind_latest(Some(behind));
        ShardInput::Fetched(Ok(Fetch {
            batch,
            end: None,
            continuation: None,
        }))
    };
    let mut now = NOW;
    let mut read = |machine: &mut ShardMachine, behind| {
        machine.handle(now, empty(behind));
        now = now + SECOND;
        machine.handle(now, ShardInput::Wake);
        effects(machine)
    };
    // A part of the shard without records is passed through.
    for step in 0..200 {
        let all = read(&mut machine, 1_000_000 - step);
        assert!(matches!(all[..], [ShardEffect::Fetch { .. }]), "{step}: {all:?}");
    }
    let mut quiet = 0;
    while matches!(read(&mut machine, 2_000_000)[..], [ShardEffect::Fetch { .. }]) {
        quiet += 1;
    }
    assert!((58..=61).contains(&quiet), "{quiet}");
    let stall = |machine: &ShardMachine| match machine.status(NOW).waiting {
        Waiting::Stalled { stall, .. } => Some(stall),
        _ => None,
    };
    assert_eq!(stall(&machine), Some(Stall::Silent));
    // At the tip there is nothing to give.
    machine.handle(NOW + MINUTE * 60, ShardInput::Opened(Ok(())));
    effects(&mut machine);
    read(&mut machine, 0);
    assert_eq!(stall(&machine), None);
}

#[test]
fn given_a_handler_that_runs_for_long_when_it_goes_on_then_it_is_told_once_and_not_disturbed() {
    let mut machine = processing();
    let mut told = 0;
    for second in 0..3_600 {
        let now = NOW + SECOND * second;
        machine.handle(now, ShardInput::Wake);
        while let Some(effect) = machine.poll_effect() {
            assert!(!matches!(effect, ShardEffect::CancelCalls | ShardEffect::Call { .. }));
            told += u32::from(matches!(effect, ShardEffect::Event(ShardEvent::CallSlow { .. })));
            if matches!(effect, ShardEffect::Fetch { .. }) {
                machine.handle(now, fetched([]));
            }
        }
    }
    assert_eq!(told, 1);
    assert_eq!(machine.status(NOW + SECOND * 3_600).calling, Some(SECOND * 3_600));
}

#[test]
fn given_a_paused_or_stopping_shard_when_hours_pass_then_nothing_stands_still() {
    let mut machine = reading();
    handle(&mut machine, ShardInput::Pause(true));
    assert_eq!(machine.next_deadline(), None);
    let mut machine = processing();
    handle(&mut machine, ShardInput::Stop(StopReason::Shutdown));
    assert_eq!(machine.next_deadline(), None);
}
