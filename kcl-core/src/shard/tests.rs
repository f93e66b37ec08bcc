mod delivery;
mod fan_out;

use std::time::Duration;

use super::*;
use crate::{
    Batch, ChildShard, Record, ShardId, StreamName,
    fetch::{Fetch, FetchFailure, FetchFailureKind},
};

mod watchdog;
mod windows;

const NOW: Tick = Tick::from_origin(Duration::from_secs(100));
const MINUTE: Duration = Duration::from_secs(60);

fn at(number: u64) -> Position {
    Position::after(number.to_string().parse().unwrap())
}

fn batch(numbers: impl IntoIterator<Item = u64>) -> Batch {
    let record = |number: u64| {
        Record::new(
            number.to_string().parse().unwrap(),
            "key",
            Timestamp::from_epoch_millis(0),
            "data",
        )
    };
    let (stream, shard) = (StreamName::new("s").unwrap(), ShardId::new("shardId-0").unwrap());
    Batch::new(stream, shard, numbers.into_iter().map(record).collect())
}

fn fetched(numbers: impl IntoIterator<Item = u64>) -> ShardInput {
    ShardInput::Fetched(Ok(Fetch {
        batch: batch(numbers),
        end: None,
        continuation: None,
    }))
}

fn end() -> Vec<ChildShard> {
    let (id, parent) = (ShardId::new("shardId-1").unwrap(), ShardId::new("shardId-0").unwrap());
    vec![ChildShard {
        id,
        parents: vec![parent],
        hash_key_range: None,
    }]
}

fn fetch_failed(kind: FetchFailureKind) -> ShardInput {
    ShardInput::Fetched(Err(FetchFailure {
        kind,
        message: "no".to_owned(),
    }))
}

fn machine(start: Position, checkpoint: CheckpointPolicy) -> ShardMachine {
    let config = ShardConfig {
        checkpoint,
        ..ShardConfig::default()
    };
    ShardMachine::new(config, start, Timestamp::from_epoch_millis(10_000), 1 << 20, 7)
}

impl ShardMachine {
    fn last_id(&self) -> CallId {
        self.handling.last_id()
    }
}

/// A call, whatever its id.
fn call(call: Call) -> ShardEffect {
    ShardEffect::Call { id: CallId(0), call }
}

/// What the machine wants done, without its events and the ids of its calls.
fn effects(machine: &mut ShardMachine) -> Vec<ShardEffect> {
    let all = std::iter::from_fn(|| machine.poll_effect());
    let without_id = |effect| match effect {
        ShardEffect::Call { call: made, .. } => call(made),
        effect => effect,
    };
    all.filter(|effect| !matches!(effect, ShardEffect::Event(_)))
        .map(without_id)
        .collect()
}

fn handle(machine: &mut ShardMachine, input: ShardInput) -> Vec<ShardEffect> {
    machine.handle(NOW, input);
    effects(machine)
}

/// The last call ended.
fn called(machine: &mut ShardMachine, outcome: Outcome) -> Vec<ShardEffect> {
    let id = machine.last_id();
    handle(machine, ShardInput::Called(id, outcome))
}

/// Whether the user's code is called with these records, for the how-manieth time.
fn delivers(effects: &[ShardEffect], numbers: impl IntoIterator<Item = u64>, tried: u32) -> bool {
    let numbers = batch(numbers);
    let matches = |effect: &ShardEffect| {
        matches!(effect, ShardEffect::Call { call: Call::Process { batch, attempt, .. }, .. }
            if batch.records() == numbers.records() && *attempt == tried)
    };
    effects.iter().any(matches)
}

/// A machine that has opened its shard and reads.
fn reading() -> ShardMachine {
    let mut machine = machine(Position::TrimHorizon, CheckpointPolicy::default());
    called(&mut machine, Outcome::Success);
    handle(&mut machine, ShardInput::Opened(Ok(())));
    machine
}

