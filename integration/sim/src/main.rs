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
use fleet_sim::{
    Choice, FeatureChoice, Features, Mutant, Outcome, PeerChoice, PeerKind, Scenario, Violation, Watch, live, shrink,
};

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
    /// Do not stop at the first violation: say in a line what each seed broke, and keep none of them.
    #[arg(long)]
    go_on: bool,
    /// Plant a bug, by name.
    #[arg(long)]
    mutant: Option<String>,
    /// Which workers of Java share the fleets: none, those of 2.x, those of 3.x, both at once, or either in every fleet; or
    /// drawn, which is either in a quarter of the fleets.
    #[arg(long, value_enum, default_value_t = Peers::Drawn)]
    peers: Peers,
    /// What the fleets without workers of Java make use of: none, all, names with commas between, or drawn, which is each in a
    /// quarter of them.
    #[arg(long, default_value = "drawn")]
    features: FeatureChoice,
    /// Where failed seeds are kept.
    #[arg(long, default_value = KEPT)]
    kept: PathBuf,
}

impl Args {
    fn choice(&self) -> Choice {
        Choice {
            peers: self.peers.into(),
            features: self.features.clone(),
        }
    }
}

/// The workers of Java that a run is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Peers {
    None,
    Drawn,
    #[value(name = "2x")]
    TwoX,
    #[value(name = "3x")]
    ThreeX,
    Both,
    Any,
}

impl From<Peers> for PeerChoice {
    fn from(peers: Peers) -> Self {
        match peers {
            Peers::None => Self::None,
            Peers::Drawn => Self::Drawn,
            Peers::TwoX => Self::TwoX,
            Peers::ThreeX => Self::ThreeX,
            Peers::Both => Self::Both,
            Peers::Any => Self::Any,
        }
    }
}

/// What asks for the same life again, whatever is drawn by then.
fn name_peers(scenario: &Scenario) -> &'static str {
    match scenario.peers {
        None => "none",
        Some(peers) if peers.both => "both",
        Some(peers) => match peers.kind {
            PeerKind::TwoX => "2x",
            PeerKind::ThreeX => "3x",
        },
    }
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
    met: BTreeMap<&'static str, u64>,
    /// Lives with peers, by kind, and how long they were.
    mixed: BTreeMap<&'static str, (u64, Duration)>,
    /// Lives that used a feature, and how long they were.
    used: BTreeMap<&'static str, (u64, Duration)>,
    failed: Vec<(Scenario, Violation)>,
}

