//! [`Bucket`]: how much of something may pass in how much time.

use std::time::Duration;

use kcl_core::Timestamp;

/// How much may pass: so much in every second, and so much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// So much in every second, and at once what one second allows.
    pub(in crate::engine) const fn per_second(amount: u64) -> Self {
        Self {
            per_second: amount,
            burst: amount,
        }
    }

    /// The same in every second, and `burst` at once after a pause that is long enough.
    pub(in crate::engine) const fn with_burst(self, burst: u64) -> Self {
        Self { burst, ..self }
    }
}

/// A bucket with a hole: what passes is poured in, and at most a burst fits; it runs out at the rate.
///
/// In any stretch of time there passes at most the burst and what the rate allows in that stretch. All reckoning is in
/// whole thousandths, so that nothing is lost to rounding however often the bucket is asked. The default is empty.
///
/// Ask always with the same rate, and with times that do not go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Bucket {
    /// What was in it at `at`, in thousandths: a rate per second is as many thousandths per millisecond.
    thousandths: u64,
    at: Timestamp,
}

impl Bucket {
    /// Lets `amount` pass if it fits, and tells whether it did.
    pub(in crate::engine) fn take(&mut self, rate: Rate, amount: u64, now: Timestamp) -> bool {
        let fits = amount <= self.room(rate, now);
        if fits {
            self.pour(rate, amount, now);
        }
        fits
    }

    /// Counts an amount that has passed, whether or not it fits.
    pub(in crate::engine) fn pour(&mut self, rate: Rate, amount: u64, now: Timestamp) {
        self.thousandths = self.level(rate, now).saturating_add(thousandths(amount));
        self.at = now;
    }

    /// How much may pass now.
    pub(in crate::engine) fn room(&self, rate: Rate, now: Timestamp) -> u64 {
        thousandths(rate.burst).saturating_sub(self.level(rate, now)) / 1000
    }

    /// When `amount` fits if nothing else passes before; never for more than a burst, for which this is when it is empty.
    pub(in crate::engine) fn fits_at(&self, rate: Rate, amount: u64, now: Timestamp) -> Timestamp {
        let room_for_rest = thousandths(rate.burst).saturating_sub(thousandths(amount));
        let surplus = self.level(rate, now).saturating_sub(room_for_rest);
        now.saturating_add(Duration::from_millis(surplus.div_ceil(rate.per_second.max(1))))
    }

    fn level(&self, rate: Rate, now: Timestamp) -> u64 {
        let out = now.millis_since(self.at).saturating_mul(rate.per_second);
        self.thousandths.saturating_sub(out)
    }
}

const fn thousandths(amount: u64) -> u64 {
    amount.saturating_mul(1000)
}
