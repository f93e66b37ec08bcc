//! Tests of the worker's machine: single transitions, and a simulated fleet.

mod any_input;
mod bench;
mod fleet;
mod giving_back;
mod holding;
mod kinds;
mod peers;
mod places;
mod streams;
mod syncing;
mod windows;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// `KCL_SEED=7 cargo test -p kcl-core --lib even_seeds` replays one history; `KCL_SEEDS=5000` runs more of them.
fn simulate(first: u64) {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match setting("KCL_SEED") {
        Some(seed) => vec![seed],
        None => (first..setting("KCL_SEEDS").unwrap_or(240)).step_by(2).collect(),
    };
    let mut steps = 0;
    for seed in &seeds {
        let run = || {
            let mut fleet = fleet::Fleet::new(*seed);
            fleet.run();
            fleet.steps
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(taken) => steps += taken,
            Err(panic) => {
                println!("replay: KCL_SEED={seed} cargo test -p kcl-core --lib even_seeds");
                resume_unwind(panic);
            }
        }
    }
    println!("{} seeds, {steps} events", seeds.len());
}

// Two tests, for two cores.
#[test]
fn given_fleets_of_even_seeds_when_faults_strike_then_every_promise_holds() {
    simulate(0);
}

#[test]
fn given_fleets_of_odd_seeds_when_faults_strike_then_every_promise_holds() {
    simulate(1);
}
