//! Single cases, in words.

use super::*;

fn shard_with(lanes: Lanes, window: usize, keys: &[u8]) -> Shard {
    let config = ShardConfig {
        lanes,
        window,
        handler_backoff: BACKOFF,
        ..ShardConfig::default()
    };
    let mut shard = Shard::new(config, keys);
    shard.live(&[Step::Serve, Step::Serve]);
    shard
}

/// The call that works on this record.
fn call_with(shard: &Shard, index: usize) -> Option<CallId> {
    let has = |call: &Call| match call {
        Call::Process { batch, .. } => batch.iter().any(|record| index_of(record) == index),
        _ => false,
    };
    shard.running.iter().find(|(_, call)| has(call)).map(|(id, _)| *id)
}

fn indices(shard: &Shard) -> Vec<Vec<usize>> {
    let of = |batch: &Batch| batch.iter().map(index_of).collect();
    shard.running_batches().map(of).collect()
}

fn answer(shard: &mut Shard, index: usize, answer: Answer) {
    let id = call_with(shard, index).unwrap_or_else(|| panic!("{index} is not delivered: {:?}", indices(shard)));
    shard.answer(id, answer);
}

#[test]
fn given_keys_when_read_then_each_is_called_at_once_with_all_its_records() {
    let shard = shard_with(Lanes::PerKey { calls: 10 }, 100, &[1, 2, 1, 0, 2, 0]);
    assert_eq!(indices(&shard), [vec![0, 2], vec![1, 4], vec![3, 5]]);
    let status = shard.machine.status(shard.now).lanes;
    assert_eq!((status.running, status.ready, status.window_records), (3, 0, 6));
}

#[test]
fn given_more_keys_than_calls_when_one_ends_then_the_key_that_waited_longest_is_next() {
    let mut shard = shard_with(Lanes::PerKey { calls: 2 }, 100, &[1, 2, 3, 4, 1]);
    assert_eq!(indices(&shard), [vec![0, 4], vec![1]]);
    assert_eq!(shard.machine.status(shard.now).lanes.ready, 2);
    answer(&mut shard, 1, Answer::Success);
    assert_eq!(indices(&shard), [vec![0, 4], vec![2]]);
}

#[test]
fn given_hashed_lanes_when_read_then_keys_share_lanes_and_no_key_has_two() {
    let keys: Vec<u8> = (0..60).map(|index| index % 20).collect();
    let shard = shard_with(Lanes::Hashed(4), 100, &keys);
    assert_eq!(indices(&shard).len(), 4, "twenty keys fill four lanes");
    assert_eq!(indices(&shard).concat().len(), 60);
}

#[test]
fn given_a_poison_record_when_the_window_is_full_then_the_shard_stands_still_and_says_so() {
    let mut keys = vec![1];
    keys.extend([2; 30]);
    let mut shard = shard_with(Lanes::PerKey { calls: 4 }, 10, &keys);
    for _ in 0..40 {
        match call_with(&shard, 0) {
            Some(id) => shard.answer(id, Answer::Failure),
            None => match shard.running.keys().next().copied() {
                Some(id) => shard.answer(id, Answer::Success),
                None => drop(shard.wait()),
            },
        }
    }
    let status = shard.machine.status(shard.now);
    let handled = shard.handled.iter().filter(|handled| **handled).count();
    assert_eq!(
        (handled, shard.progress),
        (9, 0),
        "the other lane went on to the end of the window"
    );
    assert!(status.lanes.held_up);
    assert_eq!(shard.held_up, 1, "told once");
    let failing = status.lanes.oldest_failing.unwrap();
    assert_eq!((covered(&failing.first), failing.error.as_str()), (1, "no"));
    assert!(failing.attempts > 5);
    assert!(matches!(
        status.waiting,
        Waiting::ForRetry { .. } | Waiting::ForHandler { .. }
    ));
    shard.settle();
    assert_eq!(shard.progress, keys.len());
}

