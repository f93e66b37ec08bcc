//! Waiting times between attempts.

use std::time::Duration;

use fastrand::Rng;

/// Exponential backoff with a ceiling and jitter.
///
/// ```
/// use std::time::Duration;
/// use kcl_core::retry::Backoff;
///
/// let backoff = Backoff { initial: Duration::from_millis(100), longest: Duration::from_secs(1) };
/// let mut rng = fastrand::Rng::with_seed(7);
/// let third = backoff.wait(3, &mut rng);
/// assert!(Duration::from_millis(200) <= third && third <= Duration::from_millis(400));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first failure.
    pub initial: Duration,
    /// The longest wait after any failure.
    pub longest: Duration,
}

impl Backoff {
    /// For calls to a service: quick at first, since most trouble is over at once.
    pub const SERVICE: Self = Self {
        initial: Duration::from_millis(100),
        longest: Duration::from_secs(5),
    };
    /// For a user's handler: the trouble is often a dependency that needs time.
    pub const HANDLER: Self = Self {
        initial: Duration::from_millis(500),
        longest: Duration::from_secs(30),
    };

    /// How long to wait after the `failures`-th failure in a row (from 1): between half of the step and the whole of it,
    /// where each step doubles the last.
    #[must_use]
    pub fn wait(&self, failures: u32, rng: &mut Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let step = self.initial.saturating_mul(1 << doublings).min(self.longest);
        step.mul_f64(0.5 + rng.f64() / 2.0)
    }
}