/// A machine whose user's code works on the records 1 to 3.
fn processing() -> ShardMachine {
    let mut machine = reading();
    assert!(delivers(&handle(&mut machine, fetched(1..=3)), 1..=3, 1));
    machine
}

#[test]
fn given_a_new_machine_when_it_initialized_then_it_opens_and_reads() {
    let mut machine = machine(Position::TrimHorizon, CheckpointPolicy::default());
    let first = Call::Initialize {
        checkpoint: Position::TrimHorizon,
    };
    assert_eq!(effects(&mut machine), [call(first)]);
    assert_eq!(
        called(&mut machine, Outcome::Success),
        [ShardEffect::Open(Position::TrimHorizon)]
    );
    let reads = handle(&mut machine, ShardInput::Opened(Ok(())));
    assert!(matches!(reads[..], [ShardEffect::Fetch { .. }]), "{reads:?}");
}

#[test]
fn given_a_failed_batch_when_answers_are_repeated_then_it_does_not_count() {
    let mut machine = processing();
    assert_eq!(called(&mut machine, Outcome::Failure("no".to_owned())), []);
    assert_eq!(
        called(&mut machine, Outcome::Success),
        [],
        "no call runs, so none can have succeeded"
    );
    assert_eq!(machine.status(NOW).handled, Position::TrimHorizon);
    machine.handle(NOW + MINUTE, ShardInput::Wake);
    assert!(delivers(&effects(&mut machine), 1..=3, 2));
}

#[test]
fn given_a_batch_when_its_head_was_handled_then_only_the_rest_is_repeated() {
    let mut machine = processing();
    assert_eq!(
        called(&mut machine, Outcome::SuccessBefore(2)),
        [ShardEffect::Progress(at(2))]
    );
    machine.handle(NOW + MINUTE, ShardInput::Wake);
    assert!(delivers(&effects(&mut machine), [3], 2));
    assert!(called(&mut machine, Outcome::Success).contains(&ShardEffect::Progress(at(3))));
}

#[test]
fn given_answers_that_nobody_awaits_when_they_come_then_nothing_is_done() {
    let mut machine = processing();
    assert_eq!(handle(&mut machine, ShardInput::Opened(Ok(()))), []);
    assert_eq!(handle(&mut machine, fetched(4..=9)), []);
    assert_eq!(machine.status(NOW).buffered_records, 3);
}

#[test]
fn given_a_reader_that_repeats_records_when_it_reads_then_each_is_delivered_once() {
    let mut machine = processing();
    called(&mut machine, Outcome::Success);
    machine.handle(NOW + MINUTE, ShardInput::Wake);
    assert!(
        effects(&mut machine)
            .iter()
            .any(|effect| matches!(effect, ShardEffect::Fetch { .. }))
    );
    assert!(delivers(&handle(&mut machine, fetched(2..=5)), 4..=5, 1));
}

#[test]
fn given_latest_when_opened_then_nothing_is_read_before_the_pin_is_stored() {
    let mut machine = machine(Position::Latest, CheckpointPolicy::default());
    called(&mut machine, Outcome::Success);
    let pin = Position::AtTimestamp(Timestamp::from_epoch_millis(8_000));
    assert_eq!(
        handle(&mut machine, ShardInput::Opened(Ok(()))),
        [ShardEffect::Checkpoint(pin.clone())]
    );
    assert_eq!(machine.next_deadline(), None);
    let reads = handle(&mut machine, ShardInput::Stored(pin.clone()));
    assert!(matches!(reads[..], [ShardEffect::Fetch { .. }]), "{reads:?}");

    // A read that failed may have held the first records: LATEST would skip them now.
    let again = handle(&mut machine, fetch_failed(FetchFailureKind::Expired));
    assert_eq!(again, [ShardEffect::Open(pin.clone())]);
    // What the user checkpoints before anything was delivered must not undo the pin.
    assert_eq!(
        machine.request_checkpoint(&Position::Latest),
        Ok(CheckpointRequest::AlreadyStored)
    );
    assert_eq!(machine.request_checkpoint(&pin), Ok(CheckpointRequest::AlreadyStored));
}

