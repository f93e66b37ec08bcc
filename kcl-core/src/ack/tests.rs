use proptest::prelude::*;

use super::{AckError, AckTracker, Ticket, Unit};
use crate::{
    sequence::{Position, SequenceNumber},
    time::Timestamp,
};

fn after(number: usize) -> Position {
    Position::after(SequenceNumber::new(number.to_string()).unwrap())
}

const THEN: Timestamp = Timestamp::from_epoch_millis(0);

/// A unit of this many records that ends at this number.
fn run(end: usize, records: usize) -> Unit {
    Unit {
        end: after(end),
        records,
        arrived: Timestamp::from_epoch_millis(end as i64),
    }
}

fn one(end: usize) -> Unit {
    run(end, 1)
}

#[test]
fn given_completions_out_of_order_when_the_gap_closes_then_the_watermark_jumps() {
    let mut acks = AckTracker::new();
    let tickets: Vec<Ticket> = (1..=3).map(|number| acks.push(one(number))).collect();
    acks.complete(tickets[2]).unwrap();
    acks.complete(tickets[1]).unwrap();
    assert_eq!((acks.watermark(), acks.outstanding()), (None, 1));
    acks.complete(tickets[0]).unwrap();
    assert_eq!(acks.watermark(), Some(&after(3)));
    assert!(acks.is_idle());
}

#[test]
fn given_a_ticket_when_completed_twice_or_foreign_then_an_error_says_which() {
    let mut acks = AckTracker::new();
    let first = acks.push(one(1));
    let foreign = {
        let mut other = AckTracker::new();
        other.push(one(1));
        other.push(one(2))
    };
    acks.complete(first).unwrap();
    assert_eq!(acks.complete(first), Err(AckError::AlreadyCompleted(first)));
    assert_eq!(acks.complete(foreign), Err(AckError::Unknown(foreign)));
    // The room of the first is used again, and its ticket still does not fit.
    acks.push(one(2));
    assert_eq!(acks.complete(first), Err(AckError::AlreadyCompleted(first)));
    assert_eq!(
        acks.split(first, after(1), 1, THEN),
        Err(AckError::AlreadyCompleted(first))
    );
    assert_eq!(acks.watermark(), Some(&after(1)));
}

#[test]
fn given_a_unit_in_the_middle_when_split_then_its_rest_holds_the_watermark_back() {
    let mut acks = AckTracker::new();
    let first = acks.push(run(10, 10));
    let second = acks.push(run(20, 10));
    assert_eq!(acks.oldest_arrival(), Some(Timestamp::from_epoch_millis(10)));
    let rest = acks.split(first, after(5), 4, Timestamp::from_epoch_millis(5)).unwrap();
    acks.complete(first).unwrap();
    acks.complete(second).unwrap();
    assert_eq!(acks.watermark(), Some(&after(5)));
    assert_eq!((acks.window(), acks.passed()), (16, 4));
    assert_eq!(acks.oldest_arrival(), Some(Timestamp::from_epoch_millis(5)));
    acks.complete(rest).unwrap();
    assert_eq!(acks.watermark(), Some(&after(20)));
}

#[test]
fn given_a_full_window_when_the_front_completes_then_there_is_room_again() {
    let mut acks = AckTracker::with_window(5);
    let first = acks.push(run(1, 2));
    let second = acks.push(run(2, 3));
    assert_eq!(acks.room(), 0);
    acks.complete(second).unwrap();
    assert_eq!(acks.room(), 0);
    acks.complete(first).unwrap();
    assert_eq!(acks.room(), 5);
}

#[test]
fn given_a_watermark_when_taken_then_it_comes_once() {
    let mut acks = AckTracker::new();
    let ticket = acks.push(one(1));
    assert_eq!(acks.take_watermark(), None);
    acks.complete(ticket).unwrap();
    assert_eq!(acks.take_watermark(), Some(after(1)));
    assert_eq!(acks.take_watermark(), None);
    assert_eq!(acks.watermark(), Some(&after(1)));
}

/// The obvious way: a list of everything, searched each time.
#[derive(Default)]
struct Model {
    units: Vec<(Ticket, Position, bool)>,
}

impl Model {
    fn watermark(&self) -> Option<&Position> {
        self.units
            .iter()
            .take_while(|(.., done)| *done)
            .last()
            .map(|(_, position, _)| position)
    }

    fn outstanding(&self) -> usize {
        self.units.iter().filter(|(.., done)| !done).count()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push,
    Complete(prop::sample::Index),
    Split(prop::sample::Index),
}

proptest! {
    #[test]
    fn given_any_steps_when_compared_with_a_plain_list_then_the_watermarks_agree(
        steps in prop::collection::vec(
            prop_oneof![
                3 => Just(Step::Push),
                3 => any::<prop::sample::Index>().prop_map(Step::Complete),
                1 => any::<prop::sample::Index>().prop_map(Step::Split),
            ],
            0..200,
        ),
    ) {
        let (mut acks, mut model) = (AckTracker::new(), Model::default());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                // Between any two positions there is room for those of splits.
                Step::Push => {
                    let unit = run((number + 1) * 1000, 1_000);
                    let end = unit.end.clone();
                    model.units.push((acks.push(unit), end, false));
                }
                Step::Complete(index) | Step::Split(index) if model.units.is_empty() => { let _ = index; }
                Step::Complete(index) => {
                    let (ticket, _, done) = index.get_mut(&mut model.units);
                    prop_assert_eq!(acks.complete(*ticket).is_ok(), !*done);
                    *done = true;
                }
                Step::Split(index) => {
                    let at = index.index(model.units.len());
                    let (ticket, end, done) = model.units[at].clone();
                    let head = after(number);
                    let split = acks.split(ticket, head.clone(), 1, THEN);
                    prop_assert_eq!(split.is_ok(), !done);
                    if let Ok(rest) = split {
                        model.units[at].1 = head;
                        model.units.insert(at + 1, (rest, end, false));
                    }
                }
            }
            prop_assert_eq!(acks.watermark(), model.watermark());
            prop_assert_eq!(acks.outstanding(), model.outstanding());
            prop_assert_eq!(acks.is_idle(), model.outstanding() == 0);
        }
    }
}
