use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Number {
    Number::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn numbers_are_shown_without_exponents_and_needless_zeros() {
    for (given, shown) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000e5", "0"),
        ("0e999999999999999999999", "0"),
        ("007", "7"),
        ("+1.50", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-0.05", "-0.05"),
        ("1e3", "1000"),
        ("1.5E2", "150"),
        ("12e-1", "1.2"),
        ("100e-2", "1"),
        ("1e-3", "0.001"),
        (
            "99999999999999999999999999999999999999",
            "99999999999999999999999999999999999999",
        ),
        (
            "1.2345678901234567890123456789012345678",
            "1.2345678901234567890123456789012345678",
        ),
    ] {
        assert_eq!(number(given).to_string(), shown, "{given}");
    }
    assert_eq!(number("1e125").to_string(), format!("1{}", "0".repeat(125)));
    assert_eq!(number("1e-130").to_string(), format!("0.{}1", "0".repeat(129)));
}

#[test]
fn what_is_no_number_or_none_that_can_be_stored_is_refused() {
    for text in [
        "a", "1a", "1e", "1e+", "e5", ".", "-", "1.2.3", " 1", "0x10", "NaN", "Infinity", "1_0", "--1",
    ] {
        assert_eq!(
            Number::parse(text),
            Err(NumberError::NoNumber(text.to_owned())),
            "{text}"
        );
    }
    assert_eq!(Number::parse(""), Err(NumberError::Empty));
    assert_eq!(Number::parse("1e126"), Err(NumberError::Overflow));
    assert_eq!(Number::parse("-10e125"), Err(NumberError::Overflow));
    assert_eq!(Number::parse("1e99999999999999999999"), Err(NumberError::Overflow));
    assert_eq!(Number::parse("1e-131"), Err(NumberError::Underflow));
    assert_eq!(Number::parse("1e-99999999999999999999"), Err(NumberError::Underflow));
    let digits = "123456789012345678901234567890123456789";
    assert_eq!(Number::parse(digits), Err(NumberError::TooManyDigits));
    assert!(Number::parse(&"1".repeat(1 << 20)).is_err());
}

#[test]
fn sums_are_exact_or_refused() {
    let sum = |a: &str, b: &str| number(a).checked_add(number(b)).map(|sum| sum.to_string());
    assert_eq!(sum("0.1", "0.2").unwrap(), "0.3");
    assert_eq!(sum("5", "-5").unwrap(), "0");
    assert_eq!(sum("1e37", "-1").unwrap(), "9".repeat(37));
    assert_eq!(sum("1e38", "-1").unwrap(), "9".repeat(38));
    assert_eq!(sum("1e38", "1"), Err(NumberError::TooManyDigits));
    assert_eq!(sum("1e125", "1e-130"), Err(NumberError::TooManyDigits));
    assert_eq!(sum("9e125", "9e125"), Err(NumberError::Overflow));
    let nines = "9".repeat(38);
    assert_eq!(sum(&nines, "1").unwrap(), format!("1{}", "0".repeat(38)));
    assert_eq!(sum(&nines, &nines), Err(NumberError::TooManyDigits));
    let difference = number("1e-130").checked_sub(number("11e-130"));
    assert_eq!(difference.unwrap(), number("-1e-129"));
    assert_eq!(number("3").checked_sub(Number::ZERO).unwrap(), number("3"));
    assert_eq!(Number::ZERO.checked_sub(number("3")).unwrap(), number("-3"));
}

#[test]
fn sizes_count_pairs_of_digits() {
    for (text, size) in [
        ("0", 1),
        ("1", 2),
        ("12", 2),
        ("123", 3),
        ("-1", 3),
        ("1000", 2),
        ("0.1", 2),
        ("1.1", 3),
        ("10.01", 3),
    ] {
        assert_eq!(number(text).size(), size, "{text}");
    }
}

/// A number as an integer of thousandths of millionths, which is easily compared and added.
fn scaled(coefficient: i64, exponent: u32) -> i128 {
    i128::from(coefficient) * 10_i128.pow(exponent)
}

proptest! {
    #[test]
    fn order_and_arithmetic_are_those_of_integers(
        a in any::<i64>(), a_exponent in 0_u32..9,
        b in any::<i64>(), b_exponent in 0_u32..9,
    ) {
        let of = |coefficient: i64, exponent: u32| number(&format!("{coefficient}e{}", i64::from(exponent) - 9));
        let (x, y) = (of(a, a_exponent), of(b, b_exponent));
        let (i, j) = (scaled(a, a_exponent), scaled(b, b_exponent));
        prop_assert_eq!(x.cmp(&y), i.cmp(&j));
        prop_assert_eq!(x == y, i == j);
        prop_assert_eq!(x.checked_add(y).unwrap(), number(&format!("{}e-9", i + j)));
        prop_assert_eq!(x.checked_sub(y).unwrap(), number(&format!("{}e-9", i - j)));
    }

    #[test]
    fn what_is_shown_is_read_as_the_same_number(
        negative in any::<bool>(), digits in "[1-9][0-9]{0,36}[1-9]", exponent in -160_i32..130,
    ) {
        let sign = if negative { "-" } else { "" };
        if let Ok(number) = Number::parse(&format!("{sign}{digits}e{exponent}")) {
            let shown = number.to_string();
            prop_assert_eq!(Number::parse(&shown), Ok(number));
            prop_assert!(!shown.contains('e'));
            prop_assert_eq!(shown.trim_matches(['-', '0', '.']).replace('.', ""), digits);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-+0-9.eE]{0,60}") {
        if let Ok(number) = Number::parse(&text) {
            prop_assert!(number.digits() <= DIGITS_MAX);
        }
    }
}
