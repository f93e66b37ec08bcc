//! Simulated fleets: many seeds, or one of them again.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use fleet_sim::{Mutant, Outcome, Scenario, Watch, live, shrink};

/// Where the seeds are kept that once failed; they run first.
const KEPT: &str = "integration/seeds/failed.txt";

#[derive(Debug, Parser)]
#[command(about = "Lives of simulated fleets, each checked against every promise")]
struct Args {
    /// Live this seed alone, and show what happened.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the whole history of --seed instead of its end.
    #[arg(long, requires = "seed")]
    history: bool,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 400)]
    seeds: u64,
    /// Stop after so many seconds instead of a number of seeds.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Plant a bug, by name.
    #[arg(long)]
    mutant: Option<String>,
    /// Where failed seeds are kept.
    #[arg(long, default_value = KEPT)]
    kept: PathBuf,
}

#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    simulated: Duration,
    events: u64,
    checks: u64,
    put: u64,
    delivered: u64,
    faults: BTreeMap<&'static str, u64>,
    failed: Vec<u64>,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.simulated += outcome.at;
        self.events += outcome.events;
        self.checks += outcome.checks;
        self.put += outcome.put;
        self.delivered += outcome.delivered;
        for (name, count) in &outcome.faults {
            *self.faults.entry(name).or_insert(0) += count;
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.seeds += other.seeds;
        self.simulated += other.simulated;
        self.events += other.events;
        self.checks += other.checks;
        self.put += other.put;
        self.delivered += other.delivered;
        self.failed.extend(other.failed);
        for (name, count) in other.faults {
            *self.faults.entry(name).or_insert(0) += count;
        }
        self
    }

    fn print(&self, wall: Duration) {
        let hours = self.simulated.as_secs_f64() / 3600.0;
        println!("seeds                        {:>14}", self.seeds);
        println!("simulated fleet-hours        {hours:>14.1}");
        println!(
            "fleet-hours per wall minute  {:>14.1}",
            hours * 60.0 / wall.as_secs_f64()
        );
        println!("events                       {:>14}", self.events);
        println!("checks of promises           {:>14}", self.checks);
        println!("records put / delivered      {:>14} / {}", self.put, self.delivered);
        for (name, count) in &self.faults {
            println!("  {name:26} {count:>14}");
        }
        println!("violations                   {:>14}", self.failed.len());
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mutant = match args.mutant.as_deref().map(find_mutant) {
        None => None,
        Some(Some(mutant)) => Some(mutant),
        Some(None) => {
            eprintln!(
                "no such planted bug; there are: {}",
                Mutant::ALL.map(|mutant| mutant.to_string()).join(", ")
            );
            return ExitCode::from(2);
        }
    };
    match args.seed {
        Some(seed) => one(seed, args.history, mutant),
        None => many(&args, mutant),
    }
}

fn find_mutant(name: &str) -> Option<Mutant> {
    Mutant::ALL.into_iter().find(|mutant| mutant.to_string() == name)
}

fn one(seed: u64, history: bool, mutant: Option<Mutant>) -> ExitCode {
    let scenario = Scenario::draw(seed);
    let outcome = live(
        &scenario,
        Watch {
            timelines: !history,
            history,
            mutant,
        },
    );
    if let Some(text) = &outcome.history {
        print!("{text}");
    }
    println!(
        "seed={seed} fingerprint={:016x} events={}",
        outcome.fingerprint, outcome.events
    );
    match &outcome.violation {
        None => ExitCode::SUCCESS,
        Some(_) => {
            explain(&scenario, mutant);
            ExitCode::FAILURE
        }
    }
}

/// Shows a failure with as little trouble as it needs.
fn explain(scenario: &Scenario, mutant: Option<Mutant>) {
    let watch = Watch {
        timelines: true,
        history: false,
        mutant,
    };
    let Some(broken) = live(scenario, watch).violation else {
        return;
    };
    let smallest = shrink(scenario, watch, broken.promise);
    let outcome = live(&smallest, watch);
    let seed = scenario.seed;
    println!("{}", outcome.timelines);
    println!(
        "trouble that it needs ({} of {} faults):",
        smallest.faults.len(),
        scenario.faults.len()
    );
    for fault in &smallest.faults {
        println!("  {:10.3} {:?}", fault.at.as_secs_f64(), fault.kind);
    }
    println!(
        "fleet: {} workers, {} shards, failover {:?}, {:?}, manual checkpoints {}",
        smallest.workers, smallest.shards, smallest.failover_time, smallest.initial, smallest.manual
    );
    if let Some(broken) = outcome.violation {
        println!(
            "seed={seed} broke {} after {:.3} s: {}",
            broken.promise,
            outcome.at.as_secs_f64(),
            broken.what
        );
    }
    let planted = mutant.map(|mutant| format!(" --mutant {mutant}")).unwrap_or_default();
    println!("again: cargo run --release --package fleet-sim -- --seed {seed}{planted}");
}

fn many(args: &Args, mutant: Option<Mutant>) -> ExitCode {
    let started = now();
    let until = args.seconds.map(Duration::from_secs);
    let kept = if mutant.is_none() {
        read_kept(&args.kept)
    } else {
        Vec::new()
    };
    let next = AtomicU64::new(0);
    // Ctrl-C or SIGTERM ends the run after the seeds under way, and what was done is reported.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            eprintln!("signals cannot be listened to, so the run cannot be stopped early: {error}");
        }
    }
    let work = || {
        let mut sum = Sum::default();
        while !stop.load(Ordering::Relaxed) && until.is_none_or(|until| started.elapsed() < until) {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let kept_count = kept.len() as u64;
            let seed = match usize::try_from(turn).ok().and_then(|turn| kept.get(turn)) {
                Some(seed) => *seed,
                None if until.is_none() && turn - kept_count >= args.seeds => break,
                None => args.from + turn - kept_count,
            };
            let outcome = live(
                &Scenario::draw(seed),
                Watch {
                    mutant,
                    ..Watch::default()
                },
            );
            sum.add(&outcome);
            if outcome.violation.is_some() {
                sum.failed.push(seed);
                stop.store(true, Ordering::Relaxed);
            }
        }
        sum
    };
    let sum = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let sums = threads
            .into_iter()
            .map(|thread| thread.join().expect("a simulation does not panic"));
        sums.fold(Sum::default(), Sum::join)
    });
    sum.print(started.elapsed());
    for seed in &sum.failed {
        explain(&Scenario::draw(*seed), mutant);
        if mutant.is_none() {
            keep(&args.kept, *seed, &kept);
        }
    }
    if sum.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long the simulation itself takes is real time"
)]
fn now() -> Instant {
    Instant::now()
}

fn read_kept(path: &PathBuf) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect()
}

fn keep(path: &PathBuf, seed: u64, kept: &[u64]) {
    if kept.contains(&seed) {
        return;
    }
    let mut text = std::fs::read_to_string(path).unwrap_or_default();
    text.push_str(&format!("{seed}\n"));
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, text));
    if let Err(error) = written {
        eprintln!("the seed {seed} could not be kept in {}: {error}", path.display());
    }
}
