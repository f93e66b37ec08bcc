//! How faults strike real workers, and relent.

use std::time::Duration;

use fleet_sim::{FaultKind, Scenario};
use integration::LinkState;
use kcl_checkpoint::{Fault, FaultRule};

use crate::fleet::{Event, Fleet, worker_id};

/// No more open shards than this.
const OPEN_SHARDS: usize = 12;

/// Whether a fault has a meaning where all processes share one clock, and live to the end of the scenario.
fn applies(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Crash { .. }
            | FaultKind::Twin { .. }
            | FaultKind::Join
            | FaultKind::RollingDeploy
            | FaultKind::Partition { .. }
            | FaultKind::TableOutage { .. }
            | FaultKind::TableThrottle { .. }
            | FaultKind::LostAnswers { .. }
            | FaultKind::TableSlow { .. }
            | FaultKind::StaleScans { .. }
            | FaultKind::ServiceOutage { .. }
            | FaultKind::ServiceThrottle { .. }
            | FaultKind::ExpireIterators
            | FaultKind::NullIterators { .. }
            | FaultKind::StaleShards { .. }
            | FaultKind::Reshard { .. }
    )
}

/// The life of the fleet that `seed` stands for, made short: fewer workers and shards, minutes instead of an hour, the
/// faults closer together, and of them those that apply.
pub(crate) fn scenario(seed: u64) -> Scenario {
    let mut scenario = Scenario::draw(seed);
    scenario.workers = scenario.workers.min(4);
    scenario.shards = scenario.shards.min(8);
    let cut = Duration::from_secs(30);
    let shorter = if scenario.failover_time > cut { 3 } else { 1 };
    scenario.failover_time /= shorter;
    scenario.scan_interval /= shorter;
    scenario.idle_at_tip = scenario
        .idle_at_tip
        .clamp(Duration::from_secs(3), Duration::from_secs(15));
    scenario.workload.every = scenario.workload.every.min(Duration::from_secs(6));
    let denser = 6;
    scenario.faults.retain(|fault| applies(&fault.kind));
    for fault in &mut scenario.faults {
        fault.at /= denser;
    }
    scenario.troubled = (scenario.troubled / denser).min(Duration::from_secs(300));
    let until = scenario.troubled - Duration::from_secs(5);
    scenario.faults.retain(|fault| fault.at < until);
    scenario.quiet = scenario.failover_time * 6 + Duration::from_secs(60);
    scenario
}