#[test]
fn given_an_expired_place_when_it_expires_again_then_it_waits() {
    let mut machine = reading();
    let reopened = handle(&mut machine, fetch_failed(FetchFailureKind::Expired));
    assert_eq!(reopened, [ShardEffect::Open(Position::TrimHorizon)]);
    handle(&mut machine, ShardInput::Opened(Ok(())));
    assert_eq!(handle(&mut machine, fetch_failed(FetchFailureKind::Expired)), []);
    assert!(machine.next_deadline().unwrap() > NOW);
}

#[test]
fn wound_23_given_an_end_without_children_when_read_then_it_is_not_believed() {
    let mut machine = reading();
    let answer = Fetch {
        batch: batch([]),
        end: Some(Vec::new()),
        continuation: None,
    };
    assert_eq!(handle(&mut machine, ShardInput::Fetched(Ok(answer))), []);
    assert_eq!(machine.status(NOW).phase, ShardPhase::Reading);
}

#[test]
fn given_the_end_when_a_shutdown_comes_while_it_is_told_then_the_shard_still_ends() {
    let mut machine = reading();
    let answer = Fetch {
        batch: batch([1]),
        end: Some(end()),
        continuation: None,
    };
    handle(&mut machine, ShardInput::Fetched(Ok(answer)));
    let told = called(&mut machine, Outcome::Success);
    assert!(told.contains(&call(Call::ShardEnded)), "{told:?}");
    assert_eq!(handle(&mut machine, ShardInput::Stop(StopReason::Shutdown)), []);
    assert_eq!(
        called(&mut machine, Outcome::Success),
        [ShardEffect::Finished(Finish::Ended(end()))]
    );
    assert_eq!(machine.next_deadline(), None);
}

#[test]
fn wound_09_given_a_running_batch_when_stopped_then_it_counts_though_the_last_call_fails() {
    let mut machine = processing();
    machine.handle(NOW + MINUTE, ShardInput::Wake);
    handle(&mut machine, fetched(4..=9));
    assert_eq!(handle(&mut machine, ShardInput::Stop(StopReason::Shutdown)), []);
    let last = called(&mut machine, Outcome::Success);
    assert_eq!(last, [ShardEffect::Progress(at(3)), call(Call::ShutdownRequested)]);
    let done = called(&mut machine, Outcome::Failure("no".to_owned()));
    assert_eq!(done, [ShardEffect::Finished(Finish::Drained)]);
}

#[test]
fn given_a_stop_when_the_lease_is_lost_then_the_running_call_is_cancelled_and_does_not_count() {
    let mut machine = processing();
    handle(&mut machine, ShardInput::Stop(StopReason::HandOff));
    assert_eq!(
        handle(&mut machine, ShardInput::Stop(StopReason::Shutdown)),
        [],
        "a lesser reason changes nothing"
    );
    assert_eq!(
        handle(&mut machine, ShardInput::Stop(StopReason::LeaseLost)),
        [ShardEffect::CancelCalls]
    );
    assert_eq!(handle(&mut machine, ShardInput::Stop(StopReason::LeaseLost)), []);
    assert_eq!(called(&mut machine, Outcome::Success), [call(Call::LeaseLost)]);
    assert_eq!(machine.status(NOW).handled, Position::TrimHorizon);
    assert_eq!(machine.request_checkpoint(&at(3)), Err(CheckpointRefused::LeaseLost));
    assert_eq!(
        called(&mut machine, Outcome::Success),
        [ShardEffect::Finished(Finish::Lost)]
    );
}

