//! What operators do while a fleet lives, where it has the feature: shards are moved and paused. And reads that are never
//! answered. All of it is drawn apart from everything else.

use std::time::Duration;

use kcl_core::{
    Lease, LeaseWrite, Position,
    worker::{PauseScope, WorkerInput},
};

use crate::{event::Event, features::Feature, node::State, servers::TableRequest, world::World};

/// Of so many reads one is never answered.
const HUNG_READS: u32 = 200;

impl World<'_> {
    /// Lets operators begin, in fleets that know them.
    pub(super) fn begin_operating(&mut self) {
        let features = &self.scenario.features;
        if features.has(Feature::Pause) || features.has(Feature::Seek) {
            let delay = Duration::from_secs(self.places.u64(20..120));
            self.at(delay, Event::Operate);
        }
    }

    /// Does one thing that operators do, and goes on after a while as long as there is trouble.
    pub(super) fn operate(&mut self) {
        if self.quiet || self.deleted || self.oracle.is_recreated() {
            return;
        }
        let features = &self.scenario.features;
        match (features.has(Feature::Seek), features.has(Feature::Pause)) {
            (true, true) if self.places.bool() => self.seek(),
            (true, false) => self.seek(),
            (false, false) => {}
            (_, true) if self.places.bool() => self.pause_row(),
            (_, true) => self.pause_worker(),
        }
        let delay = Duration::from_millis(self.places.u64(1_000..120_000));
        self.at(delay, Event::Operate);
    }

    fn any_row(&mut self) -> Option<Lease> {
        let rows: Vec<&Lease> = self
            .table
            .rows
            .values()
            .map(AsRef::as_ref)
            .filter(|row| !row.is_finished())
            .collect();
        let chosen = self.places.usize(..rows.len().max(1));
        rows.get(chosen).map(|row| Lease::clone(row))
    }

    /// Moves a checkpoint to some record of the shard, handled or not, or to the first one.
    fn seek(&mut self) {
        let Some(row) = self.any_row() else { return };
        let records = self.oracle.records_of(&row.shard);
        let index = self.places.usize(..=records.len());
        let to = match index.checked_sub(1).and_then(|last| records.get(last)) {
            Some(last) => Position::Record(last.clone()),
            None if row.parents.is_empty() => Position::TrimHorizon,
            None => return,
        };
        self.trace.note(self.now, row.shard.as_str(), &[index as u64], || {
            format!("an operator moves it from {} to {to}", row.checkpoint)
        });
        let write = LeaseWrite::seek(&row, to);
        let after = write.patch.apply(&row);
        self.table.call(&TableRequest::Update(write));
        self.oracle.sought(&after, index);
    }

    /// Has a shard rest, whoever holds it, for a while.
    fn pause_row(&mut self) {
        let Some(row) = self.any_row() else { return };
        let since = row.paused.is_none().then(|| self.wall());
        self.table.call(&TableRequest::Update(LeaseWrite::pause(&row, since)));
    }

    /// Has a worker rest for a while.
    fn pause_worker(&mut self) {
        let running: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].state == State::Running)
            .collect();
        let Some(node) = running.get(self.places.usize(..running.len().max(1))).copied() else {
            return;
        };
        let pause = |paused| WorkerInput::Pause {
            scope: PauseScope::Worker,
            paused,
        };
        let input = pause(true);
        self.at(Duration::ZERO, Event::ToWorker { node, input });
        let lasts = Duration::from_millis(self.places.u64(100..90_000));
        let input = pause(false);
        self.at(lasts, Event::ToWorker { node, input });
    }

    /// Nothing rests in quiet times.
    pub(super) fn end_operating(&mut self) {
        let paused: Vec<Lease> = self
            .table
            .rows
            .values()
            .filter(|row| row.paused.is_some())
            .map(|row| Lease::clone(row))
            .collect();
        for row in paused {
            self.table.call(&TableRequest::Update(LeaseWrite::pause(&row, None)));
        }
    }

    /// Whether a request to the service is never answered.
    pub(super) fn hangs(&mut self) -> bool {
        self.scenario.features.has(Feature::HungReads) && !self.quiet && self.places.u32(..HUNG_READS) == 0
    }
}
