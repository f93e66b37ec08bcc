//! Every planted bug is found, within the seeds of the short run, and by the promise that it breaks.

use fleet_sim::{Choice, Feature, FeatureChoice, Features, Mutant, PeerChoice, Scenario, Watch, live};

/// The seeds of the short run begin here, and a planted bug must show within so many.
const FIRST: u64 = 1;
const WITHIN: u64 = 50;

/// What may be seen first where a bug breaks more than one promise: a dead worker that looks alive leaves records
/// unhandled, a checkpoint that went back is seen at a hand-over too, and a finished lease that looks open is begun.
fn also_seen_as(mutant: Mutant) -> &'static [&'static str] {
    match mutant {
        Mutant::ImmortalWorkers => &["liveness"],
        Mutant::StaleCheckpoint => &["bounded-replay"],
        Mutant::SkipFailed => &["order"],
        Mutant::OwnedIsOpen => &["order"],
        Mutant::ForgetContinuation => &["order"],
        _ => &[],
    }
}

/// Two bugs show only among workers of Java, one only where shards are subscribed to, one only where they have lanes, and four
/// only where deliveries have rules.
fn life(seed: u64, mutant: Mutant) -> Scenario {
    let features = match mutant {
        Mutant::ForgetContinuation => [Feature::FanOut].into_iter().collect(),
        Mutant::ForgetKeys => [Feature::Lanes].into_iter().collect(),
        Mutant::LoseLetters | Mutant::ForgetRightHalf | Mutant::DeafToQuarantine | Mutant::CountNotCalled => {
            [Feature::Delivery].into_iter().collect()
        }
        _ => Features::default(),
    };
    let peers = match mutant {
        Mutant::KeepStolen => PeerChoice::TwoX,
        Mutant::OwnedIsOpen => PeerChoice::Any,
        _ => PeerChoice::None,
    };
    let features = FeatureChoice::These(features);
    Scenario::draw_with(seed, &Choice { peers, features })
}

/// The documented table, between its two marks.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulation.md");
const MARKS: (&str, &str) = ("<!-- planted -->\n", "<!-- /planted -->");

fn find(mutant: Mutant) -> Option<(u64, &'static str)> {
    find_at(mutant).map(|(seed, promise, _)| (seed, promise))
}

fn find_at(mutant: Mutant) -> Option<(u64, &'static str, u64)> {
    let watch = Watch {
        mutant: Some(mutant),
        ..Watch::default()
    };
    (FIRST..FIRST + WITHIN).find_map(|seed| {
        let outcome = live(&life(seed, mutant), watch);
        Some((seed, outcome.violation?.promise, outcome.at.as_secs()))
    })
}

#[test]
fn the_documented_table_of_planted_bugs_is_true() {
    let mut table = String::from("| bug | breaks | seen as | by seed | after simulated |\n|---|---|---|---|---|\n");
    for mutant in Mutant::ALL {
        let (seed, promise, seconds) = find_at(mutant).expect("every planted bug is found");
        table.push_str(&format!(
            "| {mutant} | {} | {promise} | {seed} | {seconds} s |\n",
            mutant.breaks()
        ));
    }
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    let (head, rest) = page.split_once(MARKS.0).expect("the page has the first mark");
    let (documented, tail) = rest.split_once(MARKS.1).expect("the page has the second mark");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PAGE, format!("{head}{}{table}{}{tail}", MARKS.0, MARKS.1)).expect("the page can be written");
    } else {
        assert_eq!(
            documented, table,
            "run this test with UPDATE=1 in the environment to bring the page up to date"
        );
    }
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
        let outcome = live(&Scenario::draw_with(seed, &PeerChoice::Drawn.into()), Watch::default());
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