#[test]
fn given_initialize_when_the_lease_is_lost_meanwhile_then_what_was_set_up_is_told() {
    let mut machine = machine(Position::TrimHorizon, CheckpointPolicy::default());
    effects(&mut machine);
    handle(&mut machine, ShardInput::Stop(StopReason::LeaseLost));
    assert_eq!(called(&mut machine, Outcome::Success), [call(Call::LeaseLost)]);
}

#[test]
fn given_initialize_failed_when_stopped_then_nothing_else_is_called() {
    let mut machine = machine(Position::TrimHorizon, CheckpointPolicy::default());
    effects(&mut machine);
    called(&mut machine, Outcome::Failure("no".to_owned()));
    assert_eq!(
        handle(&mut machine, ShardInput::Stop(StopReason::Shutdown)),
        [ShardEffect::Finished(Finish::Drained)]
    );
}

#[test]
fn given_a_call_that_was_torn_down_when_no_one_asked_for_it_then_the_lease_is_given_back() {
    let mut machine = processing();
    assert_eq!(
        called(&mut machine, Outcome::Cancelled),
        [ShardEffect::Finished(Finish::Drained)]
    );
    assert_eq!(machine.status(NOW).handled, Position::TrimHorizon);
}

#[test]
fn given_automatic_checkpoints_when_records_flow_then_one_is_asked_for_at_a_time() {
    let mut machine = machine(
        Position::TrimHorizon,
        CheckpointPolicy::Automatic {
            interval: MINUTE,
            records: 3,
        },
    );
    called(&mut machine, Outcome::Success);
    handle(&mut machine, ShardInput::Opened(Ok(())));
    handle(&mut machine, fetched(1..=3));
    assert!(called(&mut machine, Outcome::Success).contains(&ShardEffect::Checkpoint(at(3))));
    machine.handle(NOW + MINUTE, ShardInput::Wake);
    handle(&mut machine, fetched(4..=5));
    let more = called(&mut machine, Outcome::Success);
    assert!(more.contains(&ShardEffect::Progress(at(5))));
    assert!(
        !more.contains(&ShardEffect::Checkpoint(at(5))),
        "the first is still under way"
    );
    let stored = handle(&mut machine, ShardInput::Stored(at(3)));
    assert!(
        !stored.contains(&ShardEffect::Checkpoint(at(5))),
        "two records since are below the limit: {stored:?}"
    );
    machine.handle(NOW + MINUTE, ShardInput::Wake);
    assert!(effects(&mut machine).contains(&ShardEffect::Checkpoint(at(5))));
}

#[test]
fn given_a_position_when_the_user_checkpoints_it_then_only_what_was_delivered_goes() {
    let mut machine = processing();
    assert!(matches!(
        machine.request_checkpoint(&at(4)),
        Err(CheckpointRefused::NotDelivered { .. })
    ));
    assert_eq!(machine.request_checkpoint(&at(2)), Ok(CheckpointRequest::Requested));
    handle(&mut machine, ShardInput::Stored(at(2)));
    assert!(matches!(
        machine.request_checkpoint(&at(1)),
        Err(CheckpointRefused::GoesBack { .. })
    ));
    assert_eq!(machine.request_checkpoint(&at(2)), Ok(CheckpointRequest::AlreadyStored));
    handle(&mut machine, ShardInput::Stored(Position::TrimHorizon));
    assert_eq!(
        machine.status(NOW).checkpoint,
        at(2),
        "a late answer does not move it back"
    );
}

