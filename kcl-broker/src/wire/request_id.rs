//! The ids that every response carries.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;

use crate::mix::{STEP, mix};

/// The bytes of `x-amz-id-2`; the service has 64 to 80.
const EXTENDED_WORDS: usize = 9;

/// Makes ids from a seed and a counter: unlike each other, and the same in every run.
#[derive(Debug)]
pub(crate) struct RequestIds {
    seed: u64,
    made: AtomicU64,
}

impl RequestIds {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            seed,
            made: AtomicU64::new(0),
        }
    }

    /// `x-amzn-RequestId` and `x-amz-id-2` of the next response.
    pub(super) fn next(&self) -> (HeaderValue, HeaderValue) {
        let request = self.made.fetch_add(1, Ordering::Relaxed);
        let mut state = mix(self.seed ^ mix(request));
        let mut word = || {
            state = state.wrapping_add(STEP);
            mix(state)
        };
        let id = (u128::from(word()) << 64) | u128::from(word());
        let id = uuid::Builder::from_random_bytes(id.to_be_bytes()).into_uuid();
        let mut extended = Vec::with_capacity(EXTENDED_WORDS * 8);
        for _ in 0..EXTENDED_WORDS {
            extended.extend_from_slice(&word().to_be_bytes());
        }
        (header(id.to_string()), header(STANDARD.encode(extended)))
    }
}

fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("hexadecimal and base64 digits are allowed in headers")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_differ_within_a_run_and_repeat_in_the_next() {
        let run = || {
            let ids = RequestIds::new(7);
            (0..100)
                .map(|_| ids.next().0.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let first = run();
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 100);
        assert_eq!(first, run());
        assert!(first.iter().all(|id| uuid::Uuid::parse_str(id).is_ok()));
    }
}
