use kcl_core::Timestamp;
use proptest::prelude::*;

use super::{Bucket, Rate};

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_epoch_millis(millis)
}

/// Asks at every one of `times` (in milliseconds) for `amount`, and tells when it was let pass.
fn passed(rate: Rate, asked: &[(i64, u64)]) -> Vec<(i64, u64)> {
    let mut bucket = Bucket::default();
    asked
        .iter()
        .copied()
        .filter(|(millis, amount)| bucket.take(rate, *amount, at(*millis)))
        .collect()
}

#[test]
fn a_burst_passes_at_once_and_then_one_by_one_as_the_rate_allows() {
    let rate = Rate::per_second(5);
    let asked: Vec<_> = (0..2_000).map(|millis| (millis, 1)).collect();
    let times: Vec<_> = passed(rate, &asked).iter().map(|(millis, _)| *millis).collect();
    assert_eq!(
        times,
        [0, 1, 2, 3, 4, 200, 400, 600, 800, 1_000, 1_200, 1_400, 1_600, 1_800]
    );
}

#[test]
fn what_does_not_fit_takes_nothing() {
    let rate = Rate::per_second(100);
    let mut bucket = Bucket::default();
    assert!(!bucket.take(rate, 101, at(0)));
    assert!(bucket.take(rate, 100, at(0)));
    assert_eq!(bucket.room(rate, at(0)), 0);
    assert_eq!(bucket.room(rate, at(505)), 50);
}

#[test]
fn it_says_when_an_amount_fits() {
    let rate = Rate::per_second(100).with_burst(200);
    let mut bucket = Bucket::default();
    assert_eq!(bucket.fits_at(rate, 200, at(0)), at(0));
    bucket.pour(rate, 500, at(0));
    assert_eq!(bucket.fits_at(rate, 1, at(0)), at(3_010));
    assert_eq!(bucket.fits_at(rate, 200, at(1_000)), at(5_000));
    assert!(!bucket.take(rate, 200, at(4_999)));
    assert!(bucket.take(rate, 200, at(5_000)));
}

#[test]
fn asking_often_loses_nothing_to_rounding() {
    // Ten seconds of greed must still give 30.
    let asked: Vec<_> = (0..=10_000).map(|millis| (millis, 1)).collect();
    assert_eq!(passed(Rate::per_second(3), &asked).len(), 3 + 30);
}

proptest! {
    /// Whatever is asked, no stretch of time lets more pass than the burst and what the rate allows in it.
    #[test]
    fn no_stretch_of_time_exceeds_rate_and_burst(
        per_second in 1_u64..2_000,
        burst in 1_u64..5_000,
        steps in prop::collection::vec((0_i64..700, 1_u64..3_000), 1..120),
    ) {
        let rate = Rate::per_second(per_second).with_burst(burst);
        let mut now = 0;
        let asked: Vec<_> = steps.into_iter().map(|(pause, amount)| { now += pause; (now, amount) }).collect();
        let passed = passed(rate, &asked);
        for (first, (from, _)) in passed.iter().enumerate() {
            let mut sum = 0;
            for (to, amount) in &passed[first..] {
                sum += amount;
                let millis = (to - from).unsigned_abs();
                prop_assert!(sum * 1000 <= burst * 1000 + per_second * millis, "{sum} from {from} to {to}");
            }
        }
    }

    /// Who asks all the time gets all that the rate allows.
    #[test]
    fn steady_greed_reaches_the_rate(per_second in 2_u64..5_000, share in 1_u64..=50, every in 1_usize..50) {
        let rate = Rate::per_second(per_second);
        let amount = (per_second * share / 100).max(1);
        let asked: Vec<_> = (0..60_000).step_by(every).map(|millis| (millis, amount)).collect();
        let offered = amount * asked.len() as u64;
        let sum: u64 = passed(rate, &asked).iter().map(|(_, amount)| amount).sum();
        prop_assert!(sum >= offered.min(60 * per_second), "{sum} of {offered}");
        prop_assert!(sum <= 61 * per_second, "{sum} of {offered}");
    }

    /// The time that is told is the first at which the amount passes.
    #[test]
    fn the_time_that_is_told_is_the_first(per_second in 1_u64..3_000, poured in 0_u64..10_000, share in 1_u64..=100) {
        let rate = Rate::per_second(per_second);
        let amount = (per_second * share / 100).max(1);
        let mut bucket = Bucket::default();
        bucket.pour(rate, poured, at(0));
        let fits = bucket.fits_at(rate, amount, at(0));
        let before = at(fits.epoch_millis() - 1);
        prop_assert!(bucket.clone().take(rate, amount, fits));
        prop_assert!(fits == at(0) || !bucket.clone().take(rate, amount, before));
    }
}
