//! The planner of assignments at size: how long a plan takes, and how many moves and rounds a fleet needs to be in balance.
//!
//! `cargo bench -p kcl-core --bench planner -- 10000 500 50`: leases, workers, and how many of these come or go.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use kcl_core::{
    Lease, LeaseKey, LeaseWrite, Position, Session, ShardId, WorkerId,
    assign::{AssignLimits, FleetView, LeaseAssignment, Move, plan_assignment},
};

/// As the worker has it.
const MAX_MOVES: usize = 100;
/// A fleet that is not in balance by then never will be.
const MAX_ROUNDS: usize = 200;

type Failure = Box<dyn std::error::Error>;

struct Fleet {
    table: BTreeMap<LeaseKey, Lease>,
    workers: Vec<WorkerId>,
    plans: Vec<Duration>,
    round: u64,
}

#[derive(Default)]
struct Settled {
    rounds: usize,
    takes: usize,
    hand_offs: usize,
    refused: usize,
}

impl Fleet {
    fn new(leases: usize, workers: usize) -> Result<Self, Failure> {
        let lease = |number| -> Result<(LeaseKey, Lease), Failure> {
            let lease = Lease::new(ShardId::new(format!("shardId-{number:012}"))?, Position::TrimHorizon);
            Ok((lease.key.clone(), lease))
        };
        Ok(Self {
            table: (0..leases).map(lease).collect::<Result<_, _>>()?,
            workers: ids(0..workers)?,
            plans: Vec::new(),
            round: 0,
        })
    }

    /// All workers plan with the same scan, as they do when they scan at about the same time; who writes second loses. Then
    /// holders pass on what they were asked for.
    fn round(&mut self, settled: &mut Settled) -> usize {
        self.round += 1;
        let scan = self.table.clone();
        let leases: Vec<&Lease> = scan.values().collect();
        let expired = BTreeSet::new();
        let limits = AssignLimits {
            max_leases: None,
            max_moves: MAX_MOVES,
        };
        let mut made = 0;
        for (number, me) in self.workers.iter().enumerate() {
            let view = FleetView {
                leases: &leases,
                expired: &expired,
                peers: None,
                assignment: LeaseAssignment::LeaseCount,
                me,
                limits,
                seed: self.round << 32 | number as u64,
            };
            let (moves, took) = timed(|| plan_assignment(&view));
            self.plans.push(took);
            for planned in moves {
                let (write, count) = match &planned {
                    Move::Take(key) => (LeaseWrite::take(&scan[key], me, Session(1)), &mut settled.takes),
                    Move::RequestHandOff { key, .. } => {
                        (LeaseWrite::request_hand_off(&scan[key], me), &mut settled.hand_offs)
                    }
                    _ => continue,
                };
                match self
                    .table
                    .get_mut(&write.key)
                    .filter(|row| write.expect.holds(Some(row)))
                {
                    Some(row) => {
                        *row = write.patch.apply(row);
                        *count += 1;
                        made += 1;
                    }
                    None => settled.refused += 1,
                }
            }
        }
        for row in self.table.values_mut() {
            if row.is_in_hand_off() {
                *row = LeaseWrite::finish_hand_off(row, None).patch.apply(row);
            }
        }
        made
    }

    fn settle(&mut self) -> Settled {
        let mut settled = Settled::default();
        for _ in 0..MAX_ROUNDS {
            if self.round(&mut settled) == 0 {
                break;
            }
            settled.rounds += 1;
        }
        settled
    }

    /// They stop cleanly and give their leases back.
    fn stop(&mut self, count: usize) {
        let gone: BTreeSet<WorkerId> = self.workers.drain(..count).collect();
        for row in self.table.values_mut() {
            if row.holder().is_some_and(|holder| gone.contains(holder)) {
                *row = LeaseWrite::release(row, None).patch.apply(row);
            }
        }
    }

    /// The fewest and the most leases that a worker has.
    fn spread(&self) -> (usize, usize) {
        let mut held: BTreeMap<&WorkerId, usize> = self.workers.iter().map(|worker| (worker, 0)).collect();
        for holder in self.table.values().filter_map(Lease::holder) {
            *held.entry(holder).or_default() += 1;
        }
        let least = held.values().min().copied().unwrap_or(0);
        (least, held.values().max().copied().unwrap_or(0))
    }

    fn report(&mut self, what: &str) {
        let settled = self.settle();
        self.plans.sort_unstable();
        let at = |percent: usize| self.plans[(self.plans.len() - 1) * percent / 100];
        let (least, most) = self.spread();
        println!(
            "{what}: {} rounds, {} takes, {} hand-offs, {} writes refused, {least} to {most} leases a worker; a plan takes \
             {:.2?} (p50), {:.2?} (p99)",
            settled.rounds,
            settled.takes,
            settled.hand_offs,
            settled.refused,
            at(50),
            at(99),
        );
        self.plans.clear();
    }
}

fn ids(numbers: std::ops::Range<usize>) -> Result<Vec<WorkerId>, Failure> {
    numbers
        .map(|number| Ok(WorkerId::new(format!("worker-{number:04}"))?))
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock; nothing is decided by it"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

fn main() -> Result<(), Failure> {
    // Cargo adds `--bench`.
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let (leases, workers, change) = match numbers[..] {
        [leases, workers, change] => (leases, workers, change),
        _ => (10_000, 500, 50),
    };
    println!("{leases} leases, {workers} workers");
    let mut fleet = Fleet::new(leases, workers)?;
    fleet.report("all at once, nothing held");
    fleet.report("in balance");
    fleet.workers.extend(ids(workers..workers + change)?);
    fleet.report(&format!("{change} workers join"));
    fleet.stop(change);
    fleet.report(&format!("{change} workers leave"));
    Ok(())
}
