//! The bits of a sequence number.
//!
//! A number is 186 bits wide and prints as 56 decimal digits. From the top: `2` (2 bits), the second in which the shard
//! was made (36), the low nibble of the shard's index (4), a counter (64, its top bit clear), zero (8), the second in
//! which the record arrived (36), the shard's index (32), and the version of this layout, `2` (4).

use kcl_core::{SequenceNumber, Timestamp};

/// The counter in the number at which a shard was closed: no record gets as far.
pub(super) const LAST_COUNTER: u64 = i64::MAX as u64;

/// The last second that a number can hold.
pub(super) const LAST_SECOND: u64 = SECOND_MASK;

const VERSION: u128 = 2;
const TOP: u64 = 2;
const SECOND_MASK: u64 = (1 << 36) - 1;
/// The digits are cut in chunks that fit in 64 bits.
const CHUNK: u64 = 10_u64.pow(19);
const DIGITS: usize = 56;

/// What a sequence number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The second in which the shard was made.
    pub(super) created: u64,
    /// The shard's index within its stream.
    pub(super) shard: u32,
    /// Counts the shard's records.
    pub(super) counter: u64,
    /// The second in which the record arrived.
    pub(super) arrived: u64,
}

/// The second in which `at` lies, as far as a sequence number can hold it.
pub(super) fn second_of(at: Timestamp) -> u64 {
    u64::try_from(at.epoch_millis().div_euclid(1000))
        .unwrap_or(0)
        .min(SECOND_MASK)
}

impl Parts {
    pub(super) fn encode(self) -> SequenceNumber {
        let low = VERSION
            | (u128::from(self.shard) << 4)
            | (u128::from(self.arrived & SECOND_MASK) << 36)
            | (u128::from(self.counter) << 80);
        let high = (self.counter >> 48)
            | (u64::from(self.shard & 0xf) << 16)
            | ((self.created & SECOND_MASK) << 20)
            | (TOP << 56);
        let mut limbs = [high, (low >> 64) as u64, low as u64];
        let least = divide(&mut limbs);
        let middle = divide(&mut limbs);
        let digits = format!("{}{middle:019}{least:019}", limbs[2]);
        SequenceNumber::new(digits).expect("56 digits, the first of them not zero")
    }

    /// What `text` says, if it is a number of this layout.
    pub(super) fn decode(text: &str) -> Option<Self> {
        if text.len() != DIGITS || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mut limbs = [0, 0, 0];
        for chunk in [&text[..18], &text[18..37], &text[37..]] {
            multiply_add(&mut limbs, chunk.parse().ok()?)?;
        }
        let [high, middle, least] = limbs;
        let low = (u128::from(middle) << 64) | u128::from(least);
        let parts = Self {
            created: (high >> 20) & SECOND_MASK,
            shard: (low >> 4) as u32,
            counter: ((low >> 80) as u64) | ((high & 0xffff) << 48),
            arrived: ((low >> 36) as u64) & SECOND_MASK,
        };
        let well_formed = high >> 56 == TOP
            && low & 0xf == VERSION
            && (low >> 72) & 0xff == 0
            && (high >> 16) & 0xf == u64::from(parts.shard & 0xf)
            && parts.counter <= LAST_COUNTER;
        well_formed.then_some(parts)
    }
}

/// Divides by [`CHUNK`] and gives the remainder.
fn divide(limbs: &mut [u64; 3]) -> u64 {
    let mut remainder = 0;
    for limb in limbs {
        let dividend = (u128::from(remainder) << 64) | u128::from(*limb);
        *limb = (dividend / u128::from(CHUNK)) as u64;
        remainder = (dividend % u128::from(CHUNK)) as u64;
    }
    remainder
}

/// Multiplies by [`CHUNK`] and adds; `None` if the result does not fit.
fn multiply_add(limbs: &mut [u64; 3], add: u64) -> Option<()> {
    let mut carry = add;
    for limb in limbs.iter_mut().rev() {
        let product = u128::from(*limb) * u128::from(CHUNK) + u128::from(carry);
        *limb = product as u64;
        carry = (product >> 64) as u64;
    }
    (carry == 0).then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_numbers_of_neighbouring_shards_differ_by_the_known_constant() {
        let number = |shard| {
            Parts {
                created: 1_357_034_400,
                shard,
                counter: 0,
                arrived: 1_357_034_400,
            }
            .encode()
        };
        let difference = subtract(number(1).as_str(), number(0).as_str());
        assert_eq!(difference, "22300745198530623141535718272648361505980432");
        assert!(number(0).as_str().starts_with("49"));
    }

    #[test]
    fn what_is_no_number_of_this_layout_is_refused() {
        let good = Parts {
            created: 7,
            shard: 3,
            counter: 1,
            arrived: 9,
        }
        .encode();
        assert!(Parts::decode(good.as_str()).is_some());
        for bad in [
            "",
            "0",
            "12",
            &"9".repeat(56),
            &"1".repeat(56),
            &format!("{good}0"),
            &"x".repeat(56),
        ] {
            assert_eq!(Parts::decode(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(created in 0..=SECOND_MASK, shard: u32, counter in 0..=LAST_COUNTER, arrived in 0..=SECOND_MASK) {
            let parts = Parts { created, shard, counter, arrived };
            let number = parts.encode();
            prop_assert_eq!(number.as_str().len(), DIGITS);
            prop_assert_eq!(Parts::decode(number.as_str()), Some(parts));
        }

        #[test]
        fn numbers_order_by_creation_of_the_shard_then_by_counter(
            created in 0..SECOND_MASK,
            shards: (u32, u32),
            counters in (0..LAST_COUNTER, 0..LAST_COUNTER),
            arrived in (0..SECOND_MASK, 0..SECOND_MASK),
        ) {
            let parent = Parts { created, shard: shards.0, counter: LAST_COUNTER, arrived: arrived.0 };
            let child = Parts { created: created + 1, shard: shards.1, counter: 0, arrived: arrived.1 };
            prop_assert!(parent.encode() < child.encode());
            let (early, late) = (counters.0, counters.1);
            let one = Parts { counter: early, ..parent }.encode();
            let other = Parts { counter: late, arrived: arrived.1, ..parent }.encode();
            if early != late {
                prop_assert_eq!(early < late, one < other);
            }
        }
    }

    fn subtract(from: &str, what: &str) -> String {
        let mut digits = Vec::new();
        let mut borrow = 0;
        for (a, b) in from.bytes().rev().zip(what.bytes().rev()) {
            let difference = i16::from(a) - i16::from(b) - borrow;
            borrow = i16::from(difference < 0);
            digits.push(char::from(
                b'0' + u8::try_from(difference.rem_euclid(10)).expect("one digit"),
            ));
        }
        digits
            .into_iter()
            .rev()
            .collect::<String>()
            .trim_start_matches('0')
            .to_owned()
    }
}
