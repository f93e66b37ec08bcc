//! Every planted bug is found, within the seeds of the short run, and by the promise that it breaks.

use fleet_sim::{Mutant, Scenario, Watch, live};

/// The seeds of the short run begin here, and a planted bug must show within so many.
const FIRST: u64 = 1;
const WITHIN: u64 = 25;

/// What may be seen first where a bug breaks more than one promise: a dead worker that looks alive leaves records
/// unhandled, and a checkpoint that went back is seen at a hand-over too.
fn also_seen_as(mutant: Mutant) -> &'static [&'static str] {
    match mutant {
        Mutant::ImmortalWorkers => &["liveness"],
        Mutant::StaleCheckpoint => &["bounded-replay"],
        Mutant::SkipFailed => &["order"],
        _ => &[],
    }
}

fn find(mutant: Mutant) -> Option<(u64, &'static str)> {
    let watch = Watch {
        mutant: Some(mutant),
        ..Watch::default()
    };
    (FIRST..FIRST + WITHIN).find_map(|seed| {
        let broken = live(&Scenario::draw(seed), watch).violation?;
        Some((seed, broken.promise))
    })
}

#[test]
fn every_planted_bug_is_found_by_the_promise_that_it_breaks() {
    for mutant in Mutant::ALL {
        let found = find(mutant);
        let Some((seed, promise)) = found else {
            panic!("{mutant} was not found within {WITHIN} seeds")
        };
        let expected = promise == mutant.breaks() || also_seen_as(mutant).contains(&promise);
        assert!(
            expected,
            "{mutant} was seen as {promise} by seed {seed}, not as {}",
            mutant.breaks()
        );
    }
}

#[test]
fn without_a_planted_bug_the_same_seeds_break_nothing() {
    for seed in FIRST..FIRST + WITHIN {
        let outcome = live(&Scenario::draw(seed), Watch::default());
        assert_eq!(outcome.violation, None, "seed={seed}");
        assert!(
            outcome.put > 0 && outcome.delivered >= outcome.put / 2,
            "seed={seed} did nothing"
        );
    }
}

#[test]
fn a_failure_is_shrunk_to_less_trouble_and_still_fails() {
    let watch = Watch {
        mutant: Some(Mutant::IgnoreParents),
        ..Watch::default()
    };
    let (seed, promise) = find(Mutant::IgnoreParents).expect("the bug is found");
    let scenario = Scenario::draw(seed);
    let smallest = fleet_sim::shrink(&scenario, watch, promise);
    assert!(smallest.faults.len() <= scenario.faults.len());
    let again = live(&smallest, watch).violation.expect("it still fails");
    assert_eq!(again.promise, promise);
}
