//! JSON numbers by value: as exact as their digits, whatever their size.

use std::cmp::Ordering;

/// Compares two numbers, both as JSON has them.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Decimal::of(left), Decimal::of(right));
    match (left.signum(), right.signum()) {
        (0, 0) => Ordering::Equal,
        (l, r) if l != r => l.cmp(&r),
        (1, _) => left.compare_magnitude(&right),
        _ => right.compare_magnitude(&left),
    }
}

struct Decimal<'a> {
    negative: bool,
    /// Digits before the point, and after it.
    whole: &'a [u8],
    fraction: &'a [u8],
    leading_zeros: usize,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn of(text: &'a str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (whole, fraction) = (whole.as_bytes(), fraction.as_bytes());
        Self {
            negative,
            whole,
            fraction,
            leading_zeros: whole.iter().chain(fraction).take_while(|digit| **digit == b'0').count(),
            exponent: exponent_of(exponent),
        }
    }

    fn is_zero(&self) -> bool {
        self.leading_zeros == self.whole.len() + self.fraction.len()
    }

    fn signum(&self) -> i8 {
        match (self.is_zero(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        let magnitude = |decimal: &Self| {
            // Lengths in memory are far below what an i64 holds.
            let length = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
            decimal
                .exponent
                .saturating_add(length(decimal.whole.len()) - length(decimal.leading_zeros))
        };
        magnitude(self).cmp(&magnitude(other)).then_with(|| {
            let (mut left, mut right) = (self.digits(), other.digits());
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return Ordering::Equal,
                    (l, r) => match l.unwrap_or(b'0').cmp(&r.unwrap_or(b'0')) {
                        Ordering::Equal => {}
                        unequal => return unequal,
                    },
                }
            }
        })
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).skip(self.leading_zeros).copied()
    }
}

/// An exponent beyond all reason counts as one far beyond all others.
fn exponent_of(text: &str) -> i64 {
    let beyond = i64::MAX / 2;
    let sign = if text.starts_with('-') { -1 } else { 1 };
    text.parse().unwrap_or(sign * beyond).clamp(-beyond, beyond)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn given_numbers_of_all_spellings_when_compared_then_their_values_count() {
        let ascending = [
            "-1e999999999999999999999",
            "-3.0e2",
            "-299.99999999999999999999",
            "-1",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000000000001",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1e400",
            "1.00000001e400",
            "1E999999999999999999999",
        ];
        for (i, left) in ascending.iter().enumerate() {
            for (j, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), i.cmp(&j), "{left} {right}");
            }
        }
        for (left, right) in [
            ("300", "300.0"),
            ("300", "3.0e2"),
            ("300", "3E+2"),
            ("0.003", "3e-3"),
            ("0", "-0.0e7"),
            ("1000e-3", "1"),
        ] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
        }
    }

    proptest! {
        #[test]
        fn integers_compare_as_integers(left in any::<i64>(), right in any::<i64>()) {
            prop_assert_eq!(compare(&left.to_string(), &right.to_string()), left.cmp(&right));
        }

        #[test]
        fn floats_compare_as_floats(left in -1e9..1e9_f64, right in -1e9..1e9_f64) {
            prop_assert_eq!(Some(compare(&left.to_string(), &format!("{right:e}"))), left.partial_cmp(&right));
        }
    }
}
