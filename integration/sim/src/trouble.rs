//! Trouble: how faults strike and relent.

use std::time::Duration;

use kcl_core::{
    ShardFilter,
    fetch::{FetchFailure, FetchFailureKind},
};

use crate::{event::Event, node::State, scenario::FaultKind, world::World};

impl World<'_> {
    pub(super) fn strike(&mut self, index: usize) {
        let kind = self.scenario.faults[index].kind;
        *self.struck.entry(kind.name()).or_insert(0) += 1;
        self.trace
            .note(self.now, "trouble", &[index as u64], || format!("{kind:?}"));
        match kind {
            FaultKind::Crash { worker, after, same_id } => self.crash(worker, after, same_id),
            FaultKind::Pause { worker, lasts } => {
                if let Some(node) = self.running(worker) {
                    self.nodes[node].state = State::Paused(self.now + lasts);
                }
            }
            FaultKind::Twin { worker } => {
                // Java has no answer to twins, and what comes of them there is not ours to judge.
                if let Some(node) = self
                    .running(worker)
                    .filter(|node| self.nodes[*node].mind.peer().is_none())
                {
                    self.nodes[node].has_twin = true;
                    let id = self.nodes[node].id.clone();
                    self.start(worker, id);
                }
            }
            FaultKind::Join => {
                if self.slots.len() < self.scenario.workers + 5 {
                    self.slots.push(None);
                    let slot = self.slots.len() - 1;
                    self.start(slot, self.worker_id(slot, 0));
                }
            }
            FaultKind::RollingDeploy => self.at(Duration::ZERO, Event::Deploy { slot: 0 }),
            FaultKind::Drift { worker, speed } => {
                if let Some(node) = self.running(worker) {
                    self.nodes[node].clock.set_speed(self.now, speed);
                }
            }
            FaultKind::ExpireIterators => self.iterators_since = self.now,
            FaultKind::DeleteStream => {
                let wall = self.wall();
                self.service.delete(wall);
                self.deleted = true;
            }
            FaultKind::RecreateStream { after, shards } => {
                let wall = self.wall();
                self.service.delete(wall);
                self.deleted = true;
                self.at(after, Event::Recreate { shards });
            }
            FaultKind::Scale { by } => {
                let wall = self.wall();
                if let Some(what) = self.service.scale(wall, by) {
                    self.trace.note(self.now, "stream", &[], || what);
                    self.at(self.scenario.transition, Event::ShardsChanged);
                }
            }
            FaultKind::Reshard { times, every } => {
                for step in 0..times {
                    self.at(every * u32::try_from(step).unwrap_or(u32::MAX), Event::Reshard);
                }
            }
            FaultKind::StaleScans { lasts } => {
                self.table.stale = Some(self.table.listing());
                self.lasts(index, kind, lasts);
            }
            FaultKind::StaleShards { lasts } => {
                let wall = self.wall();
                if !self.deleted {
                    self.service.stale = self.service.shards(wall, ShardFilter::All).ok();
                }
                self.lasts(index, kind, lasts);
            }
            FaultKind::Partition { lasts, .. }
            | FaultKind::TableOutage { lasts }
            | FaultKind::TableThrottle { lasts }
            | FaultKind::LostAnswers { lasts }
            | FaultKind::TableSlow { lasts }
            | FaultKind::ServiceOutage { lasts }
            | FaultKind::ServiceThrottle { lasts }
            | FaultKind::NullIterators { lasts } => self.lasts(index, kind, lasts),
        }
    }

    fn lasts(&mut self, index: usize, kind: FaultKind, lasts: Duration) {
        self.active.insert(index, kind);
        self.at(lasts, Event::FaultEnds(index));
    }

    pub(super) fn relent(&mut self, index: usize) {
        match self.active.remove(&index) {
            Some(FaultKind::StaleScans { .. }) => self.table.stale = None,
            Some(FaultKind::StaleShards { .. }) => self.service.stale = None,
            _ => {}
        }
    }

    /// Another stream is to be made under the name of the one that was deleted, once that is gone.
    pub(super) fn recreate(&mut self, shards: usize) {
        let wall = self.wall();
        if self.service.create(wall, shards) {
            self.at(self.scenario.transition, Event::Recreated);
        } else {
            self.at(Duration::from_secs(1), Event::Recreate { shards });
        }
    }

    /// The new stream is there.
    pub(super) fn recreated(&mut self) {
        let wall = self.wall();
        let Some(first) = self.service.first_number(wall) else {
            return self
                .oracle
                .broken("liveness", "the new stream did not come to be".to_owned());
        };
        self.deleted = false;
        self.oracle.recreated(first);
        self.trace
            .note(self.now, "stream", &[], || "is created again".to_owned());
        self.note_shards();
    }

    /// The process of a slot, if it is there and not told to stop.
    fn running(&self, slot: usize) -> Option<usize> {
        let node = self.slots.get(slot).copied().flatten()?;
        (self.nodes[node].state != State::Gone && !self.nodes[node].stopping).then_some(node)
    }

    fn crash(&mut self, slot: usize, after: Duration, same_id: bool) {
        let Some(node) = self.running(slot) else { return };
        let process = &mut self.nodes[node];
        process.state = State::Gone;
        process.consumers.clear();
        process.readers.clear();
        self.lapsed.insert(process.id.clone());
        let id = if same_id {
            process.id.clone()
        } else {
            self.worker_id(slot, node as u64 + 1)
        };
        self.trace
            .note(self.now, self.nodes[node].id.as_str(), &[], || "dies".to_owned());
        self.slots[slot] = None;
        self.at(after, Event::Start { slot, id });
    }

    /// Stops the worker of a slot cleanly, starts its successor when it is gone, and goes on with the next slot.
    pub(super) fn deploy(&mut self, slot: usize) {
        if self.quiet || slot >= self.scenario.workers {
            return;
        }
        if let Some(node) = self.running(slot) {
            self.nodes[node].stopping = true;
            self.shut_down(node);
            let id = self.worker_id(slot, node as u64 + 1);
            let soon = Duration::from_secs(self.rng.u64(1..=40));
            self.at(soon, Event::Start { slot, id });
        }
        let next = Duration::from_secs(self.rng.u64(1..=30));
        self.at(next, Event::Deploy { slot: slot + 1 });
    }

    pub(super) fn reshard(&mut self) {
        if self.quiet || self.deleted {
            return;
        }
        let (wall, choice) = (self.wall(), self.rng.u64(..1 << 20));
        let stale = self.service.stale.take();
        let done = self.service.reshard(wall, choice);
        self.service.stale = stale;
        if let Some(what) = done {
            self.trace.note(self.now, "stream", &[choice], || what);
            self.at(self.scenario.transition, Event::ShardsChanged);
        }
    }

    /// Why the service cannot answer this process now, if it cannot.
    pub(super) fn service_trouble(&mut self, node: usize) -> Option<FetchFailure> {
        let slot = self.nodes[node].slot;
        let cut_off =
            self.has(|fault| matches!(fault, FaultKind::Partition { worker, service: true, .. } if *worker == slot));
        let kind = if cut_off || self.has(|fault| matches!(fault, FaultKind::ServiceOutage { .. })) {
            FetchFailureKind::Unavailable
        } else if self.has(|fault| matches!(fault, FaultKind::ServiceThrottle { .. })) && self.rng.bool() {
            FetchFailureKind::Throttled
        } else {
            return None;
        };
        Some(FetchFailure {
            kind,
            message: "drawn".to_owned(),
        })
    }

    pub(super) fn service_delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(1_000..=40_000))
    }
}