#[test]
fn given_any_sequence_of_inputs_when_handled_then_nothing_panics_and_every_deadline_is_used() {
    for seed in 0..2_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let start = [Position::TrimHorizon, Position::Latest, at(3)][rng.usize(0..3)].clone();
        let mut machine = machine(
            start,
            CheckpointPolicy::Automatic {
                interval: MINUTE,
                records: 2,
            },
        );
        let mut now = NOW;
        for _ in 0..60 {
            now = now + Duration::from_millis(rng.u64(0..2_000));
            let id = machine.last_id();
            machine.handle(now, any_input(&mut rng, id));
            effects(&mut machine);
            if let Some(deadline) = machine.next_deadline() {
                now = now.max(deadline);
                machine.handle(now, ShardInput::Wake);
                let acted = machine.poll_effect().is_some();
                assert!(
                    acted || machine.next_deadline().is_none_or(|next| next > now),
                    "seed {seed}"
                );
                effects(&mut machine);
            }
        }
    }
}

#[test]
fn given_an_outage_before_it_when_the_position_is_refused_then_that_is_still_told() {
    let mut machine = reading();
    let mut now = NOW;
    let mut failing = |kind| {
        machine.handle(now, fetch_failed(kind));
        let told = effects(&mut machine);
        // The next attempt is made, and waits for its answer.
        now = now + MINUTE;
        machine.handle(now, ShardInput::Wake);
        effects(&mut machine);
        machine.handle(now, ShardInput::Opened(Ok(())));
        effects(&mut machine);
        told.iter().any(|effect| matches!(effect, ShardEffect::Rejected(_)))
    };
    for _ in 0..9 {
        assert!(!failing(FetchFailureKind::Unavailable));
    }
    let told: Vec<bool> = (0..4).map(|_| failing(FetchFailureKind::InvalidPosition)).collect();
    assert_eq!(told, [false, false, true, false]);
}

#[test]
fn given_a_pause_while_a_batch_is_worked_on_when_it_ends_then_it_counts_and_nothing_follows_until_the_exact_place_goes_on()
 {
    let mut machine = processing();
    handle(&mut machine, ShardInput::Wake);
    machine.handle(NOW + MINUTE, ShardInput::Wake);
    assert!(matches!(effects(&mut machine)[..], [ShardEffect::Fetch { .. }, ..]));
    let paused = NOW + MINUTE;
    machine.handle(paused, ShardInput::Pause(true));
    assert_eq!(
        effects(&mut machine),
        [ShardEffect::Close],
        "what is being read is not awaited"
    );
    assert_eq!(
        {
            let id = machine.last_id();
            machine.handle(paused, ShardInput::Called(id, Outcome::Success));
            effects(&mut machine)
        },
        [ShardEffect::Progress(at(3))]
    );
    let later = paused + MINUTE;
    assert_eq!(machine.status(later).waiting, Waiting::Paused { time: MINUTE });
    assert!(!machine.status(later).is_caught_up());
    machine.handle(later, ShardInput::Wake);
    assert_eq!(
        effects(&mut machine),
        [ShardEffect::Checkpoint(at(3))],
        "what was handled is committed"
    );
    assert_eq!(machine.next_deadline(), None, "and nothing else is done");
    machine.handle(later, ShardInput::Pause(false));
    assert_eq!(effects(&mut machine), [ShardEffect::Open(at(3))]);
}

#[test]
fn given_a_pause_when_the_batch_fails_then_it_is_repeated_after_the_pause_and_a_stop_ends_it_cleanly() {
    let mut machine = processing();
    handle(&mut machine, ShardInput::Pause(true));
    called(&mut machine, Outcome::Failure("no".to_owned()));
    machine.handle(NOW + MINUTE, ShardInput::Wake);
    assert_eq!(effects(&mut machine), []);
    let mut stopped = machine;
    machine = processing();
    handle(&mut machine, ShardInput::Pause(true));
    called(&mut machine, Outcome::Failure("no".to_owned()));
    machine.handle(NOW + MINUTE, ShardInput::Pause(false));
    assert!(delivers(&effects(&mut machine), 1..=3, 2));
    let last = handle(&mut stopped, ShardInput::Stop(StopReason::HandOff));
    let call = Call::ShutdownRequested;
    assert!(matches!(&last[..], [ShardEffect::Call { call: made, .. }] if *made == call));
    assert_eq!(
        called(&mut stopped, Outcome::Success),
        [ShardEffect::Finished(Finish::Drained)]
    );
}

