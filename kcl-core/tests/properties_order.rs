//! The order of sequence numbers and positions: total, and what KCL's is.

use kcl_core::{Position, RecordPosition, SequenceNumber, Timestamp};
use proptest::prelude::*;

fn any_number() -> impl Strategy<Value = SequenceNumber> {
    prop_oneof![any::<u128>(), 0..20u128, any::<u64>().prop_map(u128::from)].prop_map(number)
}

fn number(value: u128) -> SequenceNumber {
    SequenceNumber::new(value.to_string()).expect("a decimal is a sequence number")
}

fn any_position() -> impl Strategy<Value = Position> {
    prop_oneof![
        (0..10i64).prop_map(|at| Position::AtTimestamp(Timestamp::from_epoch_millis(at))),
        Just(Position::TrimHorizon),
        Just(Position::Latest),
        (any_number(), 0..3u64).prop_map(|(sequence_number, sub_sequence_number)| {
            Position::Record(RecordPosition {
                sequence_number,
                sub_sequence_number,
            })
        }),
        Just(Position::ShardEnd),
    ]
}

/// Where KCL puts the kinds of positions.
fn rank(position: &Position) -> u8 {
    match position {
        Position::AtTimestamp(_) => 0,
        Position::TrimHorizon => 1,
        Position::Latest => 2,
        Position::Record(_) => 3,
        Position::ShardEnd => 4,
        other => panic!("a position without a rank: {other}"),
    }
}

proptest! {
    #[test]
    fn given_two_numbers_when_compared_as_text_then_they_order_as_numbers(a: u128, b: u128, digits in 1..39u32) {
        let short = b % 10u128.pow(digits.min(38));
        prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
        prop_assert_eq!(number(a).cmp(&number(short)), a.cmp(&short));
    }

    #[test]
    fn given_numbers_beyond_128_bits_when_compared_then_the_longer_is_larger(a in "[1-9][0-9]{39,60}", b in "[1-9][0-9]{39,60}") {
        let (first, second) = (SequenceNumber::new(a.clone()).unwrap(), SequenceNumber::new(b.clone()).unwrap());
        // Padded with zeros to one length, numbers order as texts do.
        prop_assert_eq!(first.cmp(&second), format!("{a:0>128}").cmp(&format!("{b:0>128}")));
    }

    #[test]
    fn given_three_positions_when_compared_then_the_order_is_total(
        a in any_position(), b in any_position(), c in any_position(),
    ) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a == b, a.cmp(&b).is_eq());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }

    #[test]
    fn given_positions_of_different_kinds_when_compared_then_the_kinds_decide(a in any_position(), b in any_position()) {
        if rank(&a) != rank(&b) {
            prop_assert_eq!(a.cmp(&b), rank(&a).cmp(&rank(&b)));
        } else if let (Some(first), Some(second)) = (a.record(), b.record()) {
            let by_parts = (&first.sequence_number, first.sub_sequence_number)
                .cmp(&(&second.sequence_number, second.sub_sequence_number));
            prop_assert_eq!(a.cmp(&b), by_parts);
        }
    }

    #[test]
    fn given_a_checkpoint_when_it_may_advance_then_it_never_falls_behind_a_record(a in any_position(), b in any_position()) {
        prop_assert_eq!(a.may_advance_to(&b), a <= b || (a.is_start() && b.is_start()));
        if !a.is_start() && a.may_advance_to(&b) {
            prop_assert!(!b.is_start() && a <= b);
        }
    }
}