#[test]
fn given_a_lane_that_fails_when_others_succeed_then_the_rest_of_its_key_waits_for_it_alone() {
    let mut shard = shard_with(Lanes::PerKey { calls: 4 }, 100, &[1, 2, 1]);
    answer(&mut shard, 0, Answer::Before(1));
    assert_eq!(shard.progress, 1);
    answer(&mut shard, 1, Answer::Success);
    assert_eq!(shard.progress, 2);
    assert!(indices(&shard).is_empty());
    shard.wait();
    assert_eq!(indices(&shard), [vec![2]]);
}

#[test]
fn given_a_gap_when_stopped_then_only_the_gap_is_delivered() {
    // Key 1 has records 0, 2 and 4; key 2 has 1 and 3. One record a call.
    let config = ShardConfig {
        lanes: Lanes::PerKey { calls: 4 },
        batch_size: 1,
        handler_backoff: BACKOFF,
        ..ShardConfig::default()
    };
    let mut shard = Shard::new(config, &[1, 2, 1, 2, 1]);
    shard.live(&[Step::Serve, Step::Serve]);
    answer(&mut shard, 1, Answer::Success);
    answer(&mut shard, 3, Answer::Success);
    answer(&mut shard, 0, Answer::Failure);
    shard.stop(StopReason::Shutdown);
    assert_eq!(indices(&shard), [[0]], "it is tried at once");
    answer(&mut shard, 0, Answer::Success);
    assert_eq!(indices(&shard), [[2]]);
    answer(&mut shard, 2, Answer::Success);
    assert_eq!(shard.progress, 4);
    assert!(indices(&shard).is_empty(), "record 4 lies behind all that is handled");
    shard.settle();
    assert_eq!((shard.finish, shard.repeats), (Some(Finish::Drained), 0));
}

#[test]
fn given_a_gap_that_goes_on_failing_when_stopped_then_it_is_given_up_and_what_is_repeated_is_told() {
    let mut shard = shard_with(Lanes::PerKey { calls: 4 }, 100, &[1, 2, 2, 3]);
    answer(&mut shard, 1, Answer::Success);
    answer(&mut shard, 0, Answer::Failure);
    shard.stop(StopReason::HandOff);
    let mut tries = 0;
    while shard.finish.is_none() {
        if let Some(id) = call_with(&shard, 0) {
            tries += 1;
            shard.answer(id, Answer::Failure);
        } else if let Some(id) = shard.running.keys().next().copied() {
            shard.answer(id, Answer::Success);
        } else {
            assert!(shard.wait());
        }
    }
    assert_eq!(tries, 3);
    // Two of key 2, and that of key 3, which was under way.
    assert_eq!((shard.progress, shard.repeats), (0, 3));
}

#[test]
fn given_a_record_that_was_put_off_when_stopped_then_it_is_not_asked_for_again() {
    let mut shard = shard_with(Lanes::PerKey { calls: 4 }, 100, &[1, 2]);
    answer(&mut shard, 1, Answer::Success);
    answer(&mut shard, 0, Answer::Later(3_600_000));
    shard.stop(StopReason::Shutdown);
    shard.settle();
    assert_eq!((shard.finish, shard.repeats), (Some(Finish::Drained), 1));
    assert!(shard.now.since(Tick::ZERO) < Duration::from_secs(60));
}

#[test]
fn given_a_watermark_that_stands_still_when_others_are_handled_then_no_checkpoint_is_due() {
    let mut shard = shard_with(Lanes::PerKey { calls: 4 }, 100, &[1, 2, 3]);
    answer(&mut shard, 1, Answer::Success);
    answer(&mut shard, 2, Answer::Success);
    assert_eq!(shard.machine.checkpoint_due(), None, "there is nothing new to commit");
}

#[test]
fn wound_44_given_lanes_that_run_when_the_lease_is_lost_then_all_are_cancelled_and_then_the_loss_is_told() {
    let mut shard = shard_with(Lanes::PerKey { calls: 4 }, 100, &[1, 2, 3]);
    shard.stop(StopReason::LeaseLost);
    answer(&mut shard, 0, Answer::Success);
    answer(&mut shard, 2, Answer::Failure);
    assert_eq!(indices(&shard), [[1]]);
    answer(&mut shard, 1, Answer::Success);
    assert!(matches!(shard.running.values().next(), Some(Call::LeaseLost)));
    assert_eq!(shard.progress, 0);
}