#[test]
fn given_a_shard_that_starts_at_latest_and_paused_when_it_is_resumed_then_it_goes_on_where_latest_was() {
    let mut machine = machine(Position::Latest, CheckpointPolicy::default());
    handle(&mut machine, ShardInput::Pause(true));
    assert_eq!(
        called(&mut machine, Outcome::Success),
        [ShardEffect::Open(Position::Latest)]
    );
    let pin = Position::AtTimestamp(Timestamp::from_epoch_millis(8_000));
    assert_eq!(
        handle(&mut machine, ShardInput::Opened(Ok(()))),
        [ShardEffect::Checkpoint(pin.clone()), ShardEffect::Close]
    );
    handle(&mut machine, ShardInput::Stored(pin.clone()));
    assert_eq!(handle(&mut machine, ShardInput::Pause(false)), [ShardEffect::Open(pin)]);
}

#[test]
fn given_a_seek_when_a_call_runs_then_it_is_cancelled_and_counts_no_more() {
    let mut machine = processing();
    assert_eq!(
        handle(&mut machine, ShardInput::Stop(StopReason::Seek)),
        [ShardEffect::CancelCalls]
    );
    assert_eq!(machine.request_checkpoint(&at(3)), Err(CheckpointRefused::LeaseLost));
    let last = called(&mut machine, Outcome::Success);
    let call = Call::LeaseLost;
    assert!(matches!(&last[..], [ShardEffect::Call { call: made, .. }] if *made == call));
    assert_eq!(
        called(&mut machine, Outcome::Success),
        [ShardEffect::Finished(Finish::Lost)]
    );
}

fn any_input(rng: &mut Rng, id: CallId) -> ShardInput {
    use FetchFailureKind::{Denied, Expired, InvalidPosition, Malformed, NotFound, Throttled, Unavailable};
    let kinds = [
        Unavailable,
        Throttled,
        Expired,
        Malformed,
        NotFound,
        InvalidPosition,
        Denied,
    ];
    let failure = FetchFailure {
        kind: kinds[rng.usize(0..kinds.len())],
        message: "no".to_owned(),
    };
    let first = rng.u64(0..50);
    match rng.u8(0..26) {
        24 => ShardInput::Pause(rng.bool()),
        0..4 => ShardInput::Opened(Ok(())),
        4 => ShardInput::Opened(Err(failure)),
        5..9 => fetched(first..first + rng.u64(0..5)),
        9 => ShardInput::Fetched(Err(failure)),
        10 => ShardInput::Fetched(Ok(Fetch {
            batch: batch([first]),
            end: Some(end()),
            continuation: None,
        })),
        11 => ShardInput::Fetched(Ok(Fetch {
            batch: batch([]),
            end: Some(Vec::new()),
            continuation: None,
        })),
        12..17 => ShardInput::Called(id, Outcome::Success),
        17 => ShardInput::Called(id, Outcome::SuccessBefore(rng.usize(0..6))),
        18 => ShardInput::Called(id, Outcome::Failure("no".to_owned())),
        19 => [ShardInput::Called(id, Outcome::Cancelled), ShardInput::Wake][usize::from(rng.u8(0..8) > 0)].clone(),
        20 => ShardInput::Stored([at(first), Position::Latest, Position::ShardEnd][rng.usize(0..3)].clone()),
        21 => ShardInput::Share(rng.u64(0..2_000)),
        22 if rng.u8(0..4) == 0 => ShardInput::Stop(
            [
                StopReason::Shutdown,
                StopReason::HandOff,
                StopReason::Seek,
                StopReason::LeaseLost,
            ][rng.usize(0..4)],
        ),
        _ => ShardInput::Wake,
    }
}

mod aggregates;