impl Sum {
    fn add(&mut self, scenario: &Scenario, outcome: &Outcome) {
        self.seeds += 1;
        if scenario.peers.is_some() {
            let mixed = self.mixed.entry(name_peers(scenario)).or_default();
            *mixed = (mixed.0 + 1, mixed.1 + outcome.at);
        }
        for feature in scenario.features.iter() {
            let used = self.used.entry(feature.name()).or_default();
            *used = (used.0 + 1, used.1 + outcome.at);
        }
        for (name, count) in &outcome.met {
            *self.met.entry(name).or_insert(0) += count;
        }
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
        for (name, count) in other.met {
            *self.met.entry(name).or_insert(0) += count;
        }
        for (name, (lives, time)) in other.mixed {
            let mixed = self.mixed.entry(name).or_default();
            *mixed = (mixed.0 + lives, mixed.1 + time);
        }
        for (name, (lives, time)) in other.used {
            let used = self.used.entry(name).or_default();
            *used = (used.0 + lives, used.1 + time);
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
        for (name, (lives, time)) in &self.mixed {
            let hours = time.as_secs_f64() / 3600.0;
            println!("lives with peers of {name}       {lives:>14} of {hours:.1} h");
        }
        for (name, (lives, time)) in &self.used {
            println!(
                "lives with {name:12}      {lives:>14} of {:.1} h",
                time.as_secs_f64() / 3600.0
            );
        }
        for (name, count) in &self.met {
            println!("  {name:37} {count:>3}");
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
        Some(seed) => one(&Scenario::draw_with(seed, &args.choice()), args.history, mutant),
        None => many(&args, mutant),
    }
}

fn find_mutant(name: &str) -> Option<Mutant> {
    Mutant::ALL.into_iter().find(|mutant| mutant.to_string() == name)
}

fn one(scenario: &Scenario, history: bool, mutant: Option<Mutant>) -> ExitCode {
    let outcome = live(
        scenario,
        Watch {
            timelines: !history,
            history,
            mutant,
        },
    );
    if let Some(text) = &outcome.history {
        print!("{text}");
    }
    let seed = scenario.seed;
    println!(
        "seed={seed} fingerprint={:016x} events={}",
        outcome.fingerprint, outcome.events
    );
    match &outcome.violation {
        None => ExitCode::SUCCESS,
        Some(_) => {
            explain(scenario, mutant);
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
    if let Some(peers) = smallest.peers {
        println!("of the workers, {} are of Java {}", peers.count, name_peers(&smallest));
    }
    if let Some(broken) = outcome.violation {
        println!(
            "seed={seed} broke {} after {:.3} s: {}",
            broken.promise,
            outcome.at.as_secs_f64(),
            broken.what
        );
    }
    let planted = mutant.map(|mutant| format!(" --mutant {mutant}")).unwrap_or_default();
    let (peers, features) = (name_peers(scenario), &scenario.features);
    println!(
        "again: cargo run --release --package fleet-sim -- --seed {seed} --peers {peers} --features {features}{planted}"
    );
}

fn many(args: &Args, mutant: Option<Mutant>) -> ExitCode {
    let started = now();
    let until = args.seconds.map(Duration::from_secs);
    let kept = if mutant.is_none() {
        read_kept(&args.kept)
    } else {
        Vec::new()
    };
    let choice = args.choice();
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
            let scenario = match usize::try_from(turn).ok().and_then(|turn| kept.get(turn)) {
                Some((seed, choice)) => Scenario::draw_with(*seed, choice),
                None if until.is_none() && turn - kept_count >= args.seeds => break,
                None => Scenario::draw_with(args.from + turn - kept_count, &choice),
            };
            let outcome = live(
                &scenario,
                Watch {
                    mutant,
                    ..Watch::default()
                },
            );
            sum.add(&scenario, &outcome);
            if let Some(violation) = outcome.violation {
                sum.failed.push((scenario, violation));
                if !args.go_on {
                    stop.store(true, Ordering::Relaxed);
                }
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
    for (scenario, violation) in &sum.failed {
        if args.go_on {
            let (seed, peers) = (scenario.seed, name_peers(scenario));
            println!(
                "seed={seed} peers={peers} features={} broke {}: {}",
                scenario.features, violation.promise, violation.what
            );
            continue;
        }
        explain(scenario, mutant);
        if mutant.is_none() {
            keep(&args.kept, scenario, &kept);
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

/// A line is a seed and, where there was any of that when it failed, the workers of Java and the features.
fn read_kept(path: &PathBuf) -> Vec<(u64, Choice)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let seed = words.next()?.parse().ok()?;
        let peers = words
            .next()
            .and_then(|word| <Peers as clap::ValueEnum>::from_str(word, false).ok());
        let choice = Choice {
            peers: peers.map_or(PeerChoice::None, PeerChoice::from),
            features: words.next().and_then(|word| word.parse().ok()).unwrap_or_default(),
        };
        Some((seed, choice))
    };
    text.lines().filter_map(line).collect()
}

fn keep(path: &PathBuf, scenario: &Scenario, kept: &[(u64, Choice)]) {
    let seed = scenario.seed;
    if kept
        .iter()
        .any(|(kept, choice)| Scenario::draw_with(*kept, choice) == *scenario)
    {
        return;
    }
    let mut text = std::fs::read_to_string(path).unwrap_or_default();
    let has_none = scenario.peers.is_none() && scenario.features == Features::default();
    let choice = format!(" {} {}", name_peers(scenario), scenario.features);
    text.push_str(&format!("{seed}{}\n", if has_none { "" } else { &choice }));
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, text));
    if let Err(error) = written {
        eprintln!("the seed {seed} could not be kept in {}: {error}", path.display());
    }
}
