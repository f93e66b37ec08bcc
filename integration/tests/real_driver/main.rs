//! Real workers on virtual time, under the simulation's faults and before the same oracle.
//!
//! A seed is drawn as the fleet simulation draws it and made short. What runs is the worker of `kcl-runtime` as it ships,
//! its AWS SDK and its requests; the broker, the table and the network between them live in the same process, on tokio's
//! paused clock. One seed is one history.
//!
//! The simulation's pauses and clock drifts have no meaning here, because all workers share one clock; nor has the deletion
//! of the stream, which ends every life before it settles.
//!
//! `SEED=n cargo test -p integration --test real_driver seeds` lives one seed again, and `SEEDS=n` lives the seeds up to n.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod court;
mod faults;
mod fleet;
mod handlers;
mod seams;

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use self::{
    faults::scenario,
    fleet::{Outcome, live},
    seams::Planted,
};

/// The seeds of every run.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=16;

/// How many of the last events a failure shows.
const SHOWN: usize = 120;

fn told(seed: u64, outcome: &Outcome) -> String {
    let mut text = String::new();
    for line in &outcome.trace[outcome.trace.len().saturating_sub(SHOWN)..] {
        writeln!(text, "{line}").unwrap();
    }
    let broken = outcome.violation.as_ref().map(|broken| (broken.promise, &broken.what));
    write!(
        text,
        "seed={seed}: {broken:?}\nagain: SEED={seed} cargo test -p integration --test real_driver seeds"
    )
    .unwrap();
    text
}

/// Lives every seed of one half, or the one that was asked for.
fn keep_every_promise(half: u64) {
    let asked = |name| std::env::var(name).ok().map(|seed| seed.parse::<u64>().unwrap());
    let seeds = match (asked("SEED"), asked("SEEDS")) {
        (Some(seed), _) => seed..=seed,
        (None, Some(last)) => 1..=last,
        (None, None) => SEEDS,
    };
    let seeds: Vec<u64> = seeds.filter(|seed| seed % 2 == half).collect();
    let (mut put, mut delivered, mut checks, mut lasted) = (0, 0, 0, Duration::ZERO);
    let mut struck: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in &seeds {
        let outcome = live(&scenario(*seed), None);
        assert!(outcome.violation.is_none(), "{}", told(*seed, &outcome));
        assert!(
            outcome.put > 0 && outcome.delivered >= outcome.put / 2,
            "seed={seed} did nothing"
        );
        put += outcome.put;
        delivered += outcome.delivered;
        checks += outcome.checks;
        lasted += outcome.lasted;
        for (name, times) in outcome.struck {
            *struck.entry(name).or_default() += times;
        }
    }
    println!("{seeds:?}: {lasted:?} of life, {put} records put, {delivered} delivered, {checks} checks, {struck:?}");
}

#[test]
fn even_seeds_keep_every_promise() {
    keep_every_promise(0);
}

#[test]
fn odd_seeds_keep_every_promise() {
    keep_every_promise(1);
}

#[test]
fn one_seed_is_one_history() {
    for seed in [2, 5] {
        let (one, two) = (live(&scenario(seed), None), live(&scenario(seed), None));
        let apart = one.trace.iter().zip(&two.trace).find(|(one, two)| one != two);
        assert_eq!(apart, None, "seed={seed}");
        assert_eq!(one.trace.len(), two.trace.len(), "seed={seed}");
        assert!(one.trace.len() > 100, "a history has something to tell");
    }
}

/// Whether a planted bug shows within the seeds, as one of the promises that it breaks.
fn is_found(planted: Planted, as_one_of: &[&str]) {
    let found = SEEDS
        .into_iter()
        .find_map(|seed| Some((seed, live(&scenario(seed), Some(planted)).violation?)));
    let Some((seed, broken)) = found else {
        panic!("{planted:?} was not found within {SEEDS:?}")
    };
    println!("{planted:?}: seed={seed} {broken:?}");
    assert!(as_one_of.contains(&broken.promise), "seed={seed} {broken:?}");
}

#[test]
fn a_table_that_ignores_expectations_is_found() {
    is_found(Planted::Unfenced, &["fenced", "monotonic", "no-loss"]);
}

#[test]
fn a_table_that_hides_parents_is_found() {
    is_found(Planted::IgnoreParents, &["lineage"]);
}

#[test]
fn a_checkpoint_that_goes_back_is_found() {
    is_found(Planted::StaleCheckpoint, &["monotonic", "bounded-replay"]);
}

#[test]
fn a_forgotten_last_checkpoint_is_found() {
    is_found(Planted::ForgetLastCheckpoint, &["bounded-replay"]);
}

#[test]
fn a_source_that_drops_records_is_found() {
    is_found(Planted::DropRecord, &["order"]);
}

#[test]
fn a_handler_that_hides_its_failures_is_found() {
    is_found(Planted::SkipFailed, &["no-loss", "order"]);
}
