//! One seed is one history, whatever process lives it.

use std::process::Command;

use fleet_sim::{PeerChoice, Scenario, Watch, live};

fn history_of_a_process(seed: u64) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_fleet-sim"))
        .args(["--seed", &seed.to_string(), "--history"])
        .output()
        .expect("the simulation runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    output.stdout
}

#[test]
fn the_same_seed_in_two_processes_gives_the_same_bytes() {
    for seed in [3, 8] {
        let (one, two) = (history_of_a_process(seed), history_of_a_process(seed));
        assert!(one.len() > 10_000, "a history has something to tell");
        assert!(one == two, "seed={seed}: two processes lived different histories");
    }
}

#[test]
fn other_seeds_are_other_histories() {
    let fingerprint = |seed| live(&Scenario::draw(seed), Watch::default()).fingerprint;
    assert_ne!(fingerprint(3), fingerprint(8));
}

#[test]
fn watching_changes_nothing() {
    let scenario = Scenario::draw(5);
    let quiet = live(&scenario, Watch::default());
    let watched = live(
        &scenario,
        Watch {
            timelines: true,
            history: true,
            mutant: None,
        },
    );
    assert_eq!((quiet.fingerprint, quiet.events), (watched.fingerprint, watched.events));
}

#[test]
fn fleets_with_workers_of_java_are_histories_of_their_own_and_leases_go_to_and_fro() {
    let fingerprint = |choice: PeerChoice| {
        let outcome = live(&Scenario::draw_with(4, &choice.into()), Watch::default());
        assert_eq!(outcome.met.is_empty(), choice == PeerChoice::None, "{:?}", outcome.met);
        outcome.fingerprint
    };
    let choices = [PeerChoice::None, PeerChoice::TwoX, PeerChoice::ThreeX];
    let (once, again) = (choices.map(fingerprint), choices.map(fingerprint));
    assert_eq!(once, again);
    assert!(once[0] != once[1] && once[1] != once[2]);
}
