//! Tests of the worker's machine: single transitions, and a simulated fleet.

mod fleet;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// `KCL_SEED=7 cargo test -p kcl-core --lib fleets_with_faults` replays one history; `KCL_SEEDS=5000` runs more of them.
#[test]
fn given_fleets_with_faults_when_they_run_then_every_promise_holds() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match setting("KCL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("KCL_SEEDS").unwrap_or(200),
    };
    let mut steps = 0;
    for seed in seeds.clone() {
        let run = || {
            let mut fleet = fleet::Fleet::new(seed);
            fleet.run();
            fleet.steps
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(taken) => steps += taken,
            Err(panic) => {
                println!("replay: KCL_SEED={seed} cargo test -p kcl-core --lib fleets_with_faults");
                resume_unwind(panic);
            }
        }
    }
    println!("{} seeds, {steps} events", seeds.count());
}
