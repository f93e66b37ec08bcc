//! [`Number`]: decimal numbers of up to 38 digits, exact.
//!
//! A coefficient of 38 digits fits a `u128`, and so does every intermediate result that can still lead to a number of 38
//! digits. That is why no library for big decimals is needed here.

use std::{cmp::Ordering, fmt};

const DIGITS_MAX: u32 = 38;
/// The first digit's power of ten, at most and at least.
const MAGNITUDE_MAX: i32 = 125;
const MAGNITUDE_MIN: i32 = -130;

/// `coefficient × 10^exponent`, negated or not. The coefficient does not end in zero; zero is 0 × 10^0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::dynamodb) struct Number {
    negative: bool,
    coefficient: u128,
    exponent: i32,
}

/// A number that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::dynamodb) enum NumberError {
    #[error("The parameter cannot be converted to a numeric value")]
    Empty,
    #[error("The parameter cannot be converted to a numeric value: {0}")]
    NoNumber(String),
    #[error("Number overflow. Attempting to store a number with magnitude larger than supported range")]
    Overflow,
    #[error("Number underflow. Attempting to store a number with magnitude smaller than supported range")]
    Underflow,
    #[error("Attempting to store more than 38 significant digits in a Number")]
    TooManyDigits,
}

impl Number {
    pub(in crate::dynamodb) const ZERO: Self = Self {
        negative: false,
        coefficient: 0,
        exponent: 0,
    };

    /// Reads digits with an optional sign, fraction and exponent.
    pub(in crate::dynamodb) fn parse(text: &str) -> Result<Self, NumberError> {
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        let no_number = || NumberError::NoNumber(text.chars().take(SHOWN_CHARS_MAX).collect());
        let (negative, unsigned) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return Err(no_number());
        }
        let exponent = exponent.map_or(Some(0), parse_exponent).ok_or_else(no_number)?;
        let digits: String = [whole, fraction].concat();
        let significant = digits.trim_start_matches('0');
        let coefficient = significant.trim_end_matches('0');
        if coefficient.is_empty() {
            return Ok(Self::ZERO);
        }
        let len = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let exponent = exponent
            .saturating_sub(len(fraction))
            .saturating_add(len(significant) - len(coefficient));
        check_magnitude(exponent.saturating_add(len(coefficient) - 1))?;
        if coefficient.len() > DIGITS_MAX as usize {
            return Err(NumberError::TooManyDigits);
        }
        Ok(Self {
            negative,
            coefficient: coefficient.parse().map_err(|_| NumberError::TooManyDigits)?,
            exponent: i32::try_from(exponent).map_err(|_| NumberError::Overflow)?,
        })
    }

    /// The sum, if it can be stored without loss.
    pub(in crate::dynamodb) fn checked_add(self, other: Self) -> Result<Self, NumberError> {
        if self.coefficient == 0 {
            return Ok(other);
        }
        if other.coefficient == 0 {
            return Ok(self);
        }
        let (high, low) = if self.exponent >= other.exponent {
            (self, other)
        } else {
            (other, self)
        };
        // Whatever overflows a u128 here is followed by a result of more than 38 digits: the larger number alone has at
        // least 39 at the scale of the smaller one, of which a smaller one of 38 digits cannot take enough away.
        let raised = 10_u128
            .checked_pow(high.exponent.abs_diff(low.exponent))
            .and_then(|power| high.coefficient.checked_mul(power))
            .ok_or(NumberError::TooManyDigits)?;
        let (negative, coefficient) = if high.negative == low.negative {
            let sum = raised.checked_add(low.coefficient);
            (high.negative, sum.ok_or(NumberError::TooManyDigits)?)
        } else if raised >= low.coefficient {
            (high.negative, raised - low.coefficient)
        } else {
            (low.negative, low.coefficient - raised)
        };
        Self::normal(negative, coefficient, low.exponent)
    }

    /// The difference, if it can be stored without loss.
    pub(in crate::dynamodb) fn checked_sub(self, other: Self) -> Result<Self, NumberError> {
        let negated = Self {
            negative: !other.negative && other.coefficient != 0,
            ..other
        };
        self.checked_add(negated)
    }

    fn normal(negative: bool, mut coefficient: u128, mut exponent: i32) -> Result<Self, NumberError> {
        if coefficient == 0 {
            return Ok(Self::ZERO);
        }
        while coefficient.is_multiple_of(10) {
            coefficient /= 10;
            exponent += 1;
        }
        let number = Self {
            negative,
            coefficient,
            exponent,
        };
        if number.digits() > DIGITS_MAX {
            return Err(NumberError::TooManyDigits);
        }
        check_magnitude(i64::from(number.magnitude()))?;
        Ok(number)
    }

    fn digits(self) -> u32 {
        self.coefficient.checked_ilog10().map_or(1, |log| log + 1)
    }

    /// The power of ten of the first digit.
    fn magnitude(self) -> i32 {
        self.exponent + self.digits().cast_signed() - 1
    }

    /// The bytes that the service counts: digits are kept in pairs, aligned at the decimal point.
    pub(in crate::dynamodb) fn size(self) -> usize {
        if self.coefficient == 0 {
            return 1;
        }
        let pairs = self.magnitude().div_euclid(2) - self.exponent.div_euclid(2) + 1;
        1 + pairs.unsigned_abs() as usize + usize::from(self.negative)
    }

    /// Compares as if neither were negative.
    fn compare_magnitude(self, other: Self) -> Ordering {
        if self.coefficient == 0 || other.coefficient == 0 {
            return self.coefficient.cmp(&other.coefficient);
        }
        let aligned = |number: Self| number.coefficient * 10_u128.pow(DIGITS_MAX - number.digits());
        self.magnitude()
            .cmp(&other.magnitude())
            .then_with(|| aligned(self).cmp(&aligned(other)))
    }

    /// What keys of this number are scattered by.
    pub(in crate::dynamodb) fn to_bytes(self) -> [u8; 21] {
        let mut bytes = [0; 21];
        bytes[0] = u8::from(self.negative);
        bytes[1..17].copy_from_slice(&self.coefficient.to_be_bytes());
        bytes[17..].copy_from_slice(&self.exponent.to_be_bytes());
        bytes
    }
}

impl From<usize> for Number {
    fn from(count: usize) -> Self {
        Self::normal(false, count as u128, 0).unwrap_or(Self::ZERO)
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // An exponent too long to be read is beyond every range.
    let value = digits.parse::<i64>().unwrap_or(i64::MAX);
    Some(if text.starts_with('-') { -value } else { value })
}

fn check_magnitude(magnitude: i64) -> Result<(), NumberError> {
    if magnitude > i64::from(MAGNITUDE_MAX) {
        Err(NumberError::Overflow)
    } else if magnitude < i64::from(MAGNITUDE_MIN) {
        Err(NumberError::Underflow)
    } else {
        Ok(())
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.compare_magnitude(*other),
            (true, true) => other.compare_magnitude(*self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    /// All digits, without an exponent, as the service writes numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let digits = self.coefficient.to_string();
        let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
        if self.exponent >= 0 {
            return write!(f, "{digits}{}", zeros(self.exponent));
        }
        let after_point = self.exponent.unsigned_abs() as usize;
        match digits.len().checked_sub(after_point) {
            None | Some(0) => write!(f, "0.{}{digits}", zeros(-self.magnitude() - 1)),
            Some(point) => write!(f, "{}.{}", &digits[..point], &digits[point..]),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The most of an unreadable number that a message repeats.
const SHOWN_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests;
