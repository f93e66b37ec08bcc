//! Less trouble for the same failure.

use crate::{Scenario, Watch, live};

/// Takes trouble away as long as the same promise is still broken. Gives the smallest scenario found.
#[must_use]
pub fn shrink(scenario: &Scenario, watch: Watch, promise: &str) -> Scenario {
    let quick = Watch {
        timelines: false,
        history: false,
        ..watch
    };
    let fails = |scenario: &Scenario| {
        live(scenario, quick)
            .violation
            .is_some_and(|broken| broken.promise == promise)
    };
    let mut smallest = scenario.clone();
    let mut step = smallest.faults.len().div_ceil(2);
    while step > 0 {
        let mut at = 0;
        while at < smallest.faults.len() {
            let mut smaller = smallest.clone();
            smaller.faults.drain(at..(at + step).min(smaller.faults.len()));
            if fails(&smaller) {
                smallest = smaller;
            } else {
                at += step;
            }
        }
        step = if step == 1 { 0 } else { step.div_ceil(2) };
    }
    smallest
}