impl Fleet<'_> {
    pub(crate) async fn strike(&mut self, index: usize, kind: FaultKind) {
        match kind {
            FaultKind::Crash { worker, after, same_id } => self.crash(worker, after, same_id).await,
            FaultKind::Twin { worker } => {
                if let Some(number) = self.alive(worker) {
                    let process = self.processes.get_mut(&number).unwrap();
                    process.has_twin = true;
                    let id = process.life.id.clone();
                    self.start(worker, id);
                }
            }
            FaultKind::Join if self.slots.len() < self.scenario.workers + 2 => {
                let slot = self.slots.len();
                self.add_slot();
                self.start(slot, worker_id(slot, 0));
            }
            FaultKind::RollingDeploy => self.at(Duration::ZERO, Event::Deploy { slot: 0 }),
            FaultKind::ExpireIterators => self.slots.iter().for_each(|slot| slot.link.expire_iterators()),
            FaultKind::Reshard { times, every } => {
                for step in 0..times {
                    self.at(every * u32::try_from(step).unwrap(), Event::Reshard);
                }
            }
            FaultKind::StaleShards { lasts } => {
                self.court.lock().stale_shards = Some(self.world.shards());
                self.lasts(index, kind, lasts);
            }
            FaultKind::Partition { lasts, .. }
            | FaultKind::TableOutage { lasts }
            | FaultKind::TableThrottle { lasts }
            | FaultKind::LostAnswers { lasts }
            | FaultKind::TableSlow { lasts }
            | FaultKind::StaleScans { lasts }
            | FaultKind::ServiceOutage { lasts }
            | FaultKind::ServiceThrottle { lasts }
            | FaultKind::NullIterators { lasts } => self.lasts(index, kind, lasts),
            _ => {}
        }
    }

    fn lasts(&mut self, index: usize, kind: FaultKind, lasts: Duration) {
        self.active.insert(index, kind);
        self.at(lasts, Event::FaultEnds(index));
        self.ways_change();
    }

    pub(crate) fn relent(&mut self, index: usize) {
        if let Some(FaultKind::StaleShards { .. }) = self.active.remove(&index) {
            self.court.lock().stale_shards = None;
        }
        self.ways_change();
    }

    fn has(&self, fault: impl Fn(&FaultKind) -> bool) -> bool {
        self.active.values().any(fault)
    }

    /// Makes of every slot's ways to table and service what the faults of the moment say.
    pub(crate) fn ways_change(&self) {
        let step = self.scenario.failover_time / 3;
        let mut rules = Vec::new();
        if self.has(|fault| matches!(fault, FaultKind::TableThrottle { .. })) {
            rules.push(FaultRule::new(Fault::Throttled).with_probability(0.5));
        }
        if self.has(|fault| matches!(fault, FaultKind::TableSlow { .. })) {
            // Together longer than a worker waits for an answer.
            rules.push(FaultRule::new(Fault::Delay(step.mul_f64(0.4))).with_probability(0.5));
            rules.push(FaultRule::new(Fault::Delay(step.mul_f64(0.7))).with_probability(0.5));
        }
        if self.has(|fault| matches!(fault, FaultKind::LostAnswers { .. })) {
            rules.push(FaultRule::new(Fault::LoseAnswer).with_probability(0.5));
        }
        if self.has(|fault| matches!(fault, FaultKind::StaleScans { .. })) {
            rules.push(FaultRule::new(Fault::StaleList));
        }
        let no_table = self.has(|fault| matches!(fault, FaultKind::TableOutage { .. }));
        let no_service = self.has(|fault| matches!(fault, FaultKind::ServiceOutage { .. }));
        let throttles = self.has(|fault| matches!(fault, FaultKind::ServiceThrottle { .. }));
        let nulls = self.has(|fault| matches!(fault, FaultKind::NullIterators { .. }));
        for (number, slot) in self.slots.iter().enumerate() {
            let cut = |from_table: bool| {
                self.has(|fault| {
                    matches!(fault, FaultKind::Partition { worker, table, service, .. }
                        if *worker == number && if from_table { *table } else { *service })
                })
            };
            slot.plan.clear();
            rules.iter().cloned().for_each(|rule| slot.plan.add(rule));
            if no_table || cut(true) {
                slot.plan.start_outage();
            } else {
                slot.plan.end_outage();
            }
            slot.link.set(match (cut(false), no_service) {
                (true, _) => LinkState::Hanging,
                (false, true) => LinkState::ServerError,
                (false, false) => LinkState::Up,
            });
            slot.link.throttle(throttles);
            slot.link.give_null_iterators(nulls);
        }
    }

    /// The process of a slot, if there is one that is not told to stop.
    fn alive(&self, slot: usize) -> Option<u64> {
        let number = self.slots.get(slot)?.process?;
        let process = self.processes.get(&number)?;
        (!process.told).then_some(number)
    }

    async fn crash(&mut self, slot: usize, after: Duration, same_id: bool) {
        let Some(number) = self.alive(slot) else { return };
        let process = self.processes.remove(&number).unwrap();
        self.slots[slot].process = None;
        self.court.lock().note(&format!("{}#{number} dies", process.life.id));
        process.running.crash().await;
        let id = if same_id {
            process.life.id
        } else {
            worker_id(slot, number)
        };
        // Lives of one name that start in the same millisecond have no order.
        self.at(after + Duration::from_millis(10), Event::Start { slot, id });
    }

    /// Stops the worker of a slot cleanly, starts its successor, and goes on with the next slot.
    pub(crate) async fn deploy(&mut self, slot: usize) {
        if self.court.lock().quiet || slot >= self.scenario.workers {
            return;
        }
        let (soon, next) = {
            let rng = &mut self.court.lock().rng;
            (rng.u64(1..=40), rng.u64(1..=30))
        };
        if let Some(number) = self.alive(slot) {
            let process = self.processes.get_mut(&number).unwrap();
            process.told = true;
            process.running.handle.shutdown().await;
            let id = worker_id(slot, number);
            self.at(Duration::from_secs(soon), Event::Start { slot, id });
        }
        self.at(Duration::from_secs(next), Event::Deploy { slot: slot + 1 });
    }

    /// Splits a shard or merges two, if there is one that can be.
    pub(crate) fn reshard(&mut self) {
        let (quiet, choice, merges) = {
            let mut state = self.court.lock();
            (state.quiet, state.rng.usize(..1 << 20), state.rng.bool())
        };
        if quiet {
            return;
        }
        let open = self.open_shards();
        let index = choice % open.len();
        let (shard, above) = (&open[index], open.get(index + 1));
        let range = shard.hash_key_range;
        match above {
            Some(above) if merges => self.world.merge(&shard.id, &above.id),
            _ if open.len() >= OPEN_SHARDS || range.end.0 - range.start.0 < 1 << 100 => return,
            _ => self.world.split(&shard.id),
        }
        self.court.lock().note(&format!("resharded {}", shard.id));
        self.note_shards();
    }
}
